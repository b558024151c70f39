"""Densities on a grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from functionals import Functional, pointwise
from functionals.array import Array
from functionals.by_numpy import evaluated
from functionals.gridded import GriddedFunction
from functionals.programs import kept
from jko.errors import seed_number, whole_number
from jko.measures import fields
from jko.measures.cell_density import CellDensity
from jko.measures.density_constructors import DensityConstructors, checked_values
from jko.measures.grid import Grid

_OVERLAP = 24  # cells round a periodic axis, after which a spline has forgotten its ends


class Density(DensityConstructors, CellDensity):
    """A density ρ ≥ 0 by its values at the cell centres of a grid; mass Σ ρ_c|c|.

    `values` has shape `[*cells]` and is kept in float64. Integrals are midpoint sums. The mass is whatever
    the values give; the constructors of `DensityConstructors` make it 1. In a room ρ is 0 in the walls, and
    integrals are over the inside. Raises ValueError for a shape that is not the grid's, a negative, NaN or
    infinite cell, mass in walls, or zero mass. An array that can be written to is copied.
    """

    def __init__(self, grid: Grid, values: np.ndarray):
        if not isinstance(grid, Grid):
            instead = (
                "take grid.density(values)" if hasattr(grid, "density") else "make one with Grid.uniform"
            )
            raise TypeError(f"grid: expected a Grid, got {type(grid).__name__}: {instead}")
        self.grid = grid
        self.values = values if isinstance(values, jax.core.Tracer) else _checked(grid, values)

    @cached_property
    def mass(self) -> float:
        """Σ ρ_c|c|."""
        return float(self.values.sum() * self.grid.cell_volume)

    @classmethod
    def fields_of(cls, measures: list):
        grid = measures[0].grid
        axes = [f"x{axis + 1}" for axis in range(grid.dimension)]
        attributes = {"grid_lower": np.array(grid.lower), "grid_upper": np.array(grid.upper)}
        if grid.is_periodic:
            attributes["grid_periodic"] = np.array(grid.periodic, dtype=int)
        fields = {"density": (("time", *axes), np.stack([mu.values for mu in measures]))}
        if grid.is_room:
            masks = {"inside": grid.inside, "doors": grid.doors}
            fields |= {name: (axes, cells.astype(np.int8)) for name, cells in masks.items()}
        return fields, dict(zip(axes, grid.axes, strict=True)), attributes

    @classmethod
    def from_fields(cls, dataset):
        values = dataset["density"].values
        masks = {name: dataset[name].values > 0 for name in ("inside", "doors") if name in dataset}
        grid = Grid.uniform(
            tuple(np.atleast_1d(dataset.attrs["grid_lower"])),
            tuple(np.atleast_1d(dataset.attrs["grid_upper"])),
            values.shape[1:],
            tuple(np.atleast_1d(dataset.attrs.get("grid_periodic", 0)).astype(bool).tolist()),
            **{name: cells for name, cells in masks.items() if cells.any()},
        )
        return [cls(grid, v) for v in values]

    @property
    def is_periodic(self):
        return self.grid.is_periodic

    @property
    def size(self):
        return f"{'x'.join(map(str, self.grid.cells))} cells"

    def at_points(self, field: np.ndarray):
        return field.reshape(*self.grid.cells, *field.shape[1:])

    def integrate(self, V: Callable):
        if self.grid.room is None:
            return super().integrate(V)
        # V may be infinite in walls
        field = np.where(self.grid.inside.reshape(-1), pointwise.values(V, self.points), 0.0)
        return (self.masses * field).sum()

    def integrate_internal(self, U: Functional):
        return U.density(self.values).sum() * self.grid.cell_volume

    def internal_gradient(self, U: Functional):
        return fields.gradient(self.grid, U.derivative(self.values))

    def integrate_squared_gradient(self, F: Functional):
        return fields.squared_jumps(self.grid, F.g(self.values)) * self.grid.cell_volume

    def laplacian(self, F: Functional):
        return fields.laplacian(self.grid, F.g(self.values))

    def gradient_of_variation(self, F: Functional):
        return fields.gradient(self.grid, F.first_variation(self))

    def convolve(self, W: Callable):
        return fields.convolve(self.grid, W, self.values * self.grid.cell_volume)

    def convolve_gradient(self, W: Callable):
        return fields.convolve_gradient(self.grid, W, self.values * self.grid.cell_volume)

    def vertical_derivative(self, energy):
        with jax.enable_x64(True):
            return evaluated(_compiled_derivative(energy, self.grid), self.values) / self.grid.cell_volume

    def horizontal_derivative(self, energy, first_variation):
        return fields.gradient(self.grid, first_variation(self))

    def log_density(self, x) -> np.ndarray:
        """log ρ at points `[n, d]`, by cubic interpolation of log ρ; ρ must be positive."""
        return pointwise.values(self.log_density_function, np.asarray(x, dtype=float))

    @cached_property
    def log_density_function(self):
        """log ρ as a jax function of a point `[d]`: −∞ beyond the box, where there is no mass."""
        if self.grid.is_room:
            raise ValueError(
                "log ρ at points needs a density without walls, which its cubics would cross: give its "
                "logarithm as a jax function of a point"
            )
        if not np.all(self.values > 0):
            raise ValueError(
                f"log ρ needs a positive density, got {np.sum(self.values <= 0)} empty cells: "
                "mix in a small uniform part"
            )
        around = [_OVERLAP if turns else 0 for turns in self.grid.periodic]
        shift = np.array(around) * self.grid.spacing
        logs = np.pad(np.log(self.values), [(k, k) for k in around], mode="wrap")
        return _WithinItsBox(logs, self.grid.lower - shift, self.grid.upper + shift, self.grid.periodic)

    def sample(self, n: int, seed: int):
        """n particles of equal weight drawn from the density, uniform within a cell: `Particles` of a density
        of mass 1, to 1e-5, and else a `Population` of its mass."""
        from jko.measures.particles import Particles
        from jko.measures.population import Population

        generator = np.random.default_rng(seed_number("seed", seed))
        masses = np.asarray(self.masses)
        cells = generator.choice(self.grid.size, size=whole_number("n", n), p=masses / masses.sum())
        jitter = generator.random((n, self.dimension)) - 0.5
        positions = self.points[cells] + jitter * np.array(self.grid.spacing)
        return Particles(positions) if abs(self.mass - 1.0) <= 1e-5 else Population(positions, mass=self.mass)


class _WithinItsBox(GriddedFunction):
    """Gridded logarithms of a density, −∞ beyond the box, to rounding; axes whose ends are joined go on."""

    def __init__(self, values: np.ndarray, lower: np.ndarray, upper: np.ndarray, periodic: tuple[bool, ...]):
        super().__init__(values, lower, upper)
        slack = np.where(periodic, np.inf, 1e-9 * (self.upper - self.lower))
        self._first, self._last = self.lower - slack, self.upper + slack

    def with_coefficients(self, x: Array, coefficients: Array):
        value = super().with_coefficients(x, coefficients)
        inside = jnp.all((x >= self._first) & (x <= self._last))
        return jnp.where(inside, value, -jnp.inf)


@kept
def _compiled_derivative(energy, grid: Grid):
    return jax.jit(jax.grad(lambda values: jnp.asarray(energy(Density(grid, values)))))


def _checked(grid: Grid, values: np.ndarray) -> np.ndarray:
    values = checked_values(grid, values)
    cut = 0.0 if grid.room is None else float(values[~grid.inside].sum())
    if cut > 0.0:
        raise ValueError(
            f"values: expected no mass in walls, got {cut / values.sum():.2g} of it there: the room, inside, "
            "cuts it off; make the room larger, or set the values to 0 in the walls"
        )
    return values
