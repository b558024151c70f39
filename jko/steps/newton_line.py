"""Newton's method for the Lagrangian form of a step on the line, where an internal energy keeps the "
"cells open."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_SUFFICIENT = 1e-4
_HALVINGS = 40
_KEPT = 0.9  # of a cell's width may go in one step
_STIFFENINGS = 12


class Solution(NamedTuple):
    """Edges `[n+1]`, their energy F, W₂² from the start, the certified gap, iterations, and whether "
    "it closed."""

    edges: np.ndarray
    energy: float
    squared_distance: float
    gap: float
    iterations: int
    closed: bool


class Problem(NamedTuple):
    """min over edges of W₂²/2τ + F against `start` `[n+1]` with masses `[n]`, the edges between two walls."""

    energy: object
    start: np.ndarray
    masses: np.ndarray
    tau: float
    walls: tuple[float, float]

    @property
    def convexity(self) -> float:
        """1/τ + λ."""
        return 1.0 / self.tau + self.energy.modulus


class Point:
    """The objective at given edges, with its gradient and Hessian."""

    def __init__(self, problem, edges):
        from jko.kernels import banded

        self.edges = edges
        self.terms = problem.energy.at(edges, problem.masses)
        self.squared_distance = banded.transport_cost(problem.masses, problem.start, edges)
        self.value = self.terms.energy + 0.5 * self.squared_distance / problem.tau

    def assemble(self, problem):
        from jko.kernels import banded

        n = problem.masses.size
        self.gradient, self.diagonal, self.upper = np.empty(n + 1), np.empty(n + 1), np.empty(n)
        banded.assemble(
            self.edges, problem.start, problem.masses, *self.terms[1:], 1.0 / problem.tau,
            self.gradient, self.diagonal, self.upper,
        )  # fmt: skip


def minimise(problem, tolerance, most_iterations) -> Solution:
    """The minimiser from `start`, to a gap of tolerance · W₂²/2τ and one step beyond, or as far as rounding allows.

    The step beyond squares the error where mass is, while cells of 1e-30 may still be on their way. An outermost edge on its wall and pushed outwards is held there, and let go when the push turns inwards.
    """
    point, closed_before = Point(problem, problem.start), False
    for iteration in range(most_iterations + 1):
        point.assemble(problem)
        held = _pushed(point, problem.walls)
        gap = certified_gap(problem, _without(point.gradient, held))
        closed = is_closed(problem, point, gap, tolerance)
        if closed_before and closed or gap == 0.0:
            break
        direction = _newton_direction(point, held, problem.walls)
        moved = _line_search(problem, point, direction) if direction is not None else None
        if moved is None:
            break
        point, closed_before = moved, closed
    return Solution(point.edges, point.terms.energy, point.squared_distance, gap, iteration, closed)


def certified_gap(problem, gradient) -> float:
    """½gᵀ((1/τ + λ)M)⁻¹g ≥ J − min J, since J is (1/τ + λ)-convex in the metric of M; infinite if "
    "1/τ + λ ≤ 0."""
    from jko.kernels import banded

    if problem.convexity <= 0.0:
        return np.inf
    return 0.5 * banded.dual_norm_squared(problem.masses, gradient) / problem.convexity


def is_closed(problem, point, gap, tolerance) -> bool:
    """Whether the gap is below tolerance · W₂²/2τ, or as small as rounding lets it be and below 1e-6 "
    "of it."""
    cost = 0.5 * point.squared_distance / problem.tau
    if gap <= tolerance * cost:
        return True
    return bool(gap <= min(_rounding(problem, point), 1e-6 * cost + 1e-12 * (1.0 + abs(point.value))))


def _rounding(problem, point):
    # widths are known to 2⁻⁵² of the position: a force of that times the rigidity is noise
    noise = np.finfo(float).eps * np.abs(point.edges).max() * point.terms.rigidity
    held = problem.masses > 0.0
    return 8.0 * float(np.sum(noise[held] ** 2 / problem.masses[held])) / max(problem.convexity, 1e-300)


def _pushed(point, walls):
    gradient, edges = point.gradient, point.edges
    return [edges[0] <= walls[0] and gradient[0] > 0.0, edges[-1] >= walls[1] and gradient[-1] < 0.0]


def _without(gradient, held):
    free = gradient.copy()
    for index, stays in zip((0, -1), held, strict=True):
        if stays:
            free[index] = 0.0
    return free


def _newton_direction(point, held, walls):
    """−H⁻¹g with the held edges fixed, H made stiffer where a cell would lose most of its width at once.

    A light cell that must shrink tenfold would otherwise shorten the step of all others: for an entropy
    w/(ΔX ΔX′), the secant between the old and the new width, is the stiffness that takes it there.
    """
    stiffening = np.zeros(point.upper.size)
    widths = np.diff(point.edges)
    for _ in range(_STIFFENINGS):
        direction, held = _on_walls(point, stiffening, held, walls)
        if direction is None:
            return None
        shrink = np.diff(direction) / widths
        if shrink.min() > -_KEPT:
            break
        crushed = shrink < -0.5
        stiffness = point.terms.rigidity[crushed] + stiffening[crushed]
        stiffening[crushed] -= stiffness * shrink[crushed]
    return direction


def _on_walls(point, stiffening, held, walls):
    # an edge on its wall that the direction would push out is held as well
    for _ in range(3):
        direction = _solve_held(point, stiffening, held)
        if direction is None:
            return None, held
        out = [
            point.edges[0] <= walls[0] and direction[0] < 0.0,
            point.edges[-1] >= walls[1] and direction[-1] > 0.0,
        ]
        if not any(out):
            return direction, held
        held = [a or b for a, b in zip(held, out, strict=True)]
    return None, held


def _solve_held(point, stiffening, held):
    from jko.kernels import banded

    diagonal, upper = point.diagonal.copy(), point.upper - stiffening
    diagonal[:-1] += stiffening
    diagonal[1:] += stiffening
    right = -_without(point.gradient, held)
    for index, stays in zip((0, -1), held, strict=True):
        if stays:
            diagonal[index], upper[index] = 1.0, 0.0
    direction = np.empty_like(right)
    return direction if banded.solve(diagonal, upper, right, direction) else None


def _line_search(problem, point, direction):
    from jko.kernels import banded

    descent = float(point.gradient @ direction)
    if not descent < 0.0:
        return None
    step = _to_wall(point.edges, direction, banded.longest_step(point.edges, direction, _KEPT), problem.walls)
    noise = 1e-13 * (1.0 + abs(point.value))
    for _ in range(_HALVINGS):
        edges = np.clip(point.edges + step * direction, *problem.walls)
        if np.all(np.diff(edges) > 0.0):
            moved = Point(problem, edges)
            if moved.value <= point.value + _SUFFICIENT * step * descent + noise:
                return moved
        step *= 0.5
    return None


def _to_wall(edges, direction, step, walls):
    if direction[0] < 0.0:
        step = min(step, (walls[0] - edges[0]) / direction[0])
    if direction[-1] > 0.0:
        step = min(step, (walls[1] - edges[-1]) / direction[-1])
    return step
