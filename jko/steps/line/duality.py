"""The duality gap of a step on the line: a bound on J − min J among all densities, whatever V is."""

from __future__ import annotations

import numpy as np

from jko.steps.line.displacement import kept_apart

_SATURATED = 1e-6
_POINT = 1e-9  # of the grid over the number of cells: cells that are points count as so wide
_POINTS = np.polynomial.legendre.leggauss(3)
_NODES, _WEIGHTS = 0.5 + 0.5 * _POINTS[0], 0.5 * _POINTS[1]
_DOUBLINGS = 200


def duality_gap(problem, edges, widths, faces, cap=None) -> float:
    """∫U(ρ) + U*(p) − pρ over the box, p = c − φ/τ − V, of the density ρ that is constant between the edges.

    φ is the Kantorovich potential back to the start, φ′(x) = x − S(x), optimal since S increases. W₂² and ∫U
    are convex in ρ and ∫Vρ is linear whatever V is: this is primal less dual of the step among all
    densities, and so J(ρ) − min J ≤ gap, up to Gauss quadrature between the edges and `faces`. It holds what
    the cells cost, O(h²). `cap(x)` bounds ρ, where given. Takes no interaction.
    """
    shape = _Shape(problem, edges, widths, faces)
    force = shape.potential() / problem.tau
    V = problem.energy.potential
    if V is not None:
        force += _in_chunks(V, shape.x, problem.energy.capacity)
    rho = np.where(
        shape.held, (problem.masses / np.where(shape.widths > 0.0, shape.widths, 1.0))[shape.cell], 0.0
    )
    rho = np.broadcast_to(rho, shape.x.shape)
    bound = None if cap is None else cap(shape.x)
    U = problem.energy.internal
    force = shape.matched(force, rho, bound, U, problem.tau)
    weights = _WEIGHTS[:, None] * shape.lengths
    level = _level(U, force, bound, weights, problem.masses.sum())
    p = level - force
    s = _answer(U, p, bound)
    with np.errstate(all="ignore"):
        own = 0.0 if U is None else U.density(rho) - np.where(s > 0.0, U.density(s), 0.0)
        defect = own + np.where(s > 0.0, p * s, 0.0) - np.where(rho > 0.0, p * rho, 0.0)
    return float(np.sum(weights * defect))


class _Shape:
    """Gauss points `x [3, k]` in the intervals between edges and faces, and the map back there."""

    def __init__(self, problem, edges, widths, faces):
        self.start, self.masses = problem.start, problem.masses
        least = np.where(problem.masses > 0.0, _POINT * (faces[-1] - faces[0]) / widths.size, 0.0)
        self.edges, _ = kept_apart(edges, widths, least, problem.masses, problem.walls)
        self.edges = np.maximum.accumulate(self.edges)
        breaks = np.unique(np.concatenate([self.edges, faces, problem.walls]))
        self.left, self.lengths = breaks[:-1], np.diff(breaks)
        self.x = self.left + _NODES[:, None] * self.lengths
        cell = np.searchsorted(self.edges, self.x[1], side="right") - 1
        inside = (cell >= 0) & (cell < widths.size)
        self.cell = np.clip(cell, 0, widths.size - 1)
        self.held = inside & (self.masses[self.cell] > 0.0)
        self.before = cell < 0
        self.widths = np.diff(self.edges)

    def potential(self):
        """φ at the points, with S constant to the right of the support's runs, its value at their end."""
        i = self.cell
        width = np.where(self.widths[i] > 0.0, self.widths[i], 1.0)
        slope = np.where(self.held, (self.start[i + 1] - self.start[i]) / width, 0.0)
        base = np.where(self.before, self.start[0], self.start[i])
        beyond = ~self.held & ~self.before & (self.left >= self.edges[-1])
        base = np.where(beyond, self.start[-1], base)
        first = self.left - base - slope * np.where(self.held, self.left - self.edges[i], 0.0)
        bend = 1.0 - slope
        rise = self.lengths * (first + 0.5 * bend * self.lengths)
        phi = np.append(0.0, np.cumsum(rise)[:-1])
        along = self.x - self.left
        return phi + along * (first + 0.5 * bend * along)

    def matched(self, force, rho, bound, U, tau):
        """The same with S jumping inside each gap where the levels of U′(ρ) + V + φ/τ on its sides meet."""
        gaps = np.flatnonzero(self.masses == 0.0)
        if gaps.size == 0:
            return force
        with np.errstate(all="ignore"):
            level = force[1] + (0.0 if U is None else U.derivative(rho[1]))
        free = self.held & np.isfinite(level)
        if bound is not None:
            free &= rho[1] < bound[1] * (1.0 - _SATURATED)
        run = np.searchsorted(gaps, self.cell)
        mass = np.where(self.held, rho[1] * self.lengths, 0.0)
        levels = np.empty(gaps.size + 1)
        for k in range(gaps.size + 1):
            at = free & (run == k)
            if at.any():
                levels[k] = np.average(level[at], weights=mass[at])
            else:
                levels[k] = level[self.held & (run == k)].max()
        jumped = self.start[gaps + 1] - self.start[gaps]
        room = self.edges[gaps + 1] - self.edges[gaps]
        with np.errstate(all="ignore"):
            beyond = np.clip(np.nan_to_num(tau * np.diff(levels) / jumped), 0.0, room)
        # φ falls by (x − s)·jump once S has jumped at s
        out = force.copy()
        for k, gap in enumerate(gaps):
            s = self.edges[gap + 1] - beyond[k]
            out -= np.clip(self.x - s, 0.0, beyond[k]) * jumped[k] / tau
        return out


def _in_chunks(V, x, most):
    flat = x.ravel()
    parts = [V(flat[k : k + most])[0] for k in range(0, flat.size, most)]
    return np.concatenate(parts).reshape(x.shape)


def _answer(U, p, bound):
    """argmax_s ps − U(s) over 0 ≤ s ≤ bound."""
    if U is None:
        return np.where(p > 0.0, bound, 0.0) if bound is not None else np.zeros_like(p)
    with np.errstate(all="ignore"):
        s = U.conjugate_derivative(p)
    return s if bound is None else np.minimum(s, bound)


def _level(U, force, bound, weights, mass):
    """The c for which the density that answers c − force has the mass."""
    from scipy.optimize import brentq

    if U is None and bound is None:
        return float(force.min())

    def excess(c):
        with np.errstate(all="ignore"):
            total = float(np.sum(weights * _answer(U, c - force, bound)))
        if not np.isfinite(total):
            return 700.0
        return np.log(max(total, 1e-300) / mass)

    low = high = float(force.min()) if U is None else float(np.median(force))
    step = 1e-3 * (1.0 + abs(low))
    for _ in range(_DOUBLINGS):
        if excess(low) <= 0.0:
            break
        low, step = low - step, 2.0 * step
    for _ in range(_DOUBLINGS):
        if excess(high) >= 0.0:
            break
        high, step = high + step, 2.0 * step
    if low == high:
        return low
    return float(brentq(excess, low, high, xtol=1e-14 * (1.0 + abs(high)), rtol=1e-14, maxiter=200))
