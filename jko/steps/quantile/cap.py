"""A cap c(x) on the line, seen through its integral C: cells hold their mass where C grows by it."""

from __future__ import annotations

import numpy as np

from jko.errors import UnsupportedFunctional
from jko.measures import Grid
from jko.steps.quantile.lagrangian import Point, Stall, allowed_gap, certified_gap, kept_apart, solution
from jko.steps.quantile.tolerances import TOLERANCES


class VariedCap:
    """ρ ≤ c(x): c piecewise linear between the faces and centres of a grid, its mean over every cell the
    value at the centre, positive.

    `integral(x)` is C(x) = ∫c from the lower wall, `position(y)` its inverse: the constraint w ≤ C(X′) − C(X)
    on the mass of a cell is linear in C(X).
    """

    def __init__(self, values: np.ndarray, grid: Grid):
        if not (np.all(np.isfinite(values)) and values.min() > TOLERANCES.least_cap * values.max()):
            raise UnsupportedFunctional(
                f"steps.Quantile takes a cap that is positive on the grid, got {values.min():g} somewhere; "
                "steps.PrimalDual takes obstacles"
            )
        self.cells, self.faces = values, np.asarray(grid.edges[0])
        h = grid.spacing[0]
        least = np.minimum(values[1:], values[:-1])
        inner = np.minimum(0.5 * (values[1:] + values[:-1]), 1.5 * least)
        at_faces = np.concatenate([values[:1], inner, values[-1:]])
        nodes, caps = np.empty(2 * values.size + 1), np.empty(2 * values.size + 1)
        nodes[::2], nodes[1::2] = self.faces, grid.axes[0]
        caps[::2], caps[1::2] = at_faces, 2.0 * values - 0.5 * (at_faces[1:] + at_faces[:-1])
        self.nodes, self.caps, self.half = nodes, caps, 0.5 * h
        self.slopes = np.diff(caps) / np.diff(nodes)
        pieces = 0.5 * (caps[1:] + caps[:-1]) * np.diff(nodes)
        self.integrals = np.append(0.0, np.cumsum(pieces))
        self.total = float(self.integrals[-1])

    def _piece(self, x: np.ndarray):
        return np.clip(((x - self.nodes[0]) / self.half).astype(int), 0, self.slopes.size - 1)

    def at(self, x: np.ndarray):
        """(c, c′) at positions."""
        i = self._piece(x)
        return self.caps[i] + self.slopes[i] * (x - self.nodes[i]), self.slopes[i]

    def integral(self, x: np.ndarray):
        """C(x)."""
        i = self._piece(x)
        t = x - self.nodes[i]
        return self.integrals[i] + t * (self.caps[i] + 0.5 * self.slopes[i] * t)

    def position(self, y: np.ndarray):
        """x with C(x) = y."""
        i = np.clip(np.searchsorted(self.integrals, y, side="right") - 1, 0, self.slopes.size - 1)
        rest, cap, slope = np.maximum(y - self.integrals[i], 0.0), self.caps[i], self.slopes[i]
        root = np.sqrt(np.maximum(cap * cap + 2.0 * slope * rest, 0.0))
        return np.minimum(self.nodes[i] + 2.0 * rest / (cap + root), self.nodes[-1])

    def room(self, edges: np.ndarray):
        """What each cell can hold, `[n]`."""
        return np.diff(self.integral(edges))

    def entered(self, edges: np.ndarray, masses: np.ndarray):
        """(edges, widths) that keep to the cap, nearest in C to the given ones."""
        y = self.integral(edges)
        y, _ = kept_apart(y, np.diff(y), masses, masses, (0.0, self.total))
        edges = np.where(y == self.integral(edges), edges, self.position(y))
        return edges, np.diff(edges)


