"""Newton's method for the Lagrangian form of a step with widths bounded from below, by active sets."""

from __future__ import annotations

import numpy as np

from jko.steps.line.displacement import kept_apart
from jko.steps.line.newton import arc_search
from jko.steps.line.problem import Point, Solution, Stall, certified_gap, solution

_KEPT = 0.1  # of its width keeps a cell that only its energy holds open, in one step
_ROUNDS = 60
_STALLED = 25  # iterations: Newton's method that is on its way gains more in a few
_STIFFENINGS = 8
_ROUNDING = 1e-14
_NOTHING = 1e-24  # of J, to be gained by a step beyond the last
_TIGHT, _POINT = 1e-12, 1e-15  # of its bound and of the line: below, a distance is at its bound


def minimise_bounded(problem, bounds, tolerance, most_iterations, first=None) -> Solution:
    """The minimiser of W₂²/2τ + F with ΔX ≥ `bounds` `[n]` where they are not −∞, and the edges between the
    walls.

    Each iteration minimises the quadratic model under the bounds: distances at their bounds join their edges
    into rigid blocks. The new edges are those of the model, or the nearest that keep every cell open. The
    pressures z ≥ 0 of active distances are those of saturated cells, or of two fronts that touch; with r the
    gradient of the Lagrangian and s the slacks, ½rᵀ((1/τ + λ)M)⁻¹r + Σ z s is an upper bound on J − min J.
    """
    limits = _Limits(problem, bounds)
    point = Point(problem, *limits.entered(*(first or (problem.start, problem.widths))))
    closed, stall = False, Stall(_STALLED)
    for iteration in range(most_iterations + 1):
        for positive in (False, True) if problem.convexity <= 0.0 else (True,):
            point.assemble(problem, positive)
            direction = limits.direction(point)
            if direction is not None:
                break
        gap = limits.gap(point)
        cost = 0.5 * point.squared_distance / problem.tau
        enough = max(tolerance * cost, _ROUNDING * point.magnitude)
        last, closed = closed, gap <= enough
        if not closed and stall.reached(point.value, enough):
            break
        if (last and closed) or iteration == most_iterations or direction is None:
            break
        if closed and -float(point.gradient @ direction) <= _NOTHING * point.magnitude:
            break
        moved = limits.search(point, direction)
        if moved is None:
            break
        point = moved
    return solution(point, gap, iteration, bool(closed))


class _Limits:
    """The bounds of the n + 2 distances: wall to first edge, the widths, last edge to wall."""

    def __init__(self, problem, bounds):
        self.problem, self.walls, self.masses = problem, problem.walls, problem.masses
        self.bounded = np.isfinite(bounds)
        self.floor = np.where(self.bounded, bounds, 0.0)
        self.active = np.zeros(bounds.size + 2, bool)

    def entered(self, edges, widths):
        """The nearest edges that keep to the bounds."""
        least = np.where(self.bounded, self.floor, _KEPT * widths)
        if np.all(widths >= least):
            return edges, widths
        return kept_apart(edges, widths, least, self.masses, self.walls)

    def room(self, point):
        """Distances less their bounds, ∞ where there is none."""
        ends = point.edges[0] - self.walls[0], self.walls[1] - point.edges[-1]
        slack = np.concatenate([ends[:1], point.widths - self.floor, ends[1:]])
        least = _TIGHT * np.concatenate([[0.0], self.floor, [0.0]]) + _POINT * (self.walls[1] - self.walls[0])
        bounded = np.concatenate([[True], self.bounded, [True]])
        return np.where(bounded, np.where(slack <= least, 0.0, slack), np.inf)

    def direction(self, point):
        """Where the quadratic model under the bounds is least; None where it has no minimum."""
        from jko.loops import banded, rigid_blocks

        out, stiffening = np.empty_like(point.gradient), np.zeros(self.masses.size)
        room, open_widths = self.room(point), np.where(self.bounded, np.inf, point.widths)
        upper = point.upper
        for _ in range(_STIFFENINGS):
            if not rigid_blocks.bounded_direction(
                point.rows, upper, point.gradient, self.masses, room, self.active, _ROUNDS, out
            ):
                return None
            if not banded.stiffen(out, open_widths, point.terms.rigidity, stiffening, 1.0 - _KEPT):
                break
            upper = point.upper - stiffening
        return out

    def gap(self, point):
        from jko.loops import rigid_blocks

        room = self.room(point)
        tight = self.active & (room <= 0.0)
        pressure, residual = np.empty(room.size), np.empty(room.size - 1)
        wrong = rigid_blocks.multipliers(point.gradient, self.masses, tight, pressure, residual)
        return certified_gap(self.problem, residual) + wrong * (self.walls[1] - self.walls[0])

    def search(self, point, direction):
        """A point of lower J on the arc along the direction, or else along the gradient."""
        least = np.where(self.bounded, self.floor, _KEPT * point.widths)
        moved = arc_search(self.problem, point, direction, least)
        if moved is not None:
            return moved
        diagonal = point.rows - np.append(point.upper, 0.0) - np.append(0.0, point.upper)
        return arc_search(self.problem, point, -point.gradient / diagonal, least)
