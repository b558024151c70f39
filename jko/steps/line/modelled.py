"""A convex model, in single cells, of an energy with an interaction between cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jko.steps.line.energy import CellTerms

_NEAR = 0.1  # κ/√n; κ = π²/8 is exact for waves of two cells, the longer ones of finer grids want more


class Iterate(NamedTuple):
    """Edges `[n+1]`, widths `[n]`, the interaction there, the whole objective J and its summands' size."""

    edges: np.ndarray
    widths: np.ndarray
    pairs: object
    value: float
    magnitude: float


class Modelled:
    """The energy of single cells plus a convex model of the interaction round an iterate Y.

    E(X) ≈ E + g·(X − Y) + ½Σ w c |X − Y|² at the Gauss points + Σ κ w² D(ΔX, ΔY), c ≥ 0 about W″ ∗ ρ and D
    the Bregman distance of what in W is convex and singular at 0: neighbours keep each other apart.
    """

    def __init__(self, energy, iterate, factor=1.0):
        from jko.loops import banded

        self.energy, self.iterate = energy, iterate
        self.internal, self.cap, self.modulus = energy.internal, energy.cap, energy.modulus_of_cells
        self.keeps_open = energy.keeps_open
        rough = energy.interaction.kernel.tolerance
        self.note = f"W summed to {rough:.0e} of its range" if rough > 1e-9 else ""
        self.points = banded.gauss_points(iterate.edges)
        self.curvature = factor * iterate.pairs.curvature
        self.near = _NEAR * np.sqrt(iterate.widths.size) * factor
        self.barrier = energy.interaction.kernel.barrier if energy.interaction.kernel.keeps_open else None
        if self.barrier:
            self.start = self.barrier(_positive(iterate.widths))

    def at(self, edges, widths, masses) -> CellTerms:
        """As LineEnergy.at."""
        terms = self.energy.at(edges, widths, masses)
        away, slope = self.forces(edges)
        energy = 0.5 * float(masses @ (away * (0.5 * (self.iterate.pairs.slope + slope))).sum(axis=0))
        value, pressure, rigidity = self.spring(widths, masses)
        return CellTerms(
            terms.energy + self.iterate.pairs.energy + energy + value, terms.pressure + pressure,
            terms.rigidity + rigidity, terms.slope + slope, terms.curvature + self.curvature,
            terms.magnitude + abs(self.iterate.pairs.energy) + abs(energy) + abs(value),
        )  # fmt: skip

    def forces(self, edges):
        """X − Y at the Gauss points, and the model's slope there."""
        from jko.loops import banded

        away = banded.gauss_points(edges) - self.points
        return away, self.iterate.pairs.slope + self.curvature * away

    def spring(self, widths, masses):
        """The energy, −∂/∂ΔX and ∂²/∂ΔX² of the Bregman distances."""
        if not self.barrier:
            zero = np.zeros(masses.size)
            return 0.0, zero, zero
        weight = self.near * masses**2
        value, slope, bend = self.barrier(_positive(widths))
        start, start_slope, _ = self.start
        far = value - start - start_slope * (widths - self.iterate.widths)
        return float(weight @ far), weight * (start_slope - slope), weight * bend


def _positive(widths):
    return np.maximum(widths, 1e-140)
