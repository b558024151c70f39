"""A potential on the finest grid of a step, with its density and what it proves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.steps.dual.ascent import DualAscent
from jko.steps.dual.fenchel_young import Certificate, certify
from jko.steps.dual.nesting import Region
from jko.steps.dual.separate import keep_masses

_EXACT = 1e-13


@dataclass(frozen=True)
class DualSolution:
    """φ shifted so that ρ′ = U*′(−φ − V) has the mass of ρ_k, on a region of the grid."""

    ascent: DualAscent
    phi: np.ndarray
    density: np.ndarray
    region: Region
    certificate: Certificate
    rise: float = 0.0  # of F with the interaction's field held; a descent is negative
    iterations: int = 0

    @property
    def excess(self) -> float:
        """What tells the better of two solutions: the gap, and a rise of the energy."""
        return self.certificate.gap + max(self.rise, 0.0)

    @classmethod
    def of(cls, ascent, phi, region, grid) -> DualSolution:
        """The density that φ gives, of the mass before, with its certificate."""
        phi, density = ascent.normalise(phi, _EXACT)
        phi, density = keep_masses(ascent.energy, phi, ascent.potential, ascent.rho, density)
        return cls(ascent, phi, density, region, certify(ascent, phi, density, grid.cell_volume))

    def values(self, grid) -> np.ndarray:
        """ρ′ on the whole grid."""
        return self.region.embed(self.density, grid.cells)

    def gap_of(self, values, cost, grid) -> float:
        """What the objective of a density on the whole grid, W₂²/2τ + ∫U + ∫Vρ with `cost` for the first,
        exceeds the dual value ∫φᶜdρ_k − ∫U*(−φ − V) by, which no density's is below."""
        ascent, energy = self.ascent, self.ascent.energy
        rho = self.region.cut(values)
        primal = float(energy.internal.density(rho).sum() + np.vdot(ascent.potential, rho))
        conjugate = energy.total_conjugate(-self.phi - ascent.potential, self.density)
        dual = float(np.vdot(ascent.transform(self.phi), ascent.rho)) - conjugate
        return (primal - dual) * grid.cell_volume + cost
