"""A potential on the finest grid of a step, with its density and what it proves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jko.steps.dual.ascent import DualAscent
from jko.steps.dual.fenchel_young import Certificate, certify
from jko.steps.dual.marginals import least_squared_distance
from jko.steps.dual.nesting import Region
from jko.steps.dual.separate import keep_masses, rescaled

_EXACT = 1e-13
_POOR, _BETTER = 2.0, 0.5  # of ρ̂'s defect, from where ρ′ is compared with ρ̂; of its gap, what makes ρ̂ better


@dataclass(frozen=True)
class DualSolution:
    """φ shifted so that ρ′ = U*′(−φ − V) has the mass of ρ_k, on a region of the grid."""

    ascent: DualAscent
    phi: np.ndarray
    density: np.ndarray
    region: Region
    certificate: Certificate
    values: np.ndarray | None = None  # the answer on the whole grid
    rise: float = 0.0  # of F with the interaction's field held; a descent is negative
    cost: float = 0.0  # W₂²/2τ of the stored densities, as far as it is known
    gap: float = 0.0
    iterations: int = 0

    @property
    def excess(self) -> float:
        """What tells the better of two solutions: the gap, and a rise of the energy."""
        return self.gap + max(self.rise, 0.0)

    def after(self, iterations) -> DualSolution:
        """The same, of so many pairs in all."""
        return replace(self, iterations=iterations)

    @classmethod
    def of(cls, ascent, phi, region, grid) -> DualSolution:
        """The density that φ gives, of the mass before, with its certificate."""
        phi, density = ascent.normalise(phi, _EXACT)
        phi, density = keep_masses(ascent.energy, phi, ascent.potential, ascent.rho, density)
        return cls(ascent, phi, density, region, certify(ascent, phi, density, grid.cell_volume))

    def weighed(self, problem, field, start, mu, values=None) -> DualSolution:
        """With `values`, their `rise`, `cost` and `gap`; F(ρ_k) is `start`, and the potential holds the
        interaction's field. Unless given, values are U*′(−φ − V), or ρ̂ = T_#ρ_k where that is far better.

        On the line W₂ is known, and the gap F(ρ′) + W₂²/2τ less the dual value. Elsewhere it is the
        Fenchel–Young defect of the transported density, which needs no W₂, or the first with what W₂ is no
        less than, where that is more.
        """
        if values is not None:
            return self._judged(values, problem, field, start, mu)
        found = self._judged(self.region.embed(self.density, mu.grid.cells), problem, field, start, mu)
        if found.gap <= _POOR * self.certificate.gap or not self.certificate.pushed.any():
            return found
        pushed = self.region.embed(self.certificate.pushed, mu.grid.cells)
        moved = self._judged(rescaled(pushed, mu.values), problem, field, start, mu)
        return moved if moved.excess < _BETTER * found.excess else found

    def _judged(self, values, problem, field, start, mu):
        certificate = self.certificate
        least = least_squared_distance(mu, values) / (2.0 * self.ascent.tau)
        cost, gap = least, self.gap_of(values, least, mu.grid)
        if mu.dimension > 1:
            cost, gap = max(certificate.transport, least), max(gap, certificate.gap)
        rise = problem.energy(values, field) - start
        return replace(self, values=values, rise=rise, cost=cost, gap=gap)

    def gap_of(self, values, cost, grid) -> float:
        """What the objective of a density on the whole grid, W₂²/2τ + ∫U + ∫Vρ with `cost` for the first,
        exceeds the dual value ∫φᶜdρ_k − ∫U*(−φ − V) by, which no density's is below."""
        ascent, energy = self.ascent, self.ascent.energy
        rho = self.region.cut(values)
        primal = float(energy.internal.density(rho).sum() + np.vdot(ascent.potential, rho))
        conjugate = energy.total_conjugate(-self.phi - ascent.potential, self.density)
        dual = float(np.vdot(ascent.transform(self.phi), ascent.rho)) - conjugate
        return (primal - dual) * grid.cell_volume + cost
