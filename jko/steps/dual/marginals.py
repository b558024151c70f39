"""A lower bound on W₂ between densities on one grid from their marginals along the axes."""

from __future__ import annotations

from jko.measures import Density, Grid
from jko.transport.quantile import quantile_distance, quantile_function


def least_squared_distance(mu, values) -> float:
    """Σ over the axes of W₂² between the marginals of μ and of `values` on its grid: no more than W₂² of the
    two, since a coupling's cost is the sum of its marginals', and on the line that itself."""
    grid, total = mu.grid, 0.0
    for axis, (n, h) in enumerate(zip(grid.cells, grid.spacing, strict=True)):
        others = tuple(a for a in range(grid.dimension) if a != axis)
        line = Grid.uniform(0.0, n * h, n)
        marginals = (Density(line, rho.sum(axis=others)).normalized() for rho in (mu.values, values))
        total += quantile_distance(*map(quantile_function, marginals)) ** 2
    return total * mu.mass
