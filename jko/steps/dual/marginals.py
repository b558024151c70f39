"""What is known of W₂ between densities on one grid: a lower bound, from their marginals along the axes, and
by how much minima over cells may exceed minima over space."""

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


def grid_bias(mu, tau) -> float:
    """h²/8τ a unit of mass, summed over the axes: what the minimum over a grid may add to |x − y|²/2τ."""
    return mu.mass * sum(h * h for h in mu.grid.spacing) / (8.0 * tau)
