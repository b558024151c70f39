"""The exact solution as a measure that a run's measure can be held against."""

from __future__ import annotations

import numpy as np

from jko.comparison.distances import PLAN
from jko.comparison.tolerances import TOLERANCES
from jko.measures import CellDensity, Density, Grid, Measure, Particles


class Reference:
    """An exact solution, asked at a time for the measure nearest in kind to the one beside it.

    A density is held against the exact point values on its own grid; a cloud or a Gaussian against the
    Gaussian `exact.at(t)` where there is one, else against the density on the finest grid of the runs or
    around the clouds.
    """

    def __init__(self, exact, runs):
        self.exact = exact
        self._grid = _finest_grid(runs) or _grid_around(runs, exact.dimension)

    def beside(self, mu: Measure, t):
        """The exact measure at time t."""
        if hasattr(self.exact, "at"):
            gaussian = self.exact.at(t)
            return gaussian.on(mu.grid) if isinstance(mu, CellDensity) else gaussian
        if isinstance(mu, CellDensity):
            return self.exact.on(mu.grid, t)
        return self.exact.on(self._grid, t)

    def sample(self, cloud: Particles, t, seed: int) -> Particles:
        """As many independent draws from the exact solution as the cloud has effective particles."""
        n = max(int(1.0 / np.sum(np.asarray(cloud.weights, dtype=float) ** 2) + 0.5), 1)
        n = n if cloud.dimension == 1 else min(n, max(PLAN, 20_000))
        return self.beside(cloud, t).sample(n, seed)


def _finest_grid(runs):
    grids = [run.measures[0].grid for run in runs.values() if isinstance(run.measures[0], Density)]
    return min(grids, key=lambda grid: grid.cell_volume) if grids else None


def _grid_around(runs, dimension: int):
    clouds = [mu for run in runs.values() for mu in (run.measures[0], run.final) if isinstance(mu, Particles)]
    if not clouds or dimension > 3:
        return None
    lower = np.min([cloud.positions.min(axis=0) for cloud in clouds], axis=0)
    upper = np.max([cloud.positions.max(axis=0) for cloud in clouds], axis=0)
    size = upper - lower
    # an axis in which the clouds are flat is as wide as the widest; a single point has a box of length 1
    margin = 0.25 * np.where(size > 0.0, size, size.max() or 1.0)
    return Grid.uniform(
        tuple(lower - margin), tuple(upper + margin), (TOLERANCES.reference_cells[dimension - 1],) * dimension
    )
