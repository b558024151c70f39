"""A primal–dual interior point method for the Lagrangian form of a step, widths bounded from below."""

from __future__ import annotations

import numpy as np

from jko.steps.line.problem import Point, Solution, certified_gap, solution

_KEPT = 0.99
_SLACK = 1e-2
_BEHIND = 0.1


def minimise_bounded(problem, bounds, tolerance, most_iterations) -> Solution:
    """The minimiser of W₂²/2τ + F with ΔX ≥ `bounds` `[n]` where they are not −∞, and the edges between the
    walls.

    Widths, and the distances to the walls, carry slacks s and multipliers z with s z → μw as μ → 0; a
    multiplier is the pressure of a saturated cell, or of two fronts that touch. The gap is ½rᵀ((1/τ +
    λ)M)⁻¹r + Σ z s with r the gradient of the Lagrangian: an upper bound on J − min J at every iterate.
    """
    barrier = _Barrier(problem, bounds)
    point = Point(problem, problem.start, problem.widths)
    barrier.start(problem, point)
    best = None
    for iteration in range(most_iterations + 1):
        point.assemble(problem)
        residual = point.gradient - barrier.pull()
        unbalanced = certified_gap(problem, residual)
        gap = unbalanced + barrier.complementarity(point)
        violation = barrier.violation(point)
        cost = 0.5 * point.squared_distance / problem.tau
        closed = gap <= tolerance * cost + 1e-14 * (1.0 + abs(point.value)) and violation <= 1e-9
        best = solution(point, gap, iteration, closed)
        if closed:
            break
        moved = barrier.advance(point, residual, unbalanced)
        if moved is None:
            break
        point = Point(problem, *moved)
    return best


class _Barrier:
    """Slacks and multipliers of the n + 2 distances: wall to first edge, the widths, last edge to wall."""

    def __init__(self, problem, bounds):
        self.walls = problem.walls
        self.bounds = np.concatenate([[0.0], bounds, [0.0]])
        self.active = np.isfinite(self.bounds)
        self.floor = np.where(self.active, self.bounds, 0.0)
        masses = problem.masses
        typical = masses.sum() / np.count_nonzero(masses)
        self.weights = np.concatenate([[typical], np.where(masses > 0.0, masses, typical), [typical]])
        self.weights[~self.active] = 0.0

    def distances(self, point):
        ends = point.edges[0] - self.walls[0], self.walls[1] - point.edges[-1]
        return np.concatenate([[ends[0]], point.widths, [ends[1]]])

    def start(self, problem, point):
        widths = self.distances(point)
        typical = (self.walls[1] - self.walls[0]) / widths.size
        least = _SLACK * np.maximum(self.floor, typical * 0.1)
        self.slack = np.where(self.active, np.maximum(widths - self.floor, least), 1.0)
        level = max(0.1 * abs(point.terms.energy), 1e-3) / problem.masses.sum()
        self.pressure = level * self.weights / self.slack

    def pull(self):
        """Bᵀz, the force of the multipliers on the edges."""
        return self.pressure[:-1] - self.pressure[1:]

    def complementarity(self, point):
        """Σ z (ΔX − bound) over the active distances."""
        return float(np.sum(self.pressure * np.maximum(self.distances(point) - self.floor, 0.0)))

    def violation(self, point):
        """The largest relative violation of a bound."""
        short = np.where(self.active, self.floor - self.distances(point), 0.0)
        return float(
            np.max(short / np.maximum(self.floor, 1e-3 * (self.walls[1] - self.walls[0]) / short.size))
        )

    def advance(self, point, residual, unbalanced):
        """Predictor, corrector: moves slacks and multipliers, gives new edges and widths, or None if
        stuck."""
        missing = self._missing(point)
        level = np.sum(self.slack * self.pressure) / self.weights.sum()
        change, grow, press = self._direction(point, residual, missing, 0.0, 0.0)
        if change is None:
            return None
        primal, dual = self._lengths(point, change, grow, press)
        after = np.sum((self.slack + primal * grow) * (self.pressure + dual * press)) / self.weights.sum()
        target = level * min(max((after / level) ** 3, 1e-6), 0.5)
        if not self.active.all():
            # few slacks beside many free cells: they would vanish long before the forces balance
            target = max(target, min(level, _BEHIND * unbalanced / self.weights.sum()))
        change, grow, press = self._direction(point, residual, missing, target, grow * press)
        primal, dual = self._lengths(point, change, grow, press)
        if primal < 1e-12 and dual < 1e-12:
            return None
        self.slack = self.slack + primal * grow
        self.pressure = np.maximum(self.pressure + dual * press, 0.0)
        return point.edges + primal * change, point.widths + primal * np.diff(change)

    def _missing(self, point):
        return np.where(self.active, self.distances(point) - self.floor - self.slack, 0.0)

    def _direction(self, point, residual, missing, target, second_order):
        from jko.kernels import banded

        stiffness = self.pressure / self.slack
        wanted = np.where(
            self.active, (target * self.weights - second_order) / self.slack - self.pressure, 0.0
        )
        push = wanted - stiffness * missing
        diagonal = point.diagonal + stiffness[:-1] + stiffness[1:]
        upper = point.upper - stiffness[1:-1]
        change = np.empty_like(residual)
        if not banded.solve(diagonal, upper, push[:-1] - push[1:] - residual, change):
            return None, None, None
        grow = np.where(self.active, np.diff(change, prepend=0.0, append=0.0) + missing, 0.0)
        return change, grow, wanted - stiffness * grow

    def _lengths(self, point, change, grow, press):
        primal = min(_length(self.slack, grow), _free_length(point.widths, change, self.active))
        return primal, _length(self.pressure[self.active], press[self.active])


def _length(values, change):
    shrinking = change < 0.0
    if not shrinking.any():
        return 1.0
    return float(min(1.0, _KEPT * np.min(values[shrinking] / -change[shrinking])))


def _free_length(widths, change, active):
    # cells without a bound are kept open by their internal energy
    free = ~active[1:-1]
    return _length(widths[free], np.diff(change)[free])
