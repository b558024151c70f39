"""Growth and death in each cell, the half of a splitting that moves nothing: ∂_tρ = ρ g."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from functionals.base import Functional
from functionals.by_numpy import evaluated
from functionals.pointwise import each_point
from functionals.reading import as_it_reads_now
from jko.errors import shown
from jko.limits import growth
from jko.limits.tolerances import TOLERANCES
from jko.measures import Density, Grid

_LEAST = float(np.log(np.finfo(float).tiny))  # log ρ at which rates of cells that die are read


class TooFast(Exception):
    """Growth that has no bound, takes more substeps than it may, or leaves nothing."""


class Reaction:
    """∂_t log ρ = g, g = −η/δ² with η the first variation of a functional, or a function g(x, ρ).

    Where the functional has a cap, growth ends at it: that is the flow of the functional, whose pressure
    there undoes what η would add. Under a cap of the transport's alone cells grow beyond it, and are pushed
    on.

    An exponential method of order 4 for log ρ, in steps whose local error is below `growth_error` of ρ, from
    the fastest cell's time to any that τ asks for: ρ > 0 stays so up to underflow and empty cells stay empty
    [CoxMatthews2002]. Raises TypeError for what is neither a functional nor a function.
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

    def rate(self, rho: np.ndarray, t: float) -> np.ndarray:
        """g in the cells `[*cells]` at densities ρ `[*cells]`, NaN of a functional beyond the floats."""
        if isinstance(self.source, Functional):
            if not rho.max() < np.inf:
                return np.full_like(rho, np.nan)
            slope = self.source.at(t).first_variation(Density(self.grid, rho))
            return -np.asarray(slope, dtype=float) / self.length**2
        with jax.enable_x64(True):
            found = evaluated(each_point(as_it_reads_now(self.source)), self.grid.points, rho.reshape(-1))
        return np.asarray(found, dtype=float).reshape(self.grid.cells)

    def _cap(self, t: float):
        """The least cap of the functional in the cells, inf for none."""
        caps = self.source.at(t).parts.constraints if isinstance(self.source, Functional) else ()
        values = [atom.values(self.grid.points).reshape(self.grid.cells) for atom in caps]
        return np.minimum.reduce(values) if values else np.inf

    def evolve(self, mu: Density, t: float, duration: float):
        """(ρ after that time with g at the time t, mass made, mass left): sums over cells and substeps."""
        if not duration > 0.0:
            return mu, 0.0, 0.0
        with np.errstate(all="ignore"):  # what leaves the range of floats is tried in a shorter step
            return self._evolve(mu, t, duration)

    def _evolve(self, mu: Density, t: float, duration: float):
        held, cap, made, left = mu.values > 0.0, self._cap(t), 0.0, 0.0
        full = bool(held.all())
        y = np.log(mu.values) if full else np.where(held, np.log(mu.values), 0.0)
        top = np.maximum(np.log(cap), y) if np.any(cap < np.inf) else None

        def density(y: np.ndarray):
            return np.exp(y) if full else np.where(held, np.exp(y), 0.0)

        def f(y: np.ndarray):
            rho = density(np.maximum(y if top is None else np.minimum(y, top), _LEAST))
            rate = self.rate(rho, t)
            return rate if full else np.where(held, rate, 0.0)

        steps = growth.Steps(f, top, duration)
        for _ in range(TOLERANCES.growth_substeps):
            if not steps.length(y) > np.finfo(float).eps * steps.done:  # also NaN
                raise TooFast(
                    f"the reaction's rate reached {steps.fastest:.3g}: its growth has no bound, "
                    "or take a smaller tau"
                )
            after = steps.tried(y)
            if after is None:
                continue
            y, rho = after, density(after)
            if not rho.any():  # underflow
                raise TooFast(f"the reaction leaves no mass within {duration:g}: take a smaller tau")
            change = (rho - mu.values) * self.grid.cell_volume
            made, left = made + float(change[change > 0.0].sum()), left - float(change[change < 0.0].sum())
            mu = mu.with_values(rho)
            if steps.done >= duration:
                return mu, made, left
        raise TooFast(
            f"the reaction took {TOLERANCES.growth_substeps} substeps for {steps.done / duration:.2g} of its "
            f"time, at a rate of {steps.fastest:.3g}: take a smaller tau"
        )
