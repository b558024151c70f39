"""The duality gap of a step on the line: a bound on J − min J among all densities, whatever V is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jko.steps.quantile.cap import VariedCap
from jko.steps.quantile.lagrangian import kept_apart
from jko.steps.quantile.tolerances import TOLERANCES

# Gauss–Legendre on [0, 1]: three points are exact for polynomials of degree 5
_NODES, _WEIGHTS = 0.5 * np.array(np.polynomial.legendre.leggauss(3)) + np.array([[0.5], [0.0]])
_FINE = 0.5 * np.array(np.polynomial.legendre.leggauss(10)) + np.array([[0.5], [0.0]])  # of roots at a kink


def duality_gap(problem, edges: np.ndarray, widths: np.ndarray, faces: np.ndarray) -> float:
    """∫U(ρ) + U*(p) − pρ over the box, p = c − φ/τ − V, of the density ρ that is constant between the edges,
    or where a cap that varies would cut that off, proportional to the cap.

    φ is the Kantorovich potential back to the start, φ′(x) = x − S(x), optimal since S increases; at p ≠ 2 it
    is |x − S|^{p−2}(x − S), and τ^{p−1} in the place of τ. W₂² and ∫U are convex in ρ and ∫Vρ is linear
    whatever V is: this is primal less dual of the step among all densities, and so J(ρ) − min J ≤ gap, up to
    Gauss quadrature between the edges and `faces`. It holds what the cells cost, O(h²). Takes no interaction.
    """
    cap, U, V = problem.energy.cap, problem.energy.internal, problem.energy.potential
    shape = _Shape(problem, edges, widths, faces)
    rho, bound = shape.density(), None
    if cap is not None:
        bound = cap.at(shape.x)[0] if isinstance(cap, VariedCap) else np.full(shape.x.shape, cap)
    force = shape.potential(problem.exponent) * problem.rate
    if V is not None:
        force += _in_chunks(V, shape.x, problem.energy.capacity)
    if problem.exponent == 2.0:
        force = shape.matched(force, rho, bound, U, problem.tau)
    weights = _WEIGHTS[:, None] * shape.lengths
    level = _level(U, force, bound, weights, shape.masses.sum())
    p = level - force
    s = _answer(U, p, bound)
    with np.errstate(all="ignore"):
        own = 0.0 if U is None else U.density(rho) - np.where(s > 0.0, U.density(s), 0.0)
        defect = own + np.where(s > 0.0, p * s, 0.0) - np.where(rho > 0.0, p * rho, 0.0)
    return max(float(np.sum(weights * defect)), 0.0)  # each is ≥ 0, up to rounding


class _Shape:
    """Gauss points `x [3, k]` in the intervals between edges and faces, and the map back there."""

    def __init__(self, problem, edges: np.ndarray, widths: np.ndarray, faces: np.ndarray):
        self.start, edges, widths, self.masses = _heavy(problem, edges, widths)
        least = np.where(
            self.masses > 0.0, TOLERANCES.point_width * (faces[-1] - faces[0]) / widths.size, 0.0
        )
        self.edges, _ = kept_apart(edges, widths, least, self.masses, problem.walls)
        self.edges = np.maximum.accumulate(self.edges)
        self.cap = problem.energy.cap if isinstance(problem.energy.cap, VariedCap) else None
        breaks = [self.edges, faces, problem.walls, *([self.cap.nodes] if self.cap else [])]
        breaks = np.unique(np.concatenate(breaks))
        self.left, self.lengths = breaks[:-1], np.diff(breaks)
        self.x = self.left + _NODES[:, None] * self.lengths
        cell = np.searchsorted(self.edges, self.x[1], side="right") - 1
        inside = (cell >= 0) & (cell < widths.size)
        self.cell = np.clip(cell, 0, widths.size - 1)
        self.held = inside & (self.masses[self.cell] > 0.0)
        self.before, self.widths = cell < 0, np.diff(self.edges)
        self.packed = self._packed() if self.cap else None

    def _packed(self):
        """The intervals of cells that a density constant on them would carry above the cap."""
        above = self.held & np.any(self._level_density() > self.cap.at(self.x)[0], axis=0)
        cells = np.zeros(self.masses.size, bool)
        cells[self.cell[above]] = True
        return cells[self.cell] & self.held

    def _level_density(self):
        within = self.masses / np.where(self.widths > 0.0, self.widths, 1.0)
        return np.broadcast_to(np.where(self.held, within[self.cell], 0.0), self.x.shape)

    def density(self):
        """ρ at the points."""
        level = self._level_density()
        if not self.cap:
            return level
        share = self.masses / np.maximum(self.cap.room(self.edges), 1e-300)
        return np.where(self.packed, share[self.cell] * self.cap.at(self.x)[0], level)

    def _back(self, x: np.ndarray):
        """S, constant to the right of the runs of the support, its value at their end."""
        i = self.cell
        width = np.where(self.widths[i] > 0.0, self.widths[i], 1.0)
        part = (x - self.edges[i]) / width
        if self.cap:
            room = np.maximum(self.cap.room(self.edges), 1e-300)[i]
            packed = (self.cap.integral(x) - self.cap.integral(self.edges)[i]) / room
            part = np.where(self.packed, packed, part)
        inside = self.start[i] + part * (self.start[i + 1] - self.start[i])
        beyond = np.where(self.left >= self.edges[-1], self.start[-1], self.start[i])
        return np.where(self.held, inside, np.where(self.before, self.start[0], beyond))

    def potential(self, p: float):
        """φ at the points, φ′ = |x − S|^{p−2}(x − S): S is quadratic in every interval, or linear, as always
        at p ≠ 2, where Gauss's rule integrates it."""
        first, middle, last = (self._back(self.left + t * self.lengths) for t in (0.0, 0.5, 1.0))
        if p != 2.0:
            start, change = self.left - first, self.lengths - (last - first)

            def gauss(t: float):
                away = start + t * _FINE[0][:, None] * change
                return self.lengths * t * (_FINE[1] @ (np.sign(away) * np.abs(away) ** (p - 1.0)))

            rise = np.append(0.0, np.cumsum(gauss(1.0))[:-1])
            return rise + np.stack([gauss(t) for t in _NODES])
        bend, turn = 4.0 * middle - 3.0 * first - last, 2.0 * (first - 2.0 * middle + last)

        def along(t: float):
            back = t * (first + t * (0.5 * bend + t * turn / 3.0))
            return self.lengths * (t * (self.left + 0.5 * t * self.lengths) - back)

        rise = np.append(0.0, np.cumsum(along(1.0))[:-1])
        return rise + np.stack([along(t) for t in _NODES])

    def matched(self, force: np.ndarray, rho: np.ndarray, bound: np.ndarray | None, U, tau: float):
        """The same with S jumping inside each gap where the levels of U′(ρ) + V + φ/τ on its sides meet."""
        gaps = np.flatnonzero(self.masses == 0.0)
        if gaps.size == 0:
            return force
        with np.errstate(all="ignore"):
            level = force[1] + (0.0 if U is None else U.derivative(rho[1]))
        free = self.held & np.isfinite(level)
        if bound is not None:
            free &= rho[1] < bound[1] * (1.0 - TOLERANCES.saturated)
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


