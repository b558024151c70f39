"""The interaction ½ΣΣ w w W between cells that carry mass on a line, in time proportional to the cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jko.errors import UnsupportedFunctional
from jko.steps.quantile.energy import CellTerms
from jko.steps.quantile.kernel import NODES, LineKernel

_COARSE = 128
_KEPT = 3


class PairTerms(NamedTuple):
    """The energy, its force per unit mass at the Gauss points `[2, n]`, and about W″ ∗ ρ there, without what
    cannot be integrated at 0."""

    energy: float
    slope: np.ndarray
    curvature: np.ndarray


class LineInteraction:
    """½∬W dρ dρ of a density constant on cells, and its forces.

    A quadratic part by moments, |x| by order statistics, both exact; logarithms and powers by their exact
    means over cells up to four apart; everything else at two Gauss points a cell, blocks of cells far from
    each other by Chebyshev interpolation to about 1e-12. Where W is not known by name it is read from a
    table of W and W′ with cubics between.

    `modulus` is min(inf W″ over z > 0, 0) times the mass: on the line points keep their order, so that W
    need be convex on a half-line alone. −∞ where W″ is not bounded from below.
    """

    def __init__(self, terms, grid, mass):
        for _, atom in terms:
            if atom.general:
                raise UnsupportedFunctional(
                    f"steps.Quantile takes an interaction of differences W(x − y), got {atom!r}; "
                    "steps.Cvxpy takes a kernel of two points on a small grid"
                )
            atom.require_even(1)
        self.kernel = LineKernel.of(terms, grid.upper[0] - grid.lower[0], grid.size)
        self.modulus = mass * min(self.kernel.least_curvature, 0.0)
        self._known = []

    def at(self, edges, widths, masses, model=True) -> PairTerms:
        """The energy and its forces at edges `[n+1]` `widths` `[n]` apart; the model if it is wanted."""
        from jko.loops import banded

        points = banded.gauss_points(edges)
        energy, slope = self._sums(edges, widths, masses, points)
        return PairTerms(energy, slope, self._stiffness(points, masses) if model else None)

    def _sums(self, *cells_and_points):
        """The sums over pairs, or those kept of the same cells: a step begins where the last one ended."""
        *cells, points = cells_and_points
        for known, sums in self._known:
            if all(np.array_equal(a, b) for a, b in zip(cells, known, strict=True)):
                return sums
        sums = self._summed(*cells, points)
        self._known = [*self._known[1 - _KEPT :], (cells, sums)]
        return sums

    def _summed(self, edges, widths, masses, points):
        from jko.loops import line_sums, line_tree

        kernel = self.kernel
        slope = np.zeros_like(points)
        energy = 0.5 * kernel.constant * masses.sum() ** 2
        if kernel.quadratic:
            energy += _moments(points, widths, masses, kernel.quadratic, slope)
        if kernel.absolute:
            energy += line_sums.absolute_sums(points, widths, masses, kernel.absolute, slope)
        if kernel.rest:
            arguments = (kernel.logarithm, kernel.powers, kernel.table, kernel.spacing)
            energy += line_sums.near_sums(widths, masses, *arguments, slope)
            far, push = line_tree.far_sums(
                np.ascontiguousarray(points.T).ravel(), np.repeat(0.5 * masses, 2), NODES, kernel.longest,
                *arguments,
            )  # fmt: skip
            energy += far
            slope += push.reshape(-1, 2).T
        return float(energy), slope

    def _stiffness(self, points, masses):
        curvature = np.full_like(points, max(self.kernel.quadratic, 0.0) * masses.sum())
        return curvature + self._mean_curvature(points, masses) if self.kernel.rest else curvature

    def _mean_curvature(self, points, masses):
        # W″ ∗ ρ on few points, without what is singular at 0: only a model
        lower, upper = points[0, 0], points[1, -1]
        faces = np.linspace(lower, upper, _COARSE + 1)
        centre = 0.5 * (points[0] + points[1])
        bins, _ = np.histogram(centre, faces, weights=masses)
        middle = 0.5 * (faces[1:] + faces[:-1])
        bend = self.kernel.bounded_curvature(np.abs(faces[:, None] - middle[None, :]))
        return np.maximum(np.interp(points, faces, bend @ bins), 0.0)


def _moments(points, widths, masses, strength, slope):
    total = masses.sum()
    mean = 0.5 * float(masses @ (points[0] + points[1])) / total
    away = points - mean
    slope += strength * total * away
    return 0.25 * strength * total * float(masses @ (away[0] ** 2 + away[1] ** 2))


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
