"""A potential on the finest grid of a step, with its density and what it proves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from jko.measures import Density, Grid
from jko.steps.back_and_forth.ascent import DualAscent
from jko.steps.back_and_forth.tolerances import TOLERANCES
from jko.steps.grid.energy import squared_slope
from jko.steps.grid.levels import Region
from jko.steps.grid.marginals import keep_masses, least_squared_distance, rescaled


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

    def after(self, iterations: int) -> DualSolution:
        """The same, of so many pairs in all."""
        return replace(self, iterations=iterations)

    @classmethod
    def of(cls, ascent: DualAscent, phi: np.ndarray, region: Region, grid: Grid) -> DualSolution:
        """The density that φ gives, of the mass before, with its certificate."""
        phi, density = ascent.normalise(phi, TOLERANCES.exact_mass)
        phi, density = keep_masses(ascent.energy, phi, ascent.potential, ascent.rho, density, ascent.periodic)
        return cls(ascent, phi, density, region, certify(ascent, phi, density, grid.cell_volume))

    def weighed(self, problem, field, start: float, mu: Density, values=None) -> DualSolution:
        """With `values`, their `rise`, `cost` and `gap`; F(ρ_k) is `start`, and the potential holds the
        interaction's field. Unless given, values are U*′(−φ − V), or ρ̂ = T_#ρ_k where that is far better.

        On the line W₂ is known, and the gap F(ρ′) + W₂²/2τ less the dual value. Elsewhere it is the
        Fenchel–Young defect of the transported density, which needs no W₂, or the first with what W₂ is no
        less than, where that is more.
        """
        if values is not None:
            return self._judged(values, problem, field, start, mu)
        found = self._judged(self.region.embed(self.density, mu.grid.cells), problem, field, start, mu)
        if found.gap <= TOLERANCES.poor * self.certificate.gap or not self.certificate.pushed.any():
            return found
        pushed = self.region.embed(self.certificate.pushed, mu.grid.cells)
        moved = self._judged(rescaled(pushed, mu.values, mu.grid.periodic), problem, field, start, mu)
        return moved if moved.excess < TOLERANCES.better * found.excess else found

    def _judged(self, values: np.ndarray, problem, field, start: float, mu: Density):
        certificate = self.certificate
        least = least_squared_distance(mu, values) / (2.0 * self.ascent.tau)
        cost, gap = least, self.gap_of(values, least, mu.grid)
        if mu.dimension > 1:
            cost, gap = max(certificate.transport, least), max(gap, certificate.gap)
        rise = problem.energy(values, field) - start
        return replace(self, values=values, rise=rise, cost=cost, gap=gap)

    def gap_of(self, values: np.ndarray, cost: float, grid: Grid) -> float:
        """What the objective of a density on the whole grid, W₂²/2τ + ∫U + ∫Vρ with `cost` for the first,
        exceeds the dual value ∫φᶜdρ_k − ∫U*(−φ − V) by, which no density's is below."""
        ascent, energy = self.ascent, self.ascent.energy
        rho = self.region.cut(values)
        primal = float(energy.internal.density(rho).sum() + np.vdot(ascent.potential, rho))
        conjugate = energy.total_conjugate(-self.phi - ascent.potential, self.density)
        dual = float(np.vdot(ascent.transform(self.phi), ascent.rho)) - conjugate
        return (primal - dual) * grid.cell_volume + cost


@dataclass(frozen=True)
class Certificate:
    """The Fenchel–Young gap, the cost W₂²/2τ along S = id − τ∇φ, how far mass moves, root mean square,
    in cells of the widest axis, and h²/8τ summed over the axes: what the minimum over a grid may add to
    |x − y|²/2τ."""

    gap: float
    transport: float
    cells_moved: float
    grid_bias: float
    pushed: np.ndarray  # T_#ρ_k, of the mass of ρ_k

    @property
    def relative_gap(self) -> float:
        """gap/(W₂²/2τ)."""
        return self.gap / self.transport if self.transport > 0 else 0.0

    def closes(self, gap: float, tolerance: float, share: float = 1.0) -> bool:
        """Whether a gap is below `tolerance` of W₂²/2τ or a share of h²/8τ."""
        return gap <= max(tolerance * self.transport, share * self.grid_bias)


def certify(ascent: DualAscent, phi: np.ndarray, density: np.ndarray, cell_volume: float) -> Certificate:
    """Of a normalised φ and its density ρ′ = U*′(−φ − V)."""
    pressure = -phi - ascent.potential
    pushed, _ = ascent.push(phi)
    found = float(pushed.sum())
    gap = math.inf
    if 0.0 < found < math.inf:  # a far potential may move all mass out of the box
        pushed *= ascent.total / found
        work = np.where(pushed > 0, pressure, 0.0)
        primal = float(np.sum(ascent.energy.internal.density(pushed) - work * pushed))
        gap = (primal + ascent.energy.total_conjugate(pressure, density)) * cell_volume
    speed = squared_slope(phi, ascent.spacing, ascent.periodic)
    moved = ascent.tau**2 * float(np.vdot(speed, density)) * cell_volume
    mass = ascent.total * cell_volume
    cells_moved = float(np.sqrt(moved / mass)) / max(ascent.spacing)
    bias = mass * sum(h * h for h in ascent.spacing) / (8.0 * ascent.tau)
    return Certificate(gap, moved / (2.0 * ascent.tau), cells_moved, bias, pushed)
