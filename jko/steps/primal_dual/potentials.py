"""Potentials of a step that are known without iterations: of particles alone, and of the first variation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from jko.loops.transport.c_transform import c_transform


def with_free_particles(problem, potential, field: np.ndarray, lowest, tau: float, cells: np.ndarray):
    """The potential of all slices, and in these cells the least |x − y|²/2τ_k + f(y) + `lowest`, U′(0): what
    a particle alone would pay in the time left. A vacuum says nothing of its potential, which would wander.
    """
    grid, K = problem.grid, problem.slices
    if not cells.any() or not np.isfinite(lowest).all():
        return potential
    paid = np.where(problem.most > 0.0, -(field + np.where(problem.held, lowest, 0.0)), -math.inf)

    def alone(time: float):
        moved = [c_transform(p, grid.spacing, time, periodic=grid.periodic) for p in problem.each(paid)]
        return _grown(problem, problem.together(moved), time)

    times = [tau * (K - k) / K for k in range(K)]
    return [np.where(cells, alone(t), p) for t, p in zip(times, potential, strict=True)]


def _grown(problem, potential: np.ndarray, time: float):
    """What a particle alone pays beside its way where it may grow or die: −∂_t p + p²/2δ² = 0, while
    finite."""
    if problem.length is None:
        return potential
    factor = 1.0 + 0.5 * time / problem.length**2 * potential
    return np.divide(potential, factor, out=potential.copy(), where=factor > 0.5)


def first_variation(problem, field: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """f + U′ at the end of a path, next to full where U′ is infinite."""
    if problem.internal is None:
        return field
    eps = np.finfo(float).eps
    r = np.maximum(end, start.max(axis=problem.axes, keepdims=True) * eps)
    with np.errstate(divide="ignore"):
        slope = problem.internal.derivative(r)
    if not np.isfinite(slope).all():
        slope = np.where(np.isfinite(slope), slope, problem.internal.derivative(r * (1.0 - eps)))
    return field + slope


def ends(problem, start: np.ndarray, r: np.ndarray, actions: list, slope: np.ndarray, candidates) -> Iterator:
    """Candidates for (p¹ − w¹, p^K + w^K): what the first variation of F at the end r says, `slope`, which
    knows of a vacuum too, and those of the potentials that `candidates` gives."""
    for number, p in enumerate(candidates()):
        before, after = (problem.speed_term(q, actions, start) for q in (p[0], p[-1]))
        begin, end = p[0] - before, p[-1] + after
        if number == 0 and problem.doors is None:
            yield begin, slope - problem.totals(r * (slope - end)) / problem.totals(r)
            if problem.blocked is not None and problem.internal is None:
                return  # right in each cell, where others may lead all ways into an obstacle
        yield begin, end
