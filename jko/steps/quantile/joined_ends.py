"""Edges that go once round a circle, Xₙ = X₀ + L: the linear algebra of a step with its two ends joined.

The forms are the tridiagonal ones of a line, bordered by a tension at the joint. Empty cells are gaps that
are shut: of width 0, their two edges move as one.
"""

from __future__ import annotations

import numpy as np

from jko.steps.quantile.tolerances import TOLERANCES


def direction(point, masses: np.ndarray, stiffening: np.ndarray):
    """−H⁻¹g among the moves that keep Xₙ − X₀ and shut gaps as they are; None where H is not positive."""
    from jko.loops.elliptic import banded

    pull, free, answer = _pull(masses.size), np.empty(masses.size + 1), np.empty(masses.size + 1)
    matrix = point.rows, point.upper, np.where(masses > 0.0, stiffening, TOLERANCES.fixed)
    if not banded.solve_held(*matrix, _balanced(point.gradient), False, False, free):
        return None
    banded.solve_held(*matrix, pull, False, False, answer)
    out = free - (pull @ free) / (pull @ answer) * answer
    out[-1] = out[0]
    return out


def dual_norm_squared(masses: np.ndarray, gradient: np.ndarray) -> float:
    """min gᵀM⁻¹g over the gradients that differ by a tension at the joint and by pressures in shut gaps."""
    from jko.loops.elliptic import banded

    rows = 0.5 * (np.append(masses, 0.0) + np.append(0.0, masses))
    upper = np.where(masses > 0.0, masses / 6.0, -TOLERANCES.fixed)
    gradient, pull = _balanced(gradient), _pull(masses.size)
    force, answer = np.empty_like(rows), np.empty_like(rows)
    banded.solve(rows, upper, gradient, force)
    banded.solve(rows, upper, pull, answer)
    tension = (pull @ force) / (pull @ answer)
    return max(float((gradient - tension * pull) @ (force - tension * answer)), 0.0)


def _balanced(gradient: np.ndarray):
    """The same less the tension that leaves equal forces at both ends: small where their sum is."""
    out = gradient.copy()
    out[0] = out[-1] = 0.5 * (gradient[0] + gradient[-1])
    return out


def _pull(n: int):
    pull = np.zeros(n + 1)
    pull[0], pull[-1] = -1.0, 1.0
    return pull


def kept_apart(target: np.ndarray, widths: np.ndarray, least: np.ndarray, masses: np.ndarray, period: float):
    """As `lagrangian.kept_apart` round the circle, by a regression of three periods, of which the middle one
    is periodic as long as nothing gives way over a whole turn."""
    from scipy.optimize import isotonic_regression

    n, packed = masses.size, np.append(0.0, np.cumsum(least))
    wanted, room = target[:-1] - packed[:-1], period - packed[-1]
    weights = np.maximum(masses + np.roll(masses, 1), 1e-300)
    turns = (wanted + room * np.array([[-1.0], [0.0], [1.0]])).ravel()
    free = isotonic_regression(turns, weights=np.tile(weights, 3)).x[n : 2 * n]
    same = np.abs(free - wanted) <= TOLERANCES.pooled * np.abs(turns).max()
    untouched = same & np.roll(same, -1)
    widths = np.where(untouched, np.maximum(widths, least), least + np.diff(np.append(free, free[0] + room)))
    edges = np.where(same, target[:-1], free + packed[:-1])
    return np.append(edges, edges[0] + period), widths


def wound(problem, edges: np.ndarray, widths: np.ndarray):
    """(edges, widths) that go once round with the gaps shut: the given ones where they do, or else with the
    other cells widened."""
    masses, period = problem.masses, problem.period
    if edges[-1] == edges[0] + period and not np.any(widths[masses == 0.0]):
        return edges, widths
    held = np.where(masses > 0.0, widths, 0.0)
    held = held * (period / held.sum())
    edges = edges[0] + np.append(0.0, np.cumsum(held))
    edges[-1] = edges[0] + period
    return edges, held
