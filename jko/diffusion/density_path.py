"""A density over time, with its logarithm and score as jax functions of (x, t)."""

from __future__ import annotations

import copy
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from functionals.gridded import GriddedFunction
from jko.measures import Density

_FLOOR = 1e-12


class DensityPath:
    """Densities on one grid at increasing times `[m + 1]`.

    `log_density(x, t)` and `score(x, t)` interpolate log p by cubic splines in space and linearly in time;
    below 10⁻¹² of the peak, log p levels off, and the score fades to 0.
    """

    def __init__(self, times, densities: list[Density]):
        self.times, self.densities = np.asarray(times, dtype=float), list(densities)

    @property
    def grid(self):
        """The common grid."""
        return self.densities[0].grid

    @property
    def final(self) -> Density:
        """The density at the last time."""
        return self.densities[-1]

    def at(self, t) -> Density:
        """The density at a stored time; raises ValueError at another."""
        nearest = int(np.argmin(np.abs(self.times - t)))
        if abs(self.times[nearest] - t) > 1e-9 * max(1.0, np.abs(self.times).max()):
            raise ValueError(f"t: no stored time {t:g}; the nearest is {self.times[nearest]:g}")
        return self.densities[nearest]

    def log_density(self, x, t):
        """log pₜ(x), a jax function of a point `[d]` and a time."""
        template, coefficients = self._splines
        k = jnp.clip(jnp.searchsorted(self.times, t, side="right") - 1, 0, len(self.times) - 2)
        times, table = jnp.asarray(self.times), jnp.asarray(coefficients)
        share = jnp.clip((t - times[k]) / (times[k + 1] - times[k]), 0.0, 1.0)
        blended = copy.copy(template)
        blended._coefficients = (1.0 - share) * table[k] + share * table[k + 1]
        return blended(x)

    def score(self, x, t):
        """∇log pₜ(x) `[d]`."""
        return jax.grad(self.log_density)(x, t)

    @cached_property
    def _splines(self):
        floor = _FLOOR * max(rho.values.max() for rho in self.densities)
        grid = self.grid
        splines = [
            GriddedFunction(np.log(rho.values + floor), grid.lower, grid.upper) for rho in self.densities
        ]
        return splines[0], np.stack([spline._coefficients for spline in splines])
