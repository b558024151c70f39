"""The Lagrangian form of a step on the line: its objective, derivatives and certificate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_STEEPEST = 0.9  # of 1/τ: how much of it concave potentials may take of a Hessian made positive


class Solution(NamedTuple):
    """Edges `[n+1]`, widths `[n]`, the energy F, W₂² from the start, the gap, and whether it closed."""

    edges: np.ndarray
    widths: np.ndarray
    energy: float
    squared_distance: float
    gap: float
    iterations: int
    closed: bool
    magnitude: float = 0.0  # of the summands of the objective: rounding is relative to it


class Problem(NamedTuple):
    """min over edges of W₂²/2τ + F against `start` `[n+1]`, masses `[n]` between, inside two walls.

    Widths go beside the edges: one of 1e-12 at position 3 keeps no digit as a difference. `kept` are the
    numbers of the edges left of a step's, where cells were joined for it.
    """

    energy: object
    start: np.ndarray
    widths: np.ndarray
    masses: np.ndarray
    tau: float
    walls: tuple[float, float]
    kept: np.ndarray | None = None

    @property
    def convexity(self) -> float:
        """1/τ + λ."""
        return 1.0 / self.tau + self.energy.modulus


class Point:
    """The objective at given edges, with its gradient and Hessian."""

    def __init__(self, problem, edges, widths):
        from jko.loops import banded

        self.edges, self.widths = edges, widths
        self.terms = problem.energy.at(edges, widths, problem.masses)
        self.squared_distance = banded.transport_cost(problem.masses, problem.start, edges)
        cost = 0.5 * self.squared_distance / problem.tau
        self.value, self.magnitude = self.terms.energy + cost, self.terms.magnitude + cost

    def assemble(self, problem, positive=True):
        """The gradient and the Hessian, which is made positive or left as it is."""
        from jko.loops import banded

        n = problem.masses.size
        self.gradient, self.rows, self.upper = np.empty(n + 1), np.empty(n + 1), np.empty(n)
        banded.assemble(
            self.edges, problem.start, problem.masses, *self.terms[1:5], 1.0 / problem.tau,
            -_STEEPEST / problem.tau if positive else -np.inf,
            self.gradient, self.rows, self.upper,
        )  # fmt: skip


def solution(point, gap, iterations, closed) -> Solution:
    """What a method ends with."""
    energy, distance = point.terms.energy, point.squared_distance
    return Solution(point.edges, point.widths, energy, distance, gap, iterations, closed, point.magnitude)


class Stall:
    """Whether an objective has stopped falling: over so many iterations it fell by less than is asked of the
    gap. Where a potential has kinks no gradient tends to 0, and an iteration would go on for ever."""

    def __init__(self, iterations: int):
        self._values, self._iterations = [], iterations

    def reached(self, value, enough) -> bool:
        """Told of the objective after an iteration."""
        self._values.append(value)
        return len(self._values) > self._iterations and self._values[-1 - self._iterations] - value <= enough


def certified_gap(problem, gradient) -> float:
    """½gᵀ((1/τ + λ)M)⁻¹g ≥ J − min J, since J is (1/τ + λ)-convex in the metric of M.

    Where 1/τ + λ ≤ 0 it certifies nothing, and with 1/τ alone measures how stationary the edges are.
    """
    from jko.loops import banded

    convexity = problem.convexity if problem.convexity > 0.0 else 1.0 / problem.tau
    return 0.5 * banded.dual_norm_squared(problem.masses, gradient) / convexity
