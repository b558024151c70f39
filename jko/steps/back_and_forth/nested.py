"""Ascent from coarse grids to fine, within a box round the support where there is vacuum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.steps.back_and_forth.ascent import DualAscent
from jko.steps.back_and_forth.tolerances import TOLERANCES
from jko.steps.grid.dual_energy import DualEnergy
from jko.steps.grid.levels import Level, Region, support_box


@dataclass
class NestedAscent:
    """Runs the ladder of grids of one JKO step."""

    internal: object
    tau: float
    full_support: bool
    iterations: tuple[int, ...]
    margin: float
    caution: float = 1.0
    threads: int = 1

    def run(self, region: Region, boxed: bool = True):
        """(ascent on the finest grid, φ there, the region or the box of it that was used)."""
        sizes = region.levels(TOLERANCES.coarsest[region.rho.ndim - 1])
        phi, level, boxed = None, None, boxed and not self.full_support
        done = 0
        while sizes:
            finer = region.coarse(sizes.pop())
            ascent = self.ascent(finer)
            phi = self.start(ascent, finer) if phi is None else level.carry(phi, finer)
            level = finer
            phi = ascent.ascend(phi, self._pairs(len(sizes), first=done == 0))
            done += ascent.iterations
            if boxed and sizes and max(level.rho.shape) >= TOLERANCES.boxing_cells:
                boxed = False
                region, sizes = self._box(region, sizes, level, ascent.normalise(phi)[1])
        ascent.iterations = done
        return ascent, phi, region

    def _pairs(self, depth: int, first: bool) -> int:
        """Pairs on a level; the first and coarsest, where they are cheapest, gets the last number."""
        return self.iterations[-1 if first else min(depth, len(self.iterations) - 1)]

    def ascent(self, level: Level) -> DualAscent:
        """The ascent on a level."""
        energy = DualEnergy(self.internal)
        return DualAscent(level, energy, self.tau, self.full_support, self.caution, self.threads)

    def start(self, ascent: DualAscent, level: Level):
        """The inf-convolution of U′(ρ_k) + V: what a step of explicit Euler would give, made c-concave."""
        floor = TOLERANCES.start_floor * level.rho.max()
        rho = np.maximum(level.rho, floor) if self.full_support else level.rho
        return ascent.conjugate(ascent.transform(-self.internal.derivative(rho) - level.potential))

    def _box(self, region: Region, sizes: list, level: Level, density: np.ndarray):
        low, high = support_box(region, level, density, self.margin)
        box_cells = np.subtract(high, low)
        if np.prod(box_cells) > TOLERANCES.worthwhile_box * np.prod(region.cells):
            return region, sizes
        box = region.box(low, high)
        return box, box.halved(len(sizes))
