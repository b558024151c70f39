"""Growth and death in each cell, the half of a splitting that moves nothing: ∂_tρ = ρ g."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import numpy as np

from functionals.base import Functional
from functionals.by_numpy import evaluated
from functionals.pointwise import each_point
from functionals.reading import as_it_reads_now
from jko.errors import shown
from jko.limits.tolerances import TOLERANCES
from jko.measures import Density, Grid


class TooFast(Exception):
    """Growth that would take more substeps than it may."""


class Reaction:
    """∂_t log ρ = g, g = −η/δ² with η the first variation of a functional, or a function g(x, ρ).

    Where the functional has a cap, growth ends at it: that is the flow of the functional, whose pressure
    there undoes what η would add. Under a cap of the transport's alone cells grow beyond it, and are pushed
    on.

    Runge–Kutta's method of order 4 for log ρ, so that ρ > 0 stays so and empty cells stay empty
    [HairerNorsettWanner1993]. Raises TypeError for what is neither a functional nor a function.
    """

    def __init__(self, source: Functional | Callable, grid: Grid, length: float):
        if not (isinstance(source, Functional) or callable(source)):
            raise TypeError(
                f"reaction: expected a Functional, or a jax function g(x, rho) of a point and a density, "
                f"got {shown(source)}"
            )
        self.source, self.grid, self.length = source, grid, length

    @property
    def depends_on_time(self) -> bool:
        """Whether the functional does; a function knows no time."""
        return isinstance(self.source, Functional) and self.source.depends_on_time

    def rate(self, mu: Density, t: float) -> np.ndarray:
        """g in the cells `[*cells]`."""
        if isinstance(self.source, Functional):
            return -np.asarray(self.source.at(t).first_variation(mu), dtype=float) / self.length**2
        with jax.enable_x64(True):
            found = evaluated(
                each_point(as_it_reads_now(self.source)), self.grid.points, mu.values.reshape(-1)
            )
        return np.asarray(found, dtype=float).reshape(self.grid.cells)

    def _cap(self, t: float):
        """The least cap of the functional in the cells, inf for none."""
        caps = self.source.at(t).parts.constraints if isinstance(self.source, Functional) else ()
        values = [atom.values(self.grid.points).reshape(self.grid.cells) for atom in caps]
        return np.minimum.reduce(values) if values else np.inf

    def evolve(self, mu: Density, t: float, duration: float):
        """(ρ after that time with g at the time t, mass made, mass left): sums over cells and substeps."""
        held, made, left, done = mu.values > 0.0, 0.0, 0.0, 0.0
        for _ in range(TOLERANCES.growth_substeps):
            if done >= duration:
                return mu, made, left
            first, rest = np.where(held, self.rate(mu, t), 0.0), duration - done
            fastest = float(np.abs(first).max())
            if (
                not rest * fastest < TOLERANCES.growth_substeps * TOLERANCES.growth
            ):  # NaN, or beyond the range of floats
                break
            parts = math.ceil(rest * fastest / TOLERANCES.growth) or 1
            grown = mu.values * np.exp(self._change(mu, first, t, rest / parts, held))
            after = mu.with_values(np.minimum(grown, np.maximum(self._cap(t), mu.values)))
            change = (after.values - mu.values) * self.grid.cell_volume
            made, left = made + float(change[change > 0.0].sum()), left - float(change[change < 0.0].sum())
            mu, done = after, duration if parts == 1 else done + rest / parts
        raise TooFast(
            f"the reaction's rate reached {fastest:.3g}: its growth has no bound, or take a smaller tau"
        )

    def _change(self, mu: Density, first: np.ndarray, t: float, s: float, held: np.ndarray):
        def there(change: np.ndarray):
            return np.where(held, self.rate(mu.with_values(mu.values * np.exp(change)), t), 0.0)

        second = there(0.5 * s * first)
        third = there(0.5 * s * second)
        return s / 6.0 * (first + 2.0 * second + 2.0 * third + there(s * third))
