"""Energies of ρ and ∇ρ, of fourth order: an implicit step on all cells of the grid together."""

from __future__ import annotations

from typing import Any

import numpy as np

from functionals.parts import Parts
from jko.limits.edges import Edges, edges_of
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
        full = np.full(self.size, self.cap)
        self.steep_above = np.isfinite(self.cap) and not np.all(np.isfinite(self.variation(full)))

    def evolve(self, rho: np.ndarray, psi: np.ndarray, tau: float, second_order: bool) -> np.ndarray:
        """ρ `[*cells]` after τ with Ψ fixed; raises NotSolved."""
        base, psi, weight = self._of(rho), self._of(psi), tau * self.edges.weight
        if not second_order:
            return self._field(self._stage(base, base, psi, weight))
        first = self._stage(base, base, psi, _GAMMA * weight)
        later = base + (1.0 / _GAMMA - 1.0) * (first - base)
        drop = self.edges.jump @ (self.variation(first) + psi)
        flux = (1.0 - 2.0 * _GAMMA) * weight * self._mobility(first, drop)[0] * self._pull(drop)[0]
        try:
            return self._field(self._stage(later, first, psi, _GAMMA * weight))
        except NotSolved:
            if self.gradient:  # shorter steps do better
                raise
            # where the extrapolated base is negative beyond what can flow in, its fluxes are limited
            later = self._limited(first, flux)
            return self._field(self._stage(later, first, psi, _GAMMA * weight))

    def _limited(self, rho: np.ndarray, flux: np.ndarray) -> np.ndarray:
        """ρ after fluxes from the higher cells, each taken as far as 0 ≤ ρ ≤ cap lets it [Zalesak1979]."""
        low, high = self.edges.low, self.edges.high
        giver, taker = np.where(flux > 0.0, high, low), np.where(flux > 0.0, low, high)
        leaving, arriving = (np.bincount(cell, np.abs(flux), self.size) for cell in (giver, taker))
        with np.errstate(divide="ignore", invalid="ignore"):
            out = np.where(leaving > rho, rho / leaving, 1.0)
            into = np.where(arriving > self.cap - rho, (self.cap - rho) / arriving, 1.0)
        moved = np.minimum(out[giver], into[taker]) * flux
        return np.clip(rho - self.edges.jump.T @ moved, 0.0, self.cap)

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
                pull = self.faces.jump.T @ (self.faces.weight * (self.faces.jump @ g))
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
        residual, allowed = self._residual(rho, base, psi, weight)
        held, best, stalled = True, np.inf, 0  # the first step holds M: it solves a problem without it
        for _ in range(TOLERANCES.coupled_iterations):
            worst = float(np.abs(residual).max()) / allowed
            if not worst > 1.0 or stalled > (1 if worst < TOLERANCES.accepted else TOLERANCES.coupled_stall):
                break
            stalled = stalled + 1 if worst > 0.5 * best else 0
            best = min(best, worst)
            step = self._step(rho, residual, psi, weight, held)
            rho, residual, allowed, whole = self._searched(rho, step, residual, base, psi, weight)
            held = not (whole or held)
        worst = float(np.abs(residual).max()) / allowed
        if not worst < TOLERANCES.accepted:
            raise NotSolved(f"residual {worst:.1e} of the tolerance")
        return conserving(base[:, None], rho[:, None], np.full((rho.size, 1), self.cap))[:, 0]

    def _searched(self, rho, step, before, base, psi, weight):
        """The step, halved until the residual falls, at the shortest whatever it does; and whether all of it
        was taken."""
        size, least = float(np.abs(before).sum()), 0.1 * rho if self.steep else 0.0
        most = rho + 0.9 * (self.cap - rho) if self.steep_above else self.cap
        share = 1.0
        for halving in range(TOLERANCES.coupled_halvings + 1):
            new = np.clip(rho + share * step, least, most)
            residual, allowed = self._residual(new, base, psi, weight)
            found = float(np.abs(residual).sum())
            if found < size or halving == TOLERANCES.coupled_halvings:
                return new, residual, allowed, halving == 0
            share *= 0.5
        raise AssertionError("the last halving returns")

    def _pull(self, drop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What M is multiplied by for a difference of ξ, and the slope that Newton's method takes for it."""
        return drop, np.ones_like(drop)

    def _blur(self, drop: np.ndarray, rounding: np.ndarray) -> np.ndarray:
        """What rounding of a difference of ξ makes of that."""
        return rounding

    def _mobility(self, rho: np.ndarray, drop: np.ndarray):
        """M on the faces and its derivatives with respect to the lower and the higher cell."""
        falls = drop > 0.0  # from the higher cell
        near, far = (
            np.where(falls, rho[self.edges.high], rho[self.edges.low]),
            np.where(falls, rho[self.edges.low], rho[self.edges.high]),
        )
        held = far > TOLERANCES.steepest * near
        limit = 0.5 * (1.0 + TOLERANCES.steepest)
        mobility = np.where(held, limit * near, 0.5 * (near + far))
        of_near, of_far = np.where(held, limit, 0.5), np.where(held, 0.0, 0.5)
        return mobility, np.where(falls, of_far, of_near), np.where(falls, of_near, of_far)

    def _residual(self, rho, base, psi, weight):
        """ρ − base − s∇·(M∇ξ), and what rounding leaves of it."""
        xi = self.variation(rho) + psi
        drop = self.edges.jump @ xi
        mobility, pull = self._mobility(rho, drop)[0], self._pull(drop)[0]
        with np.errstate(invalid="ignore"):
            residual = rho - base + self.edges.jump.T @ (weight * mobility * pull)
        size = self._size(rho) + np.abs(psi)
        blur = self._blur(drop, 1e-15 * (size[self.edges.low] + size[self.edges.high]))
        allowed = 1e-13 * np.abs(base).max() + float((weight * mobility * blur).max(initial=0.0))
        return residual, allowed

    def _size(self, rho: np.ndarray):
        """What δF/δρ sums up, without signs: whose rounding its differences hold."""
        total = np.zeros(self.size)
        with np.errstate(all="ignore"):
            for c, atom in self.local:
                total += c * np.abs(atom.factor(rho) * atom.derivative(rho))
            for c, bent in self.gradient:
                jump = abs(self.faces.jump)
                sums = jump.T @ (self.faces.weight * (jump @ np.abs(bent.g(rho))))
                total += c * np.abs(bent.slope(rho)) * sums
        return np.nan_to_num(total, nan=0.0, posinf=0.0)

    def _step(self, rho: np.ndarray, residual, psi: np.ndarray, weight: np.ndarray, held: bool):
        """Newton's step, in multiples of each cell's density where F is steep at 0; with M as it is if
        `held`."""
        import scipy.sparse as sp

        jump, scale = self.edges.jump, rho if self.steep else np.ones_like(rho)
        if self.steep_above:
            scale = scale * (1.0 - rho / self.cap)
        drop = jump @ (self.variation(rho) + psi)
        mobility, of_low, of_high = self._mobility(rho, drop)
        pull, slope = self._pull(drop)
        faces, shape = np.arange(drop.size), jump.shape
        fluxes = sp.diags_array(weight * mobility * slope) @ (jump @ self._hessian(rho))
        if not held:
            carried = weight * pull
            fluxes = fluxes + sp.csr_array((carried * of_low, (faces, self.edges.low)), shape)
            fluxes = fluxes + sp.csr_array((carried * of_high, (faces, self.edges.high)), shape)
        matrix = (sp.eye_array(self.size) + jump.T @ fluxes) @ sp.diags_array(scale)
        rows = np.maximum(abs(matrix).max(axis=1).toarray().ravel(), np.finfo(float).tiny)
        try:
            factors = factored(sp.diags_array(1.0 / rows) @ matrix, **_FACTORING)
        except (RuntimeError, ValueError) as error:  # exactly singular, or not finite
            raise NotSolved(str(error)) from error
        step = scale * factors.solve(-residual / rows)

        def solve(right: np.ndarray):
            return scale * factors.solve(right / rows)

        for c, atom in self.local:
            step = self._of_integral(c, atom, rho, step, weight * mobility * slope, solve)
        if not np.all(np.isfinite(step)):
            raise NotSolved("Newton's step is not finite")
        return step

    def _of_integral(self, c: float, atom: _Integral, rho, step, weight, solve):
        """The step for a function of an integral, whose Hessian has one rank more, by the formula of Sherman
        and Morrison."""
        if atom.outer is None:
            return step
        slope = np.asarray(atom.derivative(rho))
        column = solve(c * atom.bend(rho) * (self.edges.jump.T @ (weight * (self.edges.jump @ slope))))
        return step - column * (slope @ step) / (1.0 + slope @ column)

    def _hessian(self, rho: np.ndarray):
        """∂ξ/∂ρ, sparse, without what a function of an integral adds."""
        import scipy.sparse as sp

        low, high = self.faces.low, self.faces.high
        diagonal, beside = np.zeros(self.size), np.zeros(low.size)
        # a g or U that bends without bound at 0 or at the cap is asked a little off
        rho = np.where(rho > np.finfo(float).tiny, rho, TOLERANCES.singular_floor * rho.mean())
        rho = np.minimum(rho, self.cap * (1.0 - TOLERANCES.singular_floor))
        for c, atom in self.local:
            diagonal += c * atom.factor(rho) * np.asarray(atom.second_derivative(rho))
        for c, bent in self.gradient:
            g, slope, bend = (np.asarray(part(rho)) for part in (bent.g, bent.slope, bent.bend))
            weight, jump = c * self.faces.weight, self.faces.jump @ g
            pull = weight * jump
            of_low = weight * slope[low] ** 2 - pull * bend[low]
            of_high = weight * slope[high] ** 2 + pull * bend[high]
            diagonal += np.bincount(low, of_low, self.size) + np.bincount(high, of_high, self.size)
            beside -= weight * slope[low] * slope[high]
        sides = np.concatenate([low, high]), np.concatenate([high, low])
        off = sp.csr_array((np.concatenate([beside, beside]), sides), (self.size, self.size))
        return sp.diags_array(diagonal) + off


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
