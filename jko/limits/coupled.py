"""Energies of ρ and ∇ρ, of fourth order: an implicit step on all cells of the grid together."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from functionals.parts import Parts
from jko.limits.edges import Edges, edges_of
from jko.limits.jacobian import Jacobian
from jko.limits.nonlinear_diffusion import NotSolved, conserving
from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.factors import factored
from jko.measures import Grid

# a nearly symmetric matrix, rows scaled: half the time of an unsymmetric ordering
_FACTORING = {
    "permc_spec": "MMD_AT_PLUS_A",
    "diag_pivot_thresh": 0.01,
    "options": {"SymmetricMode": True},
}
_GAMMA = 1.0 - np.sqrt(0.5)  # of the two-stage method of order 2 that forgets at once [Alexander1977]


class Residual(NamedTuple):
    """ρ − base − s∇·(M∇ξ) in the cells, what rounding leaves of it, and what the edges carry at ρ."""

    values: np.ndarray
    allowed: float
    carried: Carried

    @property
    def worst(self) -> float:
        """The largest, over what rounding leaves."""
        return float(np.abs(self.values).max()) / self.allowed


class Carried(NamedTuple):
    """M on the edges with its derivatives in the lower and the higher cell, what M is multiplied by for a
    difference of ξ, and the slope that Newton's method takes for that."""

    mobility: np.ndarray
    of_low: np.ndarray
    of_high: np.ndarray
    pull: np.ndarray
    slope: np.ndarray


