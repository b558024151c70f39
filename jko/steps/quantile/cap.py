"""A cap c(x) on the line, seen through its integral C: cells hold their mass where C grows by it."""

from __future__ import annotations

import numpy as np

from jko.errors import UnsupportedFunctional
from jko.measures import Grid
from jko.steps.quantile.lagrangian import Point, certified_gap, kept_apart
from jko.steps.quantile.newton import minimised
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
    return minimised(problem, _Limits(problem, cap), _At(problem, cap, edges), tolerance, most_iterations)


class _At(Point):
    """A point with the gradient and the Hessian in Y."""

    def __init__(self, problem, cap: VariedCap, edges: np.ndarray, y: np.ndarray | None = None):
        super().__init__(problem, edges, np.diff(edges))
        self.y = cap.integral(edges) if y is None else y

    def assemble_in(self, problem, cap: VariedCap, convex: bool):
        """The gradient and the Hessian, which is made convex or left as it is."""
        self.assemble(problem, convex)
        self.c, slope = cap.at(self.edges)
        bend = -self.gradient * slope / self.c**3  # of the inverse of C
        diagonal = self.rows - np.append(self.upper, 0.0) - np.append(0.0, self.upper)
        self.gradient, self.upper = self.gradient / self.c, self.upper / (self.c[1:] * self.c[:-1])
        diagonal = diagonal / self.c**2 + (np.maximum(bend, 0.0) if convex else bend)
        self.rows = diagonal + np.append(self.upper, 0.0) + np.append(0.0, self.upper)


class _Limits:
    """The bounds of the n + 2 distances in Y: wall to first edge, w ≤ Y′ − Y, last edge to wall."""

    def __init__(self, problem, cap: VariedCap):
        self.problem, self.cap, self.masses = problem, cap, problem.masses
        self.active = np.zeros(problem.masses.size + 2, bool)

    def room(self, at: _At):
        """Distances less their bounds."""
        ends = at.y[:1], np.array([self.cap.total - at.y[-1]])
        room = np.concatenate([ends[0], np.diff(at.y) - self.masses, ends[1]])
        least = (
            TOLERANCES.cap_tight * np.concatenate([[0.0], self.masses, [0.0]])
            + TOLERANCES.cap_tight_point * self.cap.total
        )
        return np.where(room <= least, 0.0, room)

    def direction(self, at: _At):
        """Where the quadratic model under the bounds is least; None where it has no minimum."""
        from jko.loops.elliptic import rigid_blocks

        out, room = np.empty(at.y.size), self.room(at)
        for convex in (False, True):
            at.assemble_in(self.problem, self.cap, convex)
            tried = self.active.copy()
            if rigid_blocks.bounded_direction(
                at.rows, at.upper, at.gradient, self.masses, room, tried, TOLERANCES.active_set_rounds, out
            ):
                self.active = tried
                if float(at.gradient @ out) <= 0.0:
                    return out
        return None

    def gap(self, at: _At):
        """½rᵀ(M/τ)⁻¹r + Σ z s."""
        from jko.loops.elliptic import rigid_blocks

        room = self.room(at)
        tight = self.active & (room <= 0.0)
        pressure, residual = np.empty(room.size), np.empty(room.size - 1)
        wrong = rigid_blocks.multipliers(at.gradient, self.masses, tight, pressure, residual)
        return certified_gap(self.problem, at.edges, at.c * residual) + wrong * self.cap.total

    def search(self, at: _At, direction: np.ndarray):
        """A point of lower J on the arc of nearest admissible Y along the direction."""
        masses, step = self.masses, 1.0
        noise = TOLERANCES.search_noise * at.magnitude
        for _ in range(TOLERANCES.cap_bendings):
            target = at.y + step * direction
            y, _ = kept_apart(target, np.diff(target), masses, masses, (0.0, self.cap.total))
            descent = float(at.gradient @ (y - at.y))
            if descent < 0.0:
                moved = _At(self.problem, self.cap, self.cap.position(y), y)
                if moved.value <= at.value + TOLERANCES.sufficient_decrease * descent + noise:
                    return moved
            step *= 0.5
        return None
