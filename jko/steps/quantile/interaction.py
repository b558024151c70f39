"""The interaction ½ΣΣ w w W between cells that carry mass on a line, in time proportional to the cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jko.errors import UnsupportedFunctional
from jko.measures import Grid
from jko.steps.quantile.kernel import NODES, LineKernel
from jko.steps.quantile.tolerances import TOLERANCES


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

    def __init__(self, terms: tuple, grid: Grid, mass: float):
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

    def at(self, edges: np.ndarray, widths: np.ndarray, masses: np.ndarray, model: bool = True) -> PairTerms:
        """The energy and its forces at edges `[n+1]` `widths` `[n]` apart; the model if it is wanted."""
        from jko.loops.elliptic import banded

        points = banded.gauss_points(edges)
        energy, slope = self._sums(edges, widths, masses, points)
        return PairTerms(energy, slope, self._stiffness(points, masses) if model else None)

    def field(self, edges: np.ndarray, masses: np.ndarray, x: np.ndarray):
        """W ∗ ρ at the centres x `[m]` of cells, by the Gauss points of those that carry the mass; what lies
        in the same cell is a quarter of it away on average."""
        from jko.loops.elliptic import banded

        out, least = np.zeros(x.size), 0.25 * (x[1] - x[0])
        for points in banded.gauss_points(edges):
            out += self.kernel.value(np.maximum(np.abs(x[:, None] - points), least)) @ (0.5 * masses)
        return out

    def _sums(self, *cells_and_points):
        """The sums over pairs, or those kept of the same cells: a step begins where the last one ended."""
        *cells, points = cells_and_points
        for known, sums in self._known:
            if all(np.array_equal(a, b) for a, b in zip(cells, known, strict=True)):
                return sums
        sums = self._summed(*cells, points)
        self._known = [*self._known[1 - TOLERANCES.sums_kept :], (cells, sums)]
        return sums

    def _summed(self, edges: np.ndarray, widths: np.ndarray, masses: np.ndarray, points: np.ndarray):
        from jko.loops.sums import line_sums, line_tree

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

    def _stiffness(self, points: np.ndarray, masses: np.ndarray):
        curvature = np.full_like(points, max(self.kernel.quadratic, 0.0) * masses.sum())
        return curvature + self._mean_curvature(points, masses) if self.kernel.rest else curvature

    def _mean_curvature(self, points: np.ndarray, masses: np.ndarray):
        # W″ ∗ ρ on few points, without what is singular at 0: only a model
        points = points - points[0, 0]  # where all mass is at one place, its width is of rounding
        faces = np.linspace(0.0, max(points[1, -1], 0.0), TOLERANCES.curvature_cells + 1)
        centre = 0.5 * (points[0] + points[1])
        bins, _ = np.histogram(centre, faces, weights=masses)
        middle = 0.5 * (faces[1:] + faces[:-1])
        bend = self.kernel.bounded_curvature(np.abs(faces[:, None] - middle[None, :]))
        return np.maximum(np.interp(points, faces, bend @ bins), 0.0)


def _moments(points: np.ndarray, widths: np.ndarray, masses: np.ndarray, strength: float, slope: np.ndarray):
    total = masses.sum()
    mean = 0.5 * float(masses @ (points[0] + points[1])) / total
    away = points - mean
    slope += strength * total * away
    return 0.25 * strength * total * float(masses @ (away[0] ** 2 + away[1] ** 2))