class CoupledDiffusion:
    """ρ′ − base = s∇·(M∇ξ), ξ = δF/δρ(ρ′) + Ψ, with M at ρ′, on the line, the plane and in space at once.

    F is a sum of internal energies, energies of ρ that depend on the place or are not convex, and energies of
    ∇ρ. M on a face is the mean of its two densities, at most twice the one that ξ drives mass from: what
    leaves a cell is a multiple of what it holds, so that ρ′ ≥ 0 for base ≥ 0 whatever s, and the convex part
    of F falls by ΣM|∇ξ|² and more [BailoCarrilloHu2020]. Newton's method with the sparse Jacobian of all of
    it; where F is infinitely steep at 0 its step leaves a tenth of each cell at least. Order 2 in h, and in
    τ by two stages.
    """

    def __init__(self, parts: Parts, grid: Grid, edges: Edges | None = None, cap: float = np.inf):
        self.cells = grid.cells
        self.cap = cap if parts.internal_energy is None else min(cap, parts.internal_energy.cap)
        self.held = np.flatnonzero(grid.inside)
        local = (*parts.internal, *parts.local)
        self.local = [(c, _Integral(atom, grid)) for c, atom in local]
        self.gradient: tuple[tuple[float, Any], ...] = parts.gradient
        self.faces = edges_of(grid)
        self.edges = edges or self.faces
        self.size = self.faces.size
        self.steep = not np.all(np.isfinite(self.variation(np.zeros(self.size))))
        self.jacobian = Jacobian(self.edges, self.faces if self.gradient else None)
        full = np.full(self.size, self.cap)
        self.steep_above = np.isfinite(self.cap) and not np.all(np.isfinite(self.variation(full)))

    def evolve(self, rho: np.ndarray, psi: np.ndarray, tau: float, second_order: bool) -> np.ndarray:
        """ρ `[*cells]` after τ with Ψ fixed; raises NotSolved."""
        base, psi, weight = self._of(rho), self._of(psi), tau * self.edges.weight
        if not second_order:
            return self._field(self._stage(base, base, psi, weight))
        first = self._stage(base, base, psi, _GAMMA * weight)
        later = base + (1.0 / _GAMMA - 1.0) * (first - base)
        stage = _GAMMA * weight
        if self.gradient:  # where it fails, shorter steps do better
            return self._field(self._stage(later, first, psi, stage))
        drop = self.edges.difference(self.variation(first) + psi)
        flux = self._carries(first[self.edges.low], first[self.edges.high], drop)
        if not self._starves(later, first, psi, stage):
            try:
                return self._field(self._stage(later, first, psi, stage))
            except NotSolved:
                pass
        later = self._limited(first, (1.0 - 2.0 * _GAMMA) * weight * flux)
        return self._field(self._stage(later, first, psi, stage))

    def _starves(self, base: np.ndarray, around: np.ndarray, psi: np.ndarray, weight: np.ndarray) -> bool:
        """Whether a cell of a negative base, as good as empty, gets less than it lacks from `around` it."""
        lacks = base < 0.0
        if not lacks.any():
            return False
        low, high = self.edges.low, self.edges.high
        empty = np.where(lacks, TOLERANCES.tail_floor * around.mean() if self.steep else 0.0, around)
        xi, lowest = self.variation(around) + psi, self.variation(empty) + psi
        into_low = self._carries(empty[low], around[high], xi[high] - lowest[low])
        into_high = -self._carries(around[low], empty[high], lowest[high] - xi[low])
        gains = np.bincount(low, weight * into_low, self.size) + np.bincount(
            high, weight * into_high, self.size
        )
        return bool(np.any((base + gains)[lacks] < 0.0))

    def _carries(self, low: np.ndarray, high: np.ndarray, drop: np.ndarray) -> np.ndarray:
        """M∇ξ on the edges between these densities: what goes from the higher to the lower cell."""
        return self._mobility(low, high, drop)[0] * self._pull(drop)[0]

    def _limited(self, rho: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """ρ after fluxes from the higher cells, each taken as far as 0 ≤ ρ ≤ cap lets it [Zalesak1979]: where
        an extrapolated base is negative beyond what can flow in."""
        low, high = self.edges.low, self.edges.high
        giver, taker = np.where(flux > 0.0, high, low), np.where(flux > 0.0, low, high)
        leaving, arriving = (np.bincount(cell, np.abs(flux), self.size) for cell in (giver, taker))
        with np.errstate(divide="ignore", invalid="ignore"):
            out = np.where(leaving > rho, rho / leaving, 1.0)
            into = np.where(arriving > self.cap - rho, (self.cap - rho) / arriving, 1.0)
        moved = np.minimum(out[giver], into[taker]) * flux
        return np.clip(rho - self.edges.gather(moved), 0.0, self.cap)

    def _of(self, field: np.ndarray) -> np.ndarray:
        """The values inside `[size]` of a field `[*cells]`."""
        return field.reshape(-1)[self.held]

    def _field(self, values: np.ndarray) -> np.ndarray:
        """The field `[*cells]`, 0 in walls, of values inside."""
        out = np.zeros(self.cells)
        out.reshape(-1)[self.held] = values
        return out

    def variation(self, rho: np.ndarray) -> np.ndarray:
        """δF/δρ `[cells]` without Ψ."""
        with np.errstate(all="ignore"):
            total = sum((c * atom.factor(rho) * atom.derivative(rho) for c, atom in self.local), 0.0)
            for c, bent in self.gradient:
                g = np.asarray(bent.g(rho))
                pull = self.faces.gather(self.faces.weight * self.faces.difference(g))
                total = total + c * np.asarray(bent.slope(rho)) * pull
        return np.asarray(total)

    def size_of_terms(self, rho: np.ndarray) -> np.ndarray:
        """What the cells `[*cells]` add to F, without signs: whose rounding F holds."""
        held = self._of(rho)
        return self._field(held * self._size(held))

    def _stage(self, base: np.ndarray, start: np.ndarray, psi: np.ndarray, weight: np.ndarray):
        """ρ′ of one implicit stage, from tails as they are where there is no vacuum; raises NotSolved."""
        if self.steep and start.min() > 0.0:
            try:
                return self._solved(base, start, psi, weight, TOLERANCES.tail_floor)
            except NotSolved:
                if base.min() < 0.0 and not self.gradient:  # no start solves for more than can flow in
                    raise
        return self._solved(base, start, psi, weight, TOLERANCES.newton_floor)

    def _solved(self, base, start: np.ndarray, psi: np.ndarray, weight: np.ndarray, floor: float):
        """The same by Newton's method from the start, where F is steep at 0 above a share of the mean."""
        rho = np.clip(start, 0.0, self.cap)
        if self.steep:  # from nearer to vacuum ξ is so steep that a step gains one of hundreds of e-foldings
            rho = np.maximum(rho, floor * rho.mean())
        if self.steep_above:
            rho = np.where(rho < self.cap, rho, (1.0 - TOLERANCES.newton_floor) * self.cap)
        residual = self._residual(rho, base, psi, weight)
        held, best, stalled = True, np.inf, 0  # the first step holds M: it solves a problem without it
        for _ in range(TOLERANCES.coupled_iterations):
            worst = residual.worst
            if not worst > 1.0 or stalled > (1 if worst < TOLERANCES.accepted else TOLERANCES.coupled_stall):
                break
            stalled = stalled + 1 if worst > 0.5 * best else 0
            best = min(best, worst)
            step = self._step(rho, residual, weight, held)
            rho, residual, whole = self._searched(rho, step, residual, base, psi, weight)
            held = not (whole or held)
        if not residual.worst < TOLERANCES.accepted:
            raise NotSolved(f"residual {residual.worst:.1e} of the tolerance")
        return conserving(base[:, None], rho[:, None], np.full((rho.size, 1), self.cap))[:, 0]

    def _searched(self, rho, step, before: Residual, base, psi, weight):
        """The step, halved until the residual falls, at the shortest whatever it does; and whether all of it
        was taken."""
        size, least = float(np.abs(before.values).sum()), 0.1 * rho if self.steep else 0.0
        most = rho + 0.9 * (self.cap - rho) if self.steep_above else self.cap
        share = 1.0
        for halving in range(TOLERANCES.coupled_halvings + 1):
            new = np.clip(rho + share * step, least, most)
            residual = self._residual(new, base, psi, weight)
            found = float(np.abs(residual.values).sum())
            if found < size or halving == TOLERANCES.coupled_halvings:
                return new, residual, halving == 0
            share *= 0.5
        raise AssertionError("the last halving returns")

    def _pull(self, drop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What M is multiplied by for a difference of ξ, and the slope that Newton's method takes for it."""
        return drop, np.ones_like(drop)

    def _blur(self, drop: np.ndarray, rounding: np.ndarray) -> np.ndarray:
        """What rounding of a difference of ξ makes of that."""
        return rounding

    def _mobility(self, low: np.ndarray, high: np.ndarray, drop: np.ndarray):
        """M on the edges and its derivatives with respect to the densities in the lower and higher cell."""
        falls = drop > 0.0  # from the higher cell
        near, far = np.where(falls, high, low), np.where(falls, low, high)
        held = far > TOLERANCES.steepest * near
        limit = 0.5 * (1.0 + TOLERANCES.steepest)
        mobility = np.where(held, limit * near, 0.5 * (near + far))
        of_near, of_far = np.where(held, limit, 0.5), np.where(held, 0.0, 0.5)
        return mobility, np.where(falls, of_far, of_near), np.where(falls, of_near, of_far)

    def _residual(self, rho, base, psi, weight) -> Residual:
        xi = self.variation(rho) + psi
        drop, low, high = self.edges.difference(xi), self.edges.low, self.edges.high
        mobility, of_low, of_high = self._mobility(rho[low], rho[high], drop)
        carried = Carried(mobility, of_low, of_high, *self._pull(drop))
        carries = weight * carried.mobility
        with np.errstate(invalid="ignore"):
            values = rho - base + self.edges.gather(carries * carried.pull)
        size = self._size(rho) + np.abs(psi)
        blur = self._blur(drop, 1e-15 * (size[low] + size[high]))
        allowed = 1e-13 * np.abs(base).max() + float((carries * blur).max(initial=0.0))
        return Residual(values, allowed, carried)

    def _size(self, rho: np.ndarray):
        """What δF/δρ sums up, without signs: whose rounding its differences hold."""
        total = np.zeros(self.size)
        with np.errstate(all="ignore"):
            for c, atom in self.local:
                total += c * np.abs(atom.factor(rho) * atom.derivative(rho))
            for c, bent in self.gradient:
                g = np.abs(bent.g(rho))
                sums = self.faces.around(self.faces.weight * (g[self.faces.low] + g[self.faces.high]))
                total += c * np.abs(bent.slope(rho)) * sums
        return np.nan_to_num(total, nan=0.0, posinf=0.0)

    def _step(self, rho: np.ndarray, residual: Residual, weight: np.ndarray, held: bool):
        """Newton's step, in multiples of each cell's density where F is steep at 0; with M as it is if
        `held`."""
        low, high, jacobian = self.edges.low, self.edges.high, self.jacobian
        scale = rho if self.steep else np.ones_like(rho)
        if self.steep_above:
            scale = scale * (1.0 - rho / self.cap)
        carried = residual.carried
        of_jump = weight * carried.mobility * carried.slope
        diagonal, beside = self._hessian(rho)
        of_low, of_high = -of_jump * diagonal[low], of_jump * diagonal[high]
        if not held:
            of_low = of_low + weight * carried.pull * carried.of_low
            of_high = of_high + weight * carried.pull * carried.of_high
        entries = jacobian.entries(of_low, of_high, of_jump, beside) * scale[jacobian.column]
        rows = np.maximum(jacobian.largest(entries), np.finfo(float).tiny)
        try:
            factors = factored(jacobian.matrix(entries / rows[jacobian.indices]), **_FACTORING)
        except (RuntimeError, ValueError) as error:  # exactly singular, or not finite
            raise NotSolved(str(error)) from error
        step = scale * factors.solve(-residual.values / rows)

        def solve(right: np.ndarray):
            return scale * factors.solve(right / rows)

        for c, atom in self.local:
            step = self._of_integral(c, atom, rho, step, of_jump, solve)
        if not np.all(np.isfinite(step)):
            raise NotSolved("Newton's step is not finite")
        return step

    def _of_integral(self, c: float, atom: _Integral, rho, step, weight, solve):
        """The step for a function of an integral, whose Hessian has one rank more, by the formula of Sherman
        and Morrison."""
        if atom.outer is None:
            return step
        slope = np.asarray(atom.derivative(rho))
        edges = self.edges
        column = solve(c * atom.bend(rho) * edges.gather(weight * edges.difference(slope)))
        return step - column * (slope @ step) / (1.0 + slope @ column)

    def _hessian(self, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """∂ξ/∂ρ, without what a function of an integral adds: its diagonal `[size]` and its entries between
        the cells of `[faces]`."""
        low, high = self.faces.low, self.faces.high
        diagonal, beside = np.zeros(self.size), np.zeros(low.size)
        # a g or U that bends without bound at 0 or at the cap is asked a little off
        rho = np.where(rho > np.finfo(float).tiny, rho, TOLERANCES.singular_floor * rho.mean())
        rho = np.minimum(rho, self.cap * (1.0 - TOLERANCES.singular_floor))
        for c, atom in self.local:
            diagonal += c * atom.factor(rho) * np.asarray(atom.second_derivative(rho))
        for c, bent in self.gradient:
            g, slope, bend = (np.asarray(part(rho)) for part in (bent.g, bent.slope, bent.bend))
            weight = c * self.faces.weight
            pull = weight * self.faces.difference(g)
            of_low = weight * slope[low] ** 2 - pull * bend[low]
            of_high = weight * slope[high] ** 2 + pull * bend[high]
            diagonal += np.bincount(low, of_low, self.size) + np.bincount(high, of_high, self.size)
            beside -= weight * slope[low] * slope[high]
        return diagonal, beside


class _Integral:
    """h(∫u(x, ρ) dx) on the cells of a grid, h the identity but for such as Rényi's divergence."""

    def __init__(self, atom, grid: Grid):
        there = atom.on(grid.points)
        self.density, self.derivative = there.density, there.derivative
        self.second_derivative = there.second_derivative
        self.outer: Any = getattr(atom, "outer", None)
        self.volume = grid.cell_volume

    def _outer(self, rho: np.ndarray):
        with np.errstate(all="ignore"):
            return self.outer(np.float64(np.sum(self.density(rho))) * self.volume)

    def factor(self, rho: np.ndarray) -> float:
        """h′."""
        return 1.0 if self.outer is None else float(self._outer(rho)[1])

    def bend(self, rho: np.ndarray) -> float:
        """h″|c|."""
        return float(self._outer(rho)[2]) * self.volume
