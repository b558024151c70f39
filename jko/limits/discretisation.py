"""A functional on a grid as finite volumes see it: Ψ = V, a moving part of Ψ, and a solver for lines."""

from __future__ import annotations

import numpy as np

from functionals import Functional
from jko.limits.lines import field_of, lines_along, one_by_one, strang
from jko.limits.tolerances import TOLERANCES
from jko.measures import Density, Grid


class GridProblem:
    """F on a grid: what is local and implicit (the internal energy, V, a cap) and what is not (`moving`)."""

    def __init__(self, F: Functional, grid: Grid):
        self.F, self.grid, parts = F, grid, F.parts
        self.fixed = parts.potential_values(grid.points).reshape(grid.cells)
        self.moving = parts.interaction + parts.rest
        self.cap = np.full(grid.cells, np.inf)
        for atom in parts.constraints:
            self.cap = np.minimum(self.cap, atom.values(grid.points).reshape(grid.cells))
        self.lines = _line_solver(parts, self.cap, grid)
        if self.moving:
            self.lines.most_substeps = 1  # its sweeps are repeated, and its checks shorten τ already
        self._plans: dict = {}
        self._last = None, None  # a measure and its moving potential: a step asks for it more than once

    def crossed(self, mu: Density, tau: float) -> float:
        """Over how many cells a drift that moves with the density carries it in τ, where a sweep of implicit
        lines is to follow: 0 where sweeps see to that themselves."""
        if not (self.moving and hasattr(self.lines, "crossed")):
            return 0.0
        psi = self.fixed + self.moving_potential(mu)
        return max(
            self.lines.crossed(lines_along(mu.values, axis), lines_along(psi, axis), tau / h**2)
            for axis, h in enumerate(self.grid.spacing)
        )

    def moving_potential(self, mu: Density) -> np.ndarray:
        """The first variation of the interactions and of what else is no internal energy and no potential."""
        if self._last[0] is not mu:
            self._last = mu, self._moving_potential(mu)
        return self._last[1]

    def _moving_potential(self, mu: Density):
        total = np.zeros(self.grid.cells)
        for coefficient, atom in self.moving:
            values = np.asarray(atom.first_variation(mu), dtype=float)
            if not np.all(np.isfinite(values)):
                floor = TOLERANCES.singular_floor * mu.values.mean()
                values = np.asarray(atom.first_variation(mu.with_values(mu.values + floor)), dtype=float)
            total += coefficient * values
        return total

    def sweep(self, rho: np.ndarray, moving, tau: float, second_order: bool) -> np.ndarray:
        """All axes in turn with Ψ = V + moving frozen: Strang's order, or one axis after the other."""
        if hasattr(self.lines, "evolve"):
            psi = self.fixed if moving is None else self.fixed + moving
            return self.lines.evolve(rho, psi, tau, second_order)
        if moving is None:
            key = (tau, second_order)
            if key not in self._plans:
                if len(self._plans) >= TOLERANCES.cached_plans:
                    self._plans.clear()
                self._plans[key] = self._plan(self.fixed, tau, second_order)
            plan = self._plans[key]
        else:
            plan = self._plan(self.fixed + moving, tau, second_order)
        for axis, prepared in plan:
            rho = field_of(self.lines.sweep(lines_along(rho, axis), prepared), axis, self.grid.cells)
        return rho

    def _plan(self, psi: np.ndarray, tau: float, second_order: bool):
        order = (strang if second_order else one_by_one)(self.grid.dimension)
        prepared = {
            pair: self.lines.prepare(psi, pair[0], pair[1] * tau, second_order) for pair in set(order)
        }
        return [(pair[0], prepared[pair]) for pair in order]

    def rounding(self, mu: Density) -> float:
        """The size below which a difference of two energies is rounding."""
        rho = mu.values
        terms = rho * np.abs(self.fixed)
        if self.moving:
            terms = terms + rho * np.abs(self.moving_potential(mu))
        internal = self.F.parts.internal_energy
        if internal is not None:
            held = rho > 0.0
            slopes = np.abs(np.asarray(internal.derivative(np.where(held, rho, 1.0))))
            terms = terms + np.abs(np.asarray(internal.density(rho))) + np.where(held, rho * slopes, 0.0)
        if hasattr(self.lines, "size_of_terms"):
            terms = terms + self.lines.size_of_terms(rho)
        return TOLERANCES.energy_rounding * float(terms.sum()) * self.grid.cell_volume


def _line_solver(parts, cap: np.ndarray, grid: Grid):
    spacing = grid.spacing
    if parts.gradient or parts.local:
        from jko.limits.coupled import CoupledDiffusion

        return CoupledDiffusion(parts, grid)
    capped = bool(np.isfinite(cap).any())
    if parts.internal and all(atom.is_entropy for _, atom in parts.internal) and not capped:
        from jko.limits.scharfetter_gummel import ScharfetterGummel

        return ScharfetterGummel(parts.temperature, spacing, grid.periodic)
    if not parts.internal:
        from jko.limits.crowd import CrowdMotion
        from jko.limits.upwind import Upwind

        return CrowdMotion(cap, spacing) if capped else Upwind(spacing, grid.periodic)
    if capped and grid.dimension > 1:
        from jko.limits.capped_diffusion import CappedDiffusion

        return CappedDiffusion(parts.internal_energy, cap, spacing)
    from jko.limits.nonlinear_diffusion import NonlinearDiffusion

    return NonlinearDiffusion(parts.internal_energy, cap, spacing)