def _heavy(problem, edges: np.ndarray, widths: np.ndarray):
    """Start, edges, widths and masses with runs of light cells made gaps: they may be on their way still,
    and the best potential across them is the one that knows nothing of them."""
    light = problem.masses <= TOLERANCES.light * problem.masses.mean()
    held = np.flatnonzero(~light)
    cells = np.arange(held[0], held[-1] + 1)
    cells = cells[~(light[cells] & np.append(False, light[cells[:-1]]))]
    ends = np.append(cells, held[-1] + 1)
    masses = np.where(light, 0.0, problem.masses)[cells]
    return problem.start[ends], edges[ends], np.add.reduceat(widths[: ends[-1]], cells), masses


def _in_chunks(V: Callable, x: np.ndarray, most: int):
    flat = x.ravel()
    parts = [V(flat[k : k + most])[0] for k in range(0, flat.size, most)]
    return np.concatenate(parts).reshape(x.shape)


def _answer(U, p: np.ndarray, bound):
    """argmax_s ps − U(s) over 0 ≤ s ≤ bound."""
    if U is None:
        return np.where(p > 0.0, bound, 0.0) if bound is not None else np.zeros_like(p)
    with np.errstate(all="ignore"):
        s = U.conjugate_derivative(p)
    return s if bound is None else np.minimum(s, bound)


def _level(U, force: np.ndarray, bound: np.ndarray | None, weights: np.ndarray, mass: float):
    """The c for which the density that answers c − force has the mass."""
    from scipy.optimize import brentq

    if U is None and bound is None:
        return float(force.min())

    def excess(c: float):
        with np.errstate(all="ignore"):
            total = float(np.sum(weights * _answer(U, c - force, bound)))
        if not np.isfinite(total):
            return 700.0
        return np.log(max(total, 1e-300) / mass)

    low = high = float(force.min()) if U is None else float(np.median(force))
    spread = float(np.ptp(force))
    step = 1e-3 * max(spread, abs(low)) or 1.0
    for _ in range(TOLERANCES.level_doublings):
        if excess(low) <= 0.0:
            break
        low, step = low - step, 2.0 * step
    for _ in range(TOLERANCES.level_doublings):
        if excess(high) >= 0.0:
            break
        high, step = high + step, 2.0 * step
    if low == high:
        return low
    return float(
        brentq(excess, low, high, xtol=1e-14 * max(spread, abs(high)) or 1e-300, rtol=1e-14, maxiter=200)
    )