def minimise_under(
    problem, cap: VariedCap, tolerance: float, most_iterations: int, first: tuple | None = None
):
    """A stationary point of W₂²/2τ + F with w ≤ C(X′) − C(X) for every cell, C the integral of the cap.

    In Y = C(X) the bounds Y′ − Y ≥ w are those of a constant cap: each iteration minimises the quadratic
    model in Y under them by a primal–dual active set of rigid blocks, and goes along the arc of nearest
    admissible Y. Not convex in Y: closed means ½rᵀ(M/τ)⁻¹r + Σ z s below tolerance · W₂²/2τ, r the gradient
    that pressures z ≥ 0 leave, in x.
    """
    edges, _ = cap.entered(np.maximum.accumulate((first or (problem.start,))[0]), problem.masses)
    at, closed, stall = _At(problem, cap, edges), False, Stall(TOLERANCES.stalled_iterations)
    active = np.zeros(problem.masses.size + 2, bool)
    for iteration in range(most_iterations + 1):
        direction = at.direction(active)
        gap = at.stationarity(active)
        enough = allowed_gap(problem, at.point.cost, tolerance, TOLERANCES.rounding * at.point.magnitude)
        last, closed = closed, gap <= enough
        if not closed and stall.reached(at.point.value, enough):
            break
        if (last and closed) or iteration == most_iterations or direction is None:
            break
        moved = at.searched(direction)
        if moved is None:
            break
        at = moved
    return solution(at.point, gap, iteration, bool(closed))


class _At:
    """Edges, with the gradient and the Hessian in Y."""

    def __init__(self, problem, cap: VariedCap, edges: np.ndarray, y: np.ndarray | None = None):
        self.problem, self.cap = problem, cap
        self.y = cap.integral(edges) if y is None else y
        self.point = Point(problem, edges, np.diff(edges))

    def assemble(self, convex: bool):
        point = self.point
        point.assemble(self.problem, convex)
        c, slope = self.cap.at(point.edges)
        self.c, self.gradient = c, point.gradient / c
        bend = -point.gradient * slope / c**3  # of the inverse of C
        diagonal = point.rows - np.append(point.upper, 0.0) - np.append(0.0, point.upper)
        self.upper = point.upper / (c[1:] * c[:-1])
        diagonal = diagonal / c**2 + (np.maximum(bend, 0.0) if convex else bend)
        self.rows = diagonal + np.append(self.upper, 0.0) + np.append(0.0, self.upper)

    def slack(self):
        ends = self.y[:1], np.array([self.cap.total - self.y[-1]])
        room = np.concatenate([ends[0], np.diff(self.y) - self.problem.masses, ends[1]])
        least = (
            TOLERANCES.cap_tight * np.concatenate([[0.0], self.problem.masses, [0.0]])
            + TOLERANCES.cap_tight_point * self.cap.total
        )
        return np.where(room <= least, 0.0, room)

    def direction(self, active: np.ndarray):
        from jko.loops.elliptic import rigid_blocks

        out, room, masses = np.empty(self.y.size), self.slack(), self.problem.masses
        for convex in (False, True):
            self.assemble(convex)
            tried = active.copy()
            if rigid_blocks.bounded_direction(
                self.rows, self.upper, self.gradient, masses, room, tried, TOLERANCES.active_set_rounds, out
            ):
                active[:] = tried
                if float(self.gradient @ out) <= 0.0:
                    return out
        return None

    def stationarity(self, active: np.ndarray):
        from jko.loops.elliptic import rigid_blocks

        room = self.slack()
        tight = active & (room <= 0.0)
        pressure, residual = np.empty(room.size), np.empty(room.size - 1)
        wrong = rigid_blocks.multipliers(self.gradient, self.problem.masses, tight, pressure, residual)
        return certified_gap(self.problem, self.point.edges, self.c * residual) + wrong * self.cap.total

    def searched(self, direction: np.ndarray):
        """A point of lower J on the arc of nearest admissible Y along the direction."""
        masses, step = self.problem.masses, 1.0
        noise = TOLERANCES.search_noise * self.point.magnitude
        for _ in range(TOLERANCES.cap_bendings):
            target = self.y + step * direction
            y, _ = kept_apart(target, np.diff(target), masses, masses, (0.0, self.cap.total))
            descent = float(self.gradient @ (y - self.y))
            if descent < 0.0:
                moved = _At(self.problem, self.cap, self.cap.position(y), y)
                if moved.point.value <= self.point.value + TOLERANCES.sufficient_decrease * descent + noise:
                    return moved
            step *= 0.5
        return None
