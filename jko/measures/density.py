"""Densities on a grid."""

from __future__ import annotations

from functools import cached_property, lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.gridded import GriddedFunction
from jko.errors import finite_array, positive_number, whole_number
from jko.measures import fields
from jko.measures.grid import Grid
from jko.measures.measure import Measure


class Density(Measure):
    """A density ρ ≥ 0 by its values at the cell centres of a grid; mass Σ ρ_c|c|.

    `values` has shape `[*cells]` and is kept in float64. Integrals are midpoint sums. The mass is whatever the
    values give; the constructors below make it 1. Raises ValueError for a shape that is not the grid's, a
    negative, NaN or infinite cell, or zero mass.
    """

    def __init__(self, grid: Grid, values):
        if not isinstance(grid, Grid):
            raise TypeError(f"grid: expected a Grid, got {type(grid).__name__}: make one with Grid.uniform")
        self.grid = grid
        self.values = values if isinstance(values, jax.core.Tracer) else _checked(grid, values)

    @property
    def dimension(self) -> int:
        return self.grid.dimension

    @property
    def points(self):
        return self.grid.points

    @property
    def masses(self):
        return self.values.reshape(-1) * self.grid.cell_volume

    @cached_property
    def mass(self) -> float:
        """Σ ρ_c|c|."""
        return float(self.values.sum() * self.grid.cell_volume)

    def with_values(self, values) -> Density:
        """Another density on the same grid."""
        return Density(self.grid, values)

    def normalized(self) -> Density:
        """The density divided by its mass."""
        return self.with_values(self.values / self.mass)

    def at_points(self, field):
        return field.reshape(*self.grid.cells, *field.shape[1:])

    def density_values(self):
        return self.values

    def integrate_internal(self, U):
        return U.density(self.values).sum() * self.grid.cell_volume

    def internal_gradient(self, U):
        return fields.gradient(self.grid, U.derivative(self.values))

    def convolve(self, W):
        return fields.convolve(self.grid, W, self.values * self.grid.cell_volume)

    def convolve_gradient(self, W):
        return fields.convolve_gradient(self.grid, W, self.values * self.grid.cell_volume)

    def vertical_derivative(self, energy):
        with jax.enable_x64(True):
            return np.array(_compiled_derivative(energy, self.grid)(self.values)) / self.grid.cell_volume

    def horizontal_derivative(self, energy, first_variation):
        return fields.gradient(self.grid, first_variation(self))

    def log_density(self, x) -> np.ndarray:
        """log ρ at points `[n, d]`, by cubic interpolation of log ρ; ρ must be positive."""
        return pointwise.values(self.log_density_function, np.asarray(x, dtype=float))

    @cached_property
    def log_density_function(self):
        """log ρ as a jax function of a point `[d]`."""
        if not np.all(self.values > 0):
            raise ValueError(
                f"log ρ needs a positive density, got {np.sum(self.values <= 0)} empty cells: mix in a small uniform part"
            )
        return GriddedFunction(np.log(self.values), self.grid.lower, self.grid.upper)

    def sample(self, n: int, seed: int):
        """n particles of equal weight drawn from the density, uniform within a cell."""
        from jko.measures.particles import Particles

        generator = np.random.default_rng(seed)
        masses = np.asarray(self.masses)
        cells = generator.choice(self.grid.size, size=whole_number("n", n), p=masses / masses.sum())
        jitter = generator.random((n, self.dimension)) - 0.5
        return Particles(self.points[cells] + jitter * np.array(self.grid.spacing))

    @classmethod
    def from_function(cls, grid: Grid, f) -> Density:
        """The density proportional to a jax function f ≥ 0 of a point `[d]`, of mass 1."""
        return cls(grid, pointwise.values(f, grid.points).reshape(grid.cells)).normalized()

    @classmethod
    def gaussian(cls, grid: Grid, mean=0.0, std=None, *, covariance=None) -> Density:
        """The Gaussian N(mean, covariance), or N(mean, std² I), by its values at the centres, of mass 1."""
        from jko.measures.gaussian import Gaussian

        return Gaussian.of(mean, std, covariance=covariance, dimension=grid.dimension).on(grid)

    @classmethod
    def mixture(cls, grid: Grid, means, stds, weights=None) -> Density:
        """Σ wᵢ N(meansᵢ, stdsᵢ² I), of mass 1; weights equal unless given."""
        means = list(means)
        stds = np.broadcast_to(finite_array("stds", stds), (len(means),))
        weights = np.full(len(means), 1.0 / len(means)) if weights is None else finite_array("weights", weights)
        if len(weights) != len(means) or np.any(weights < 0) or not weights.sum() > 0:
            raise ValueError(f"weights: expected {len(means)} numbers of at least 0, got {weights.tolist()}")
        parts = [w * cls.gaussian(grid, m, s).values for m, s, w in zip(means, stds, weights, strict=True)]
        return cls(grid, sum(parts)).normalized()

    @classmethod
    def uniform(cls, grid: Grid, lower=None, upper=None) -> Density:
        """The normalised indicator of the box [lower, upper] (the whole grid unless given), cells cut exactly."""
        low = np.broadcast_to(grid.lower if lower is None else lower, (grid.dimension,))
        high = np.broadcast_to(grid.upper if upper is None else upper, (grid.dimension,))
        covered = 1.0
        for axis, edges in enumerate(grid.edges):
            part = np.clip(np.minimum(edges[1:], high[axis]) - np.maximum(edges[:-1], low[axis]), 0.0, None)
            shape = [-1 if a == axis else 1 for a in range(grid.dimension)]
            covered = covered * (part / grid.spacing[axis]).reshape(shape)
        if not covered.sum() > 0:
            raise ValueError(f"the box from {lower} to {upper} does not meet the grid {grid!r}")
        return cls(grid, covered).normalized()

    @classmethod
    def from_image(cls, image, lower=0.0, upper=None) -> Density:
        """An image `[rows, columns]` of intensities ≥ 0 as a density of mass 1, x₁ to the right and x₂ upwards.

        The pixels are the cells; `upper` defaults to a width of 1 and square pixels.
        """
        image = finite_array("image", image)
        if image.ndim != 2:
            raise ValueError(f"image: expected an array [rows, columns] of intensities, got shape {image.shape}")
        cells = image.shape[::-1]
        low = np.broadcast_to(np.asarray(lower, dtype=float), (2,))
        high = low + np.array([1.0, cells[1] / cells[0]]) if upper is None else upper
        return cls(Grid.uniform(tuple(low), tuple(np.broadcast_to(high, (2,))), cells), image[::-1].T).normalized()

    @classmethod
    def histogram(cls, particles, grid: Grid) -> Density:
        """The particles' masses counted in cells; every particle must lie in the box."""
        _require_inside(particles, grid)
        masses, _ = np.histogramdd(particles.positions, bins=grid.edges, weights=particles.weights)
        return cls(grid, masses / grid.cell_volume)

    @classmethod
    def kernel_estimate(cls, particles, grid: Grid, bandwidth=None) -> Density:
        """Gaussian kernel density estimate, mass kept by reflection at the box.

        `bandwidth` is the kernel's standard deviation, a number or `[d]`; by default Silverman's rule,
        σ_a (4/((d+2)n))^{1/(d+4)} along axis a [Silverman1986, equation 4.14].
        """
        from scipy.ndimage import gaussian_filter

        d = grid.dimension
        if bandwidth is None:
            effective = 1.0 / np.sum(np.asarray(particles.weights, dtype=float) ** 2)
            bandwidth = np.sqrt(np.diag(particles.covariance())) * (4.0 / ((d + 2) * effective)) ** (1.0 / (d + 4))
        widths = [positive_number("bandwidth", float(b)) for b in np.broadcast_to(bandwidth, (d,))]
        counted = cls.histogram(particles, grid).values
        sigma = [b / h for b, h in zip(widths, grid.spacing, strict=True)]
        return cls(grid, np.maximum(gaussian_filter(counted, sigma, mode="reflect", truncate=6.0), 0.0)).normalized()

    def __repr__(self) -> str:
        return f"Density on {self.grid!r}"


@lru_cache(maxsize=32)
def _compiled_derivative(energy, grid):
    return jax.jit(jax.grad(lambda values: jnp.asarray(energy(Density(grid, values)))))


def _checked(grid, values) -> np.ndarray:
    values = finite_array("values", values)
    if values.shape != grid.cells:
        raise ValueError(f"values: expected shape {grid.cells}, the grid's cells, got {values.shape}")
    if values.min() < 0:
        raise ValueError(
            f"values: expected a density of at least 0, got {np.sum(values < 0)} negative cells, the least {values.min():g}"
        )
    if not values.sum() > 0:
        raise ValueError("values: expected a density of positive mass, got 0 everywhere")
    return values


def _require_inside(particles, grid):
    low, high = np.array(grid.lower), np.array(grid.upper)
    if particles.dimension != grid.dimension:
        raise ValueError(f"particles: expected dimension {grid.dimension}, the grid's, got {particles.dimension}")
    outside = np.any((particles.positions < low) | (particles.positions > high), axis=1)
    if outside.any():
        raise ValueError(
            f"particles: {outside.sum()} of {particles.n} lie outside the grid; they reach from "
            f"{particles.positions.min(axis=0).tolist()} to {particles.positions.max(axis=0).tolist()}: widen the grid"
        )
