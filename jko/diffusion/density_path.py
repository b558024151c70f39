"""A density over time, with its logarithm and score as jax functions of (x, t)."""

from __future__ import annotations

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jko.diffusion.arguments import ROUNDING, finite_number, instance, moment, point
from jko.diffusion.paths import checked_times
from jko.measures import Density

FLOOR = 1e-12


class DensityPath:
    """Densities on one grid at increasing times `[m + 1]`, m ≥ 1.

    `log_density(x, t)` and `score(x, t)` interpolate log p by quintic splines in space and linearly in time;
    below 10⁻¹² of the peak, log p levels off, and the score fades to 0, as it does outside the grid. Outside
    the times nothing is known: a time there is refused by ValueError, and gives NaN where it is traced by
    jax; 10⁻⁶ of their span is taken for rounding. Raises TypeError or ValueError for times and densities
    that do not belong together.

    `cell_peclet` is the number of `fokker_planck` that tells whether its grid resolved drift against noise,
    None for another path; `note` is empty, or the sentence of the warning where it did not.
    """

    def __init__(
        self, times: np.ndarray, densities: list[Density], *, cell_peclet: float | None = None, note: str = ""
    ):
        self.cell_peclet, self.note = cell_peclet, note
        self.times = checked_times(times, backward=False)
        if not isinstance(densities, (list, tuple)):
            raise TypeError(f"densities: expected a list of them, got {type(densities).__name__}")
        self.densities = [instance("densities", density, Density) for density in densities]
        if len(self.densities) != len(self.times):
            raise ValueError(
                f"densities: expected one for each of {len(self.times)} times, got {len(densities)}"
            )
        if any(density.grid != self.grid for density in self.densities):
            raise ValueError("densities: expected one grid for all of them")

    @property
    def grid(self):
        """The common grid."""
        return self.densities[0].grid

    @property
    def final(self) -> Density:
        """The density at the last time."""
        return self.densities[-1]

    @property
    def known_times(self):
        """The first and the last time."""
        return self.times[0], self.times[-1]

    def at(self, t) -> Density:
        """The density at a stored time; raises ValueError at another."""
        t = finite_number("t", t)
        nearest = int(np.argmin(np.abs(self.times - t)))
        if abs(self.times[nearest] - t) > ROUNDING * np.diff(self.times).min():
            raise ValueError(f"t: no stored time {t:g}; the nearest is {self.times[nearest]:g}")
        return self.densities[nearest]

    def log_density(self, x, t):
        """log pₜ(x), a jax function of a point `[d]` and a time."""
        x = point("x", x, self.grid.dimension)
        t = moment(t, *self.known_times, known="a time of the path,")
        table, times = jnp.asarray(self._coefficients), jnp.asarray(self.times)
        k = jnp.clip(jnp.searchsorted(times, t, side="right") - 1, 0, len(times) - 2)
        share = jnp.clip((t - times[k]) / (times[k + 1] - times[k]), 0.0, 1.0)
        last = jnp.asarray(self.grid.cells) - 1
        # no sum after a product: see GriddedFunction
        first = jnp.asarray(self.grid.points[0], x.dtype)
        u = jnp.clip((x - first) / jnp.asarray(self.grid.spacing, x.dtype), 0.0, last)
        cell = jnp.minimum(jnp.floor(u), last - 1).astype(k.dtype)
        window = [6] * self.grid.dimension
        around = [lax.dynamic_slice(table, (j, *cell), (1, *window))[0] for j in (k, k + 1)]
        value = (1.0 - share) * around[0] + share * around[1]
        for weights in _quintic_weights(u - cell).T:
            value = jnp.tensordot(weights, value, axes=(0, 0))
        return value

    def score(self, x, t):
        """∇log pₜ(x) `[d]`."""
        return jax.jacfwd(self.log_density)(point("x", x, self.grid.dimension), t)

    @cached_property
    def _coefficients(self):
        """Of the quintic B-splines through log p at every time, two more around the grid by reflection."""
        from scipy.ndimage import spline_filter

        floor = FLOOR * max(rho.values.max() for rho in self.densities)
        return np.stack(
            [
                np.pad(spline_filter(np.log(rho.values + floor), order=5, mode="mirror"), 2, mode="reflect")
                for rho in self.densities
            ]
        )


def _quintic_weights(s):
    """The six B-spline weights `[6, d]` at offsets s `[d]` in [0, 1] within a cell."""
    nodes = jnp.stack([s + 2.0 - k for k in range(6)])
    r = jnp.abs(nodes)
    sign = [(3.0, 1.0), (2.0, -6.0), (1.0, 15.0)]
    return sum(c * jnp.maximum(reach - r, 0.0) ** 5 for reach, c in sign) / 120.0
