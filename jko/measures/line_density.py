"""Densities on cells between edges of one's own, on a line or in spherical shells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from functionals import Functional
from functionals.by_numpy import evaluated
from functionals.programs import kept
from jko.errors import seed_number, whole_number
from jko.measures.cell_density import CellDensity
from jko.measures.density_constructors import checked_values
from jko.measures.line_grid import LineGrid

if TYPE_CHECKING:
    from jko.measures.density import Density
    from jko.measures.grid import Grid


class LineDensity(CellDensity):
    """A density ρ ≥ 0 on a `LineGrid` by its values `[n]` in the cells; mass Σ ρ_c|c|.

    In shells it is a density on R^d that depends on |x| alone, and a functional sees it so: a potential is
    asked at r e₁, and refused where it is no function of |x|. Integrals are sums over cells with the values
    at their centroids, of second order. `grid.density(values)` makes one, and so do the constructors of
    `Density` with such a grid. Raises ValueError for another shape, a negative, NaN or infinite cell, and
    zero mass.
    """

    def __init__(self, grid: LineGrid, values: np.ndarray):
        if not isinstance(grid, LineGrid):
            raise TypeError(
                f"grid: expected one of Grid.from_edges or Grid.radial, got {type(grid).__name__}: make a "
                "Density on it"
            )
        self.grid = grid
        self.values = values if isinstance(values, jax.core.Tracer) else checked_values(grid, values)

    @classmethod
    def fields_of(cls, measures: list):
        grid = measures[0].grid
        axis = "r" if grid.radial else "x1"
        fields = {
            "density": (("time", axis), np.stack([mu.values for mu in measures])),
            "edges": (("edge",), grid.edges[0]),
        }
        attributes = {"grid_dimension": grid.dimension, "grid_radial": int(grid.radial)}
        return fields, {axis: grid.axes[0]}, attributes

    @classmethod
    def from_fields(cls, dataset):
        attributes = dataset.attrs
        grid = LineGrid.of(
            dataset["edges"].values, int(attributes["grid_dimension"]), bool(attributes["grid_radial"])
        )
        return [cls(grid, values) for values in dataset["density"].values]

    @property
    def coordinates(self) -> int:
        return 1

    @property
    def size(self):
        return f"{self.grid.size} {'shells' if self.grid.radial else 'cells'}"

    def at_points(self, field: np.ndarray):
        return field

    def integrate(self, V: Callable):
        self.grid.require_radial(V)
        return super().integrate(V)

    def integrate_internal(self, U):
        return (U.density(self.values) * self.grid.cell_volume).sum()

    def internal_gradient(self, U):
        return self._gradient(U.derivative(self.values))

    def gradient_of_variation(self, F: Functional):
        return self._gradient(F.first_variation(self))

    def horizontal_derivative(self, energy, first_variation):
        return self._gradient(first_variation(self))

    def vertical_derivative(self, energy):
        with jax.enable_x64(True):
            return evaluated(_compiled_derivative(energy, self.grid), self.values) / self.grid.cell_volume

    def _gradient(self, field: np.ndarray) -> np.ndarray:
        """∇ of a field at the points `[n, d]`, along e₁; 0 where the field is infinite."""
        slope = np.zeros((self.grid.size, self.dimension))
        with np.errstate(invalid="ignore"):
            along = np.gradient(np.asarray(field, dtype=float), self.grid.axes[0])
        slope[:, 0] = np.where(np.isfinite(along), along, 0.0)
        return slope

    def convolve(self, W: Callable):
        from jko.measures.line_kernel import kernel_table

        return kernel_table(self.grid, W) @ self.masses

    def convolve_gradient(self, W: Callable):
        return self._gradient(self.convolve(W))

    def integrate_squared_gradient(self, F: Functional):
        raise ValueError(
            f"measure: an energy of the gradient is taken on grids of equal cells, got {self!r}: take "
            "Grid.uniform"
        )

    laplacian = integrate_squared_gradient

    def pair_average(self, k: Callable):
        raise ValueError(
            f"measure: a kernel of two points is taken on grids of equal cells, got {self!r}: give W of the "
            "difference, or take Grid.uniform"
        )

    pair_average_gradient = pair_average

    def mean(self) -> np.ndarray:
        return np.zeros(self.dimension) if self.grid.radial else super().mean()

    def covariance(self) -> np.ndarray:
        if not self.grid.radial:
            return super().covariance()
        second = self.masses @ self.grid.axes[0] ** 2 / self.mass
        return second / self.dimension * np.eye(self.dimension)

    def on(self, grid: Grid) -> Density:
        """The density on equal cells of R^d, by its values at their centres, linear between centroids; of the
        same mass. Raises ValueError for a grid of another dimension, and for one without its mass."""
        if grid.dimension != self.dimension:
            raise ValueError(
                f"grid: expected dimension {self.dimension}, the density's, got {grid.dimension}"
            )
        x = np.linalg.norm(grid.points, axis=1) if self.grid.radial else grid.points[:, 0]
        beyond = (x < self.grid.lower[0]) | (x > self.grid.upper[0])
        values = np.where(beyond, 0.0, np.interp(x, self.grid.axes[0], self.values)).reshape(grid.cells)
        found = grid.density(np.where(grid.inside, values, 0.0))
        return found.with_values(found.values * (self.mass / found.mass))

    def sample(self, n: int, seed: int):
        """n particles of equal weight drawn from the density, uniform within a cell: `Particles` of a density
        of mass 1, to 1e-5, and else a `Population` of its mass."""
        from jko.measures.particles import Particles
        from jko.measures.population import Population

        generator, grid = np.random.default_rng(seed_number("seed", seed)), self.grid
        masses, edges = np.asarray(self.masses), grid.volume_within(grid.edges[0])
        cells = generator.choice(grid.size, size=whole_number("n", n), p=masses / masses.sum())
        radii = grid.radius_of(edges[cells] + generator.random(n) * np.diff(edges)[cells])[:, None]
        if grid.radial:
            ways = generator.normal(size=(n, self.dimension))
            radii = radii * ways / np.linalg.norm(ways, axis=1, keepdims=True)
        return Particles(radii) if abs(self.mass - 1.0) <= 1e-5 else Population(radii, mass=self.mass)


@kept
def _compiled_derivative(energy, grid: LineGrid):
    return jax.jit(jax.grad(lambda values: jnp.asarray(energy(LineDensity(grid, values)))))
