"""Gridded data as a smooth jax function: a tensor cubic B-spline through the samples."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.numbers import finite


class GriddedFunction:
    """The cubic B-spline interpolant [Unser1999] of samples on a uniform box grid of cell centres.

    `values` has shape `[*cells]`; sample i along an axis sits at lower + (i + ½)h, h = (upper − lower)/cells.
    Twice continuously differentiable inside; outside the samples it goes on with constant value along the
    axis left (mirror-symmetric at the first and last sample, so that the slope normal to the box is 0 there).
    Raises ValueError for samples that are not finite or fewer than 4 along an axis.
    """

    def __init__(self, values: np.ndarray, lower: float | tuple, upper: float | tuple):
        from scipy.ndimage import spline_filter

        values = np.asarray(values, dtype=float)
        self.dimension = values.ndim
        self.lower, self.upper = _corner("lower", lower, values.ndim), _corner("upper", upper, values.ndim)
        if not np.all(np.isfinite(values)):
            raise ValueError(
                f"gridded values must be finite, got {np.sum(~np.isfinite(values))} NaN or infinite samples"
            )
        if min(values.shape, default=0) < 4:
            raise ValueError(
                f"gridded values need 4 samples or more along every axis, got shape {values.shape}"
            )
        if not np.all(self.upper > self.lower):
            raise ValueError(f"upper must exceed lower along every axis, got lower={lower}, upper={upper}")
        self.values = values
        self._spacing = (self.upper - self.lower) / values.shape
        self._coefficients = spline_filter(values, order=3, mode="mirror")

    @property
    def coefficients(self) -> np.ndarray:
        """Those of the B-splines, `[*cells]`."""
        return self._coefficients

    def __call__(self, x: Array):
        return self.with_coefficients(x, self._coefficients)

    def with_coefficients(self, x: Array, coefficients: Array):
        """The spline of other coefficients on the same grid, at x: one program for all of them."""
        x = jnp.asarray(x)
        if x.shape != (self.dimension,):
            raise ValueError(f"gridded data in {self.dimension}D were asked at a point of shape {x.shape}")
        dtype = jnp.result_type(x, jnp.float32)
        coefficients = jnp.asarray(coefficients, dtype)
        last = np.array(self.values.shape) - 1
        # no sum after a product: XLA may compute u twice and fuse one of them, and round to another cell
        first = jnp.asarray(self.lower + 0.5 * self._spacing, dtype)
        u = jnp.clip((x - first) / jnp.asarray(self._spacing, dtype), 0.0, last)
        cell = jnp.clip(jnp.floor(u), 0, last - 1).astype(int)
        weights = _cubic_weights(u - cell)
        total = 0.0
        for offsets in itertools.product(range(4), repeat=self.dimension):
            index = tuple(_mirror(cell[a] + o - 1, last[a]) for a, o in enumerate(offsets))
            product = coefficients[index]
            for a, o in enumerate(offsets):
                product = product * weights[o][a]
            total = total + product
        return total

    def __repr__(self):
        return f"gridded {'×'.join(map(str, self.values.shape))}"


def _corner(name: str, value: float | tuple, dimension: int) -> np.ndarray:
    corner = finite(name, value)
    if corner.shape not in ((), (1,), (dimension,)):
        raise ValueError(f"{name}: expected one number or {dimension}, one an axis, got {value!r}")
    return np.broadcast_to(corner, (dimension,))


def _cubic_weights(t: Array):
    """The four cubic B-spline weights at offset t in [0, 1] within a cell."""
    return (
        (1.0 - t) ** 3 / 6.0,
        (3.0 * t**3 - 6.0 * t**2 + 4.0) / 6.0,
        (-3.0 * t**3 + 3.0 * t**2 + 3.0 * t + 1.0) / 6.0,
        t**3 / 6.0,
    )


def _mirror(index: Array, last: int):
    index = jnp.abs(index)
    return jnp.where(index > last, 2 * last - index, index)
