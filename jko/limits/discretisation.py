"""A functional on a grid as finite volumes see it: Ψ = V, a moving part of Ψ, and a solver for lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from functionals import Functional
from jko.limits.lines import Lines, lines_of, one_by_one, strang
from jko.limits.tolerances import TOLERANCES
from jko.measures import Density, Grid, LineGrid


class GridProblem:
    """F on a grid: what is local and implicit (the internal energy, V, a cap) and what is not (`moving`)."""

    def __init__(self, F: Functional, grid: Grid | LineGrid, carrier: Any = None):
        self.F, self.grid, parts = F, grid, F.parts
        self.fixed = parts.potential_values(grid.points).reshape(grid.cells)
        if grid.room is not None:
            self.fixed = np.where(grid.inside, self.fixed, 0.0)
        self.batches = lines_of(grid)
        self.moving = parts.interaction + parts.rest
        self.cap = np.full(grid.cells, np.inf)
        for atom in parts.constraints:
            self.cap = np.minimum(self.cap, atom.values(grid.points).reshape(grid.cells))
        self.cap[grid.doors] = np.inf
        if carrier is None:
            self.lines = self._line_solver()
        else:
            self.lines = carrier.solver(parts, grid)
            self.cap = np.minimum(self.cap, self.lines.cap)
        # on lines by themselves substeps grow as ρ comes to rest, and rest is seen where −∂ξ is 0
        self.rests = not (self.moving or hasattr(self.lines, "evolve")) and hasattr(self.lines, "crossed")
        self._plans: dict = {}
        self._last = None, None  # a measure and its moving potential: a step asks for it more than once

    def crossed(self, mu: Density, tau: float) -> tuple[float, float]:
        """(Over how many cells −∂ξ carries mass in τ on implicit lines, by how much cells change); 1 where
        solvers see to that themselves."""
        if not (self.rests or (self.moving and hasattr(self.lines, "crossed"))):
            return 1.0, 1.0
        psi = self.fixed + (self.moving_potential(mu) if self.moving else 0.0)
        volumes = 1.0 if self.batches[0][0].volumes is None else self.batches[0][0].volumes
        crossed = changed = 0.0
        for lines in (lines for batches in self.batches for lines in batches):
            fields = self._held(mu.values, lines), lines.of(psi), lines.of(self.cap) * volumes
            one, other = self.lines.crossed(*fields, tau * lines.conductance)
            crossed, changed = max(crossed, one), max(changed, other)
        return crossed, changed

    def moving_potential(self, mu: Density) -> np.ndarray:
        """The first variation of the interactions and of what else is no internal energy and no potential."""
        if self._last[0] is not mu:
            self._last = mu, self._moving_potential(mu)
        return self._last[1]

    def _moving_potential(self, mu: Density):
        total = np.zeros(self.grid.cells)
        for coefficient, atom in self.moving:
            values = self._inside(atom.first_variation(mu))
            if not np.all(np.isfinite(values)):
                floor = TOLERANCES.singular_floor * mu.values.mean() * self.grid.inside
                values = self._inside(atom.first_variation(mu.with_values(mu.values + floor)))
            total += coefficient * values
        return total

    def _inside(self, field) -> np.ndarray:
        return np.where(self.grid.inside, np.asarray(field, dtype=float), 0.0)

    def sweep(self, rho: np.ndarray, moving, tau: float, second_order: bool) -> np.ndarray:
        """All axes in turn with Ψ = V + moving frozen: Strang's order, or one axis after the other. What left
        through doors stands in their cells; `emptied` takes it out."""
        rho, left = self.emptied(rho)
        if hasattr(self.lines, "evolve"):
            psi = self.fixed if moving is None else self.fixed + moving
            return self.lines.evolve(rho, psi, tau, second_order) + left
        plan = self.plan(moving, tau, second_order)
        rho = rho.copy()
        for batches in plan:
            for lines, prepared in batches:
                after = self.lines.sweep(self._held(rho, lines), prepared)
                lines.put(after if lines.volumes is None else after / lines.volumes, rho)
            rho, gone = self.emptied(rho)
            left = left + gone
        return rho + left

    def _held(self, rho: np.ndarray, lines: Lines) -> np.ndarray:
        """What a solver of lines knows: the density, or the mass in cells of unlike volumes."""
        return lines.of(rho) if lines.volumes is None else lines.of(rho) * lines.volumes

    def emptied(self, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        """(ρ without, and with nothing but, what is in the cells of doors)."""
        if self.grid.exits is None:
            return rho, 0.0
        return np.where(self.grid.doors, 0.0, rho), np.where(self.grid.doors, rho, 0.0)

    def plan(self, moving, tau: float, second_order: bool):
        """What each axis in turn needs, as batches of (lines, prepared); kept where Ψ does not move."""
        if moving is not None:
            return self._plan(self.fixed + moving, tau, second_order)
        key = (tau, second_order)
        if key not in self._plans:
            if len(self._plans) >= TOLERANCES.cached_plans:
                self._plans.clear()
            self._plans[key] = self._plan(self.fixed, tau, second_order)
        return self._plans[key]

    def _plan(self, psi: np.ndarray, tau: float, second_order: bool):
        order = (strang if second_order else one_by_one)(len(self.batches))
        prepared = {
            (axis, share): [
                (lines, self.lines.prepare(lines, psi, share * tau, second_order))
                for lines in self.batches[axis]
            ]
            for axis, share in set(order)
        }
        return [prepared[pair] for pair in order]

    def rounding(self, mu: Density) -> float:
        """The size below which a difference of two energies is rounding."""
        rho = mu.values
        terms = rho * np.abs(self.fixed)
        if self.moving:
            terms = terms + rho * np.abs(self.moving_potential(mu))
        internal = self.F.parts.internal_energy
        if internal is not None:
            held = rho > 0.0
            slopes = np.abs(np.asarray(internal.derivative(np.where(held, rho, rho.mean()))))
            slopes = np.where(np.isfinite(slopes), slopes, 0.0)  # at a cap
            terms = terms + np.abs(np.asarray(internal.density(rho))) + rho * slopes
        if hasattr(self.lines, "size_of_terms"):
            terms = terms + self.lines.size_of_terms(rho)
        return TOLERANCES.energy_rounding * float(np.sum(terms * self.grid.cell_volume))

    def _line_solver(self):
        parts, cap = self.F.parts, self.cap
        if parts.gradient or parts.local:
            from jko.limits.coupled import CoupledDiffusion

            return CoupledDiffusion(parts, self.grid)
        capped = bool(np.isfinite(cap).any())
        if parts.internal and all(atom.is_entropy for _, atom in parts.internal) and not capped:
            from jko.limits.scharfetter_gummel import ScharfetterGummel

            return ScharfetterGummel(parts.temperature)
        if not parts.internal:
            from jko.limits.crowd import CrowdMotion
            from jko.limits.faces import Faces
            from jko.limits.upwind import Upwind

            return CrowdMotion(cap, Faces(self.grid, self.batches)) if capped else Upwind()
        if capped and (len(self.batches) > 1 or self.grid.is_periodic):
            from jko.limits.capped_diffusion import CappedDiffusion
            from jko.limits.faces import Faces

            return CappedDiffusion(parts.internal_energy, cap, Faces(self.grid, self.batches))
        from jko.limits.nonlinear_diffusion import NonlinearDiffusion

        volumes = self.batches[0][0].volumes if self.batches[0] else None
        return NonlinearDiffusion(parts.internal_energy, cap, 1.0 if volumes is None else volumes)
