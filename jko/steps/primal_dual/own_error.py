"""The error that τ itself makes in the velocity of a dynamic step, from how the velocity turns."""

from __future__ import annotations

import numpy as np


def turning(problem, start: np.ndarray, before: np.ndarray, potential: np.ndarray, actions: list) -> float:
    """(τ/8)∫|∇(p¹ − w¹ − p_k)|²dρ_k, the gap whose velocity error √(2·gap/τ) is τ's own.

    The velocity is kept all over a step, where the flow's turns from −∇p_k to −∇(p¹ − w¹): on average it is
    off by half of that, to first order in τ. `before` is p_k, the potential at the end of the last step, and
    `potential` p¹.
    """
    turned = potential - problem.speed_term(potential, actions, start) - before
    total = 0.0
    for exchange, action in zip(problem.exchanges, actions, strict=True):
        total += float(np.vdot(exchange.drop(turned) ** 2 / (16.0 * action), exchange.mean(start)))
    return problem.slices * total * problem.grid.cell_volume


def at_the_end(problem, path, start: np.ndarray, potential: np.ndarray, actions: list) -> np.ndarray:
    """p^K + w^K, whose slopes are the velocities at the end of a path, from `potential` p^K."""
    before = path.densities[-2] if len(path.densities) > 1 else start
    return potential + problem.speed_term(potential, actions, 0.5 * (before + path.end))


def at_the_start(problem, start: np.ndarray) -> np.ndarray | None:
    """U′(ρ) + V + W∗ρ, of the first step's start; None where a pressure is part of the velocity's potential,
    or what mass pays in doors, or where a full cell makes U′ infinite."""
    if problem.cap is not None or problem.doors is not None:
        return None
    values = start.reshape(problem.layout)
    slope = problem.slope(values, problem.interaction(values)).reshape(problem.shape)
    return slope if np.isfinite(slope).all() else None
