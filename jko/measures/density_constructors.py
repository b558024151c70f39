"""Densities from formulas, images and particles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from functionals import pointwise
from jko.errors import finite_array, positive_number
from jko.measures.grid import Grid


class DensityConstructors:
    """The ways to make a `Density`; every one gives mass 1. In a room formulas hold inside of it."""

    @classmethod
    def from_function(cls, grid: Grid, f: Callable) -> Self:
        """The density proportional to a jax function f ≥ 0 of a point `[d]`, of mass 1."""
        if not callable(f):
            raise TypeError(f"f: expected a jax function of a point, got {type(f).__name__}")
        return cls(grid, inside_of(grid, pointwise.values(f, grid.points).reshape(grid.cells))).normalized()

    @classmethod
    def gaussian(cls, grid: Grid, mean: float = 0.0, std: float | None = None, *, covariance=None) -> Self:
        """The Gaussian N(mean, covariance), or N(mean, std² I), by its values at the centres, of mass 1."""
        from jko.measures.gaussian import Gaussian

        return Gaussian.of(mean, std, covariance=covariance, dimension=grid.dimension).on(grid)

    @classmethod
    def mixture(cls, grid: Grid, means: list, stds: ArrayLike, weights: list | None = None) -> Self:
        """Σ wᵢ N(meansᵢ, stdsᵢ² I), of mass 1; weights equal unless given."""
        means = list(means)
        if not means:
            raise ValueError("means: expected one or more, got none")
        stds = np.broadcast_to(finite_array("stds", stds), (len(means),))
        weights = (
            np.full(len(means), 1.0 / len(means)) if weights is None else finite_array("weights", weights)
        )
        if len(weights) != len(means) or np.any(weights < 0) or not weights.sum() > 0:
            raise ValueError(f"weights: expected {len(means)} numbers of at least 0, got {weights.tolist()}")
        parts = [w * cls.gaussian(grid, m, s).values for m, s, w in zip(means, stds, weights, strict=True)]
        return cls(grid, sum(parts)).normalized()

    @classmethod
    def uniform(cls, grid: Grid, lower: float | None = None, upper: float | None = None) -> Self:
        """The normalised indicator of the box [lower, upper] (by default the grid), cells cut exactly."""
        low = np.broadcast_to(grid.lower if lower is None else lower, (grid.dimension,))
        high = np.broadcast_to(grid.upper if upper is None else upper, (grid.dimension,))
        covered = 1.0
        for axis, edges in enumerate(grid.edges):
            part = np.clip(np.minimum(edges[1:], high[axis]) - np.maximum(edges[:-1], low[axis]), 0.0, None)
            shape = [-1 if a == axis else 1 for a in range(grid.dimension)]
            covered = covered * (part / grid.spacing[axis]).reshape(shape)
        if not covered.sum() > 0:
            raise ValueError(f"the box from {lower} to {upper} does not meet the grid {grid!r}")
        return cls(grid, inside_of(grid, covered)).normalized()

    @classmethod
    def from_image(cls, image, lower: float = 0.0, upper=None) -> Self:
        """An image `[rows, columns]` of intensities ≥ 0, of mass 1, x₁ to the right and x₂ upwards.

        The pixels are the cells; `upper` defaults to a width of 1 and square pixels.
        """
        image = finite_array("image", image)
        if image.ndim != 2:
            raise ValueError(
                f"image: expected an array [rows, columns] of intensities, got shape {image.shape}"
            )
        cells = image.shape[::-1]
        low = np.broadcast_to(np.asarray(lower, dtype=float), (2,))
        high = low + np.array([1.0, cells[1] / cells[0]]) if upper is None else upper
        return cls(
            Grid.uniform(tuple(low), tuple(np.broadcast_to(high, (2,))), cells), image[::-1].T
        ).normalized()

    @classmethod
    def histogram(cls, particles, grid: Grid) -> Self:
        """The particles' masses counted in cells; every particle must lie in the box."""
        if not hasattr(particles, "positions"):
            raise TypeError(f"particles: expected Particles, got {type(particles).__name__}")
        _require_inside(particles, grid)
        masses, _ = np.histogramdd(particles.positions, bins=grid.edges, weights=particles.weights)
        return cls(grid, masses / grid.cell_volume)

    @classmethod
    def kernel_estimate(cls, particles, grid: Grid, bandwidth=None) -> Self:
        """Gaussian kernel density estimate, mass kept by reflection at the box, in a room by dividing each
        kernel by its part in the room, which may lie behind a wall.

        `bandwidth` is the kernel's standard deviation, a number or `[d]`; by default Silverman's rule,
        σ_a (4/((d+2)n))^{1/(d+4)} along axis a [Silverman1986, equation 4.14].
        """
        from scipy.ndimage import gaussian_filter

        counted = cls.histogram(particles, grid).values
        d = grid.dimension
        if bandwidth is None:
            effective = particles.mass**2 / np.sum(np.asarray(particles.weights, dtype=float) ** 2)
            bandwidth = np.sqrt(np.diag(particles.covariance())) * (4.0 / ((d + 2) * effective)) ** (
                1.0 / (d + 4)
            )
        widths = [positive_number("bandwidth", float(b)) for b in np.broadcast_to(bandwidth, (d,))]
        sigma = [b / h for b, h in zip(widths, grid.spacing, strict=True)]

        def spread(field: np.ndarray):
            return np.maximum(gaussian_filter(field, sigma, mode="reflect", truncate=6.0), 0.0)

        if grid.room is not None:
            part = spread(grid.inside.astype(float))
            counted = np.divide(counted, part, out=np.zeros_like(counted), where=grid.inside)
        smoothed = cls(grid, spread(counted) * grid.inside)
        return smoothed.with_values(smoothed.values * (particles.mass / smoothed.mass))


def _require_inside(particles, grid: Grid):
    low, high = np.array(grid.lower), np.array(grid.upper)
    if particles.dimension != grid.dimension:
        raise ValueError(
            f"particles: expected dimension {grid.dimension}, the grid's, got {particles.dimension}"
        )
    outside = np.any((particles.positions < low) | (particles.positions > high), axis=1)
    if outside.any():
        raise ValueError(
            f"particles: {outside.sum()} of {particles.n} lie outside the grid; they reach from "
            f"{particles.positions.min(axis=0).tolist()} to {particles.positions.max(axis=0).tolist()}: "
            "widen the grid"
        )
    h = np.array(grid.spacing)
    cells = np.minimum(((particles.positions - low) / h).astype(int), np.array(grid.cells) - 1)
    walled = int(np.sum(~grid.inside[tuple(cells.T)]))
    if walled:
        raise ValueError(
            f"particles: {walled} of {particles.n} lie in the walls of {grid!r}: make the room larger, or "
            "move them"
        )


def inside_of(grid: Grid, values: np.ndarray) -> np.ndarray:
    """The values in the room, 0 in its walls; refused where nothing is left."""
    if grid.room is None:
        return values
    kept = np.where(grid.inside, values, 0.0)
    if not np.any(kept):
        raise ValueError(
            f"the room {grid!r} cuts all of the mass off: move the mass inside, or make the room larger"
        )
    return kept
