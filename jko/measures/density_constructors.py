"""Densities from formulas, images and particles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from functionals import pointwise
from jko.errors import finite_array, own_array, positive_number
from jko.measures.grid import Grid
from jko.measures.line_grid import LineGrid

if TYPE_CHECKING:
    from jko.measures.density import Density
    from jko.measures.line_density import LineDensity


class DensityConstructors:
    """The ways to make a `Density`; every one gives mass 1. In a room formulas hold inside of it.

    On a grid with edges of one's own they make its `LineDensity`; boxes there go from radius to radius.
    """

    @classmethod
    def from_function(cls, grid: Grid | LineGrid, f: Callable) -> Density | LineDensity:
        """The density proportional to a jax function f ≥ 0 of a point `[d]`, of mass 1."""
        if not callable(f):
            raise TypeError(f"f: expected a jax function of a point, got {type(f).__name__}")
        if isinstance(grid, LineGrid):
            grid.require_radial(f)
        values = pointwise.values(f, grid.points).reshape(grid.cells)
        return grid.density(inside_of(grid, values)).normalized()

    @classmethod
    def gaussian(
        cls, grid: Grid | LineGrid, mean: float = 0.0, std: float | None = None, *, covariance=None
    ) -> Density | LineDensity:
        """The Gaussian N(mean, covariance), or N(mean, std² I), by its values at the centres, of mass 1."""
        from jko.measures.gaussian import Gaussian

        return Gaussian.of(mean, std, covariance=covariance, dimension=grid.dimension).on(grid)

    @classmethod
    def mixture(
        cls, grid: Grid | LineGrid, means: list, stds: ArrayLike, weights: list | None = None
    ) -> Density | LineDensity:
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
        return grid.density(sum(parts)).normalized()

    @classmethod
    def uniform(
        cls, grid: Grid | LineGrid, lower: float | None = None, upper: float | None = None
    ) -> Density | LineDensity:
        """The normalised indicator of the box [lower, upper] (by default the grid), cells cut exactly."""
        axes = len(grid.cells)
        low = np.broadcast_to(grid.lower if lower is None else lower, (axes,))
        high = np.broadcast_to(grid.upper if upper is None else upper, (axes,))
        covered = np.ones((1,) * axes)
        for axis, edges in enumerate(grid.edges):
            shape = [-1 if a == axis else 1 for a in range(axes)]
            within = np.clip(edges, low[axis], max(low[axis], high[axis]))
            if isinstance(grid, LineGrid):
                edges, within = grid.volume_within(edges), grid.volume_within(within)
            covered = covered * (np.diff(within) / np.diff(edges)).reshape(shape)
        if not covered.sum() > 0:
            raise ValueError(f"the box from {lower} to {upper} does not meet the grid {grid!r}")
        return grid.density(inside_of(grid, covered)).normalized()

    @classmethod
    def from_image(cls, image, lower: float = 0.0, upper=None) -> Density:
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
        grid = Grid.uniform(tuple(low), tuple(np.broadcast_to(high, (2,))), cells)
        return grid.density(image[::-1].T).normalized()

    @classmethod
    def histogram(cls, particles, grid: Grid | LineGrid) -> Density | LineDensity:
        """The particles' masses counted in cells; every particle must lie in the box."""
        if not hasattr(particles, "positions"):
            raise TypeError(f"particles: expected Particles, got {type(particles).__name__}")
        positions = _inside(particles, grid)
        masses, _ = np.histogramdd(positions, bins=grid.edges, weights=particles.weights)
        return grid.density(masses / grid.cell_volume)

    @classmethod
    def kernel_estimate(cls, particles, grid: Grid, bandwidth=None) -> Density:
        """Gaussian kernel density estimate, mass kept by reflection at the box, in a room by dividing each
        kernel by its part in the room, which may lie behind a wall.

        `bandwidth` is the kernel's standard deviation, a number or `[d]`; by default Silverman's rule,
        σ_a (4/((d+2)n))^{1/(d+4)} along axis a [Silverman1986, equation 4.14].
        """
        from scipy.ndimage import gaussian_filter

        if not isinstance(grid, Grid):
            raise TypeError(f"grid: kernels are laid on Grid.uniform, got {grid!r}: take Density.histogram")
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
        smoothed = grid.density(spread(counted) * grid.inside)
        return smoothed.with_values(smoothed.values * (particles.mass / smoothed.mass))


def _inside(particles, grid: Grid | LineGrid) -> np.ndarray:
    """The particles' coordinates `[n, axes]`, their distances from 0 in shells; refused outside of the
    grid."""
    low, high = np.array(grid.lower), np.array(grid.upper)
    if particles.dimension != grid.dimension:
        raise ValueError(
            f"particles: expected dimension {grid.dimension}, the grid's, got {particles.dimension}"
        )
    positions = np.asarray(particles.positions)
    if isinstance(grid, LineGrid) and grid.radial:
        positions = np.linalg.norm(positions, axis=1, keepdims=True)
    outside = np.any((positions < low) | (positions > high), axis=1)
    if outside.any():
        raise ValueError(
            f"particles: {outside.sum()} of {particles.n} lie outside the grid; they reach from "
            f"{positions.min(axis=0).tolist()} to {positions.max(axis=0).tolist()}: "
            "widen the grid"
        )
    h = np.array(grid.spacing)
    cells = np.minimum(((positions - low) / h).astype(int), np.array(grid.cells) - 1)
    walled = int(np.sum(~grid.inside[tuple(cells.T)]))
    if walled:
        raise ValueError(
            f"particles: {walled} of {particles.n} lie in the walls of {grid!r}: make the room larger, or "
            "move them"
        )
    return positions


def checked_values(grid: Grid | LineGrid, values: ArrayLike) -> np.ndarray:
    """The values of a density on a grid as its own array; raises ValueError for another shape than the
    cells', for negative and NaN ones, and where all are 0."""
    values = own_array(finite_array("values", values), values)
    if values.shape != grid.cells:
        raise ValueError(f"values: expected shape {grid.cells}, the grid's cells, got {values.shape}")
    if values.min() < 0:
        raise ValueError(
            f"values: expected a density of at least 0, got {np.sum(values < 0)} negative cells, "
            f"the least {values.min():g}"
        )
    if not values.sum() > 0:
        raise ValueError("values: expected a density of positive mass, got 0 everywhere")
    return values


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
