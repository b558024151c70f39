"""What an exact solution answers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.by_numpy import evaluated
from functionals.programs import kept
from jko.measures import Density, Grid, LineDensity, LineGrid

_ASYMMETRY = 1e-12  # of the largest entry: rounding of a product of matrices


class ExactSolution:
    """A density known in closed form at every time t ≥ 0, t = 0 being where a run starts.

    A subclass gives `dimension` and `formula(t, x)`, a jax function of a number and of points `[..., d]`
    with values `[...]`; a Gaussian one also gives `at(t)`.
    """

    dimension: int

    def formula(self, t, x):
        """ρ(t, x) as a jax function, points `[..., d]` to values `[...]`."""
        raise NotImplementedError

    def density(self, t: float, x: np.ndarray) -> np.ndarray:
        """ρ(t, x) at points `[n, d]`, values `[n]` in float64; raises ValueError for points of another
        dimension."""
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise ValueError(
                f"x: expected points of shape [n, {self.dimension}], got {x.shape}; reshape them"
            )
        return self._values(time_since_start(t), x)

    def _values(self, t: float, x: np.ndarray) -> np.ndarray:
        """`formula` at checked arguments; a subclass that knows it in numpy has nothing to compile."""
        with jax.enable_x64(True):
            return evaluated(_compiled(self), np.asarray(t), x)

    def on(self, grid: Grid | LineGrid, t: float = 0.0) -> Density | LineDensity:
        """The Density of point values at the cell centres of `grid`, scaled to carry the exact mass."""
        if grid.dimension != self.dimension:
            raise ValueError(
                f"grid: expected {self.dimension} dimensions like the solution, got {grid.dimension}; "
                "make another grid"
            )
        if grid.is_radial and not grid.shows_radial(lambda x: self.density(t, x)):
            raise ValueError(
                "grid: the solution is no function of |x| alone, as a radial grid needs: take Grid.uniform"
            )
        values = self.density(t, grid.points).reshape(grid.cells)
        total = np.sum(values * grid.cell_volume)
        if not total > 0.0:
            raise ValueError("grid: the solution has no mass on it; widen it or move it to the solution")
        return grid.density(values * (self.mass_at(t) / total))

    def mass_at(self, t: float) -> float:
        """The total mass, 1 unless a solution says otherwise."""
        return 1.0


@kept
def _compiled(solution: ExactSolution):
    return jax.jit(solution.formula)


def time_since_start(t: float) -> float:
    """t as a number of at least 0, which is where a run starts; raises ValueError for others."""
    t = float(t)
    if not 0.0 <= t < np.inf:
        raise ValueError(f"t: expected a finite time of at least 0, the start of the solution, got {t:g}")
    return t


def vector(name: str, value: float | list) -> np.ndarray:
    """A number or a list of numbers as a vector `[d]`."""
    out = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if out.ndim != 1 or not np.all(np.isfinite(out)):
        raise ValueError(f"{name}: expected a number or a vector of finite numbers, got {value!r}")
    return out


def square_matrix(name: str, value: float, dimension: int) -> np.ndarray:
    """A number (a multiple of the identity), a diagonal `[d]` or a symmetric matrix, as a matrix `[d,
    d]`."""
    value = np.asarray(value, dtype=np.float64)
    if value.ndim < 2:
        value = np.diag(np.broadcast_to(value, (dimension,)))
    if value.shape != (dimension, dimension):
        raise ValueError(f"{name}: expected a matrix of shape ({dimension}, {dimension}), got {value.shape}")
    size = np.abs(value).max(initial=0.0)
    if not np.all(np.isfinite(value)) or np.abs(value - value.T).max(initial=0.0) > _ASYMMETRY * size:
        raise ValueError(f"{name}: expected a finite symmetric matrix, got {value.tolist()}")
    return 0.5 * (value + value.T)


def covariance_matrix(std: float, covariance, dimension: int) -> np.ndarray:
    """The covariance `[d, d]` of a Gaussian given by its standard deviations (a number or `[d]`) or by the
    matrix itself."""
    if covariance is None:
        std = np.asarray(std, dtype=np.float64)
        if std.ndim > 1 or not np.all(std > 0.0) or not np.all(np.isfinite(std)):
            raise ValueError(
                f"std: expected positive numbers, got {std.tolist()}; give `covariance` for a full matrix"
            )
        return square_matrix("std", std**2, dimension)
    matrix = square_matrix("covariance", covariance, dimension)
    if np.linalg.eigvalsh(matrix)[0] <= 0.0:
        raise ValueError("covariance: expected a positive definite matrix, got a zero or negative eigenvalue")
    return matrix


def gaussian_formula(x: Array, mean: np.ndarray, covariance: np.ndarray):
    """The density of N(mean, covariance) at points `[..., d]`, in jax."""
    centred = x - mean
    exponent = -0.5 * jnp.sum((centred @ jnp.linalg.inv(covariance)) * centred, axis=-1)
    return jnp.exp(exponent) / jnp.sqrt(jnp.linalg.det(2.0 * jnp.pi * covariance))
