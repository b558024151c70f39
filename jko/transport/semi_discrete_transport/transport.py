"""Optimal transport of a density to points."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from jko.errors import finite_array, positive_number, whole_number
from jko.measures import Density, Gaussian, Grid, Measure, Particles
from jko.transport.distances.common_kind import IN_FREE_SPACE
from jko.transport.distances.line import quantile_distance, quantile_function
from jko.transport.semi_discrete_transport.map import PowerMap
from jko.transport.semi_discrete_transport.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class SemiDiscrete:
    """The optimal map from a density to points y_i, constant on the power cells
    {x: |x − y_i|² − w_i ≤ |x − y_j|² − w_j for all j}.

    `value` is W₂², `weights` `[n]` the w (mean 0), `masses` `[n]` and `barycentres` `[n, d]` those of the
    cells. `gap` is the cost of a plan with both marginals less the dual ∫min_i(|x − y_i|² − w_i)dμ + Σw_iν_i;
    `marginal_error` the L1 error of the masses over the mass.
    """

    value: float
    points: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    masses: np.ndarray = field(repr=False)
    barycentres: np.ndarray = field(repr=False)
    gap: float
    marginal_error: float
    iterations: int

    def assign(self, x: ArrayLike) -> np.ndarray:
        """The number of the point to which each of the points `[k, d]` goes."""
        return PowerMap(self.points, self.weights, self.marginal_error).assign(x)


def semi_discrete(
    mu: Measure, nu: Particles, *, tolerance: float = 1e-9, max_iterations: int = 100
) -> SemiDiscrete:
    """W₂ and the optimal map from a Density, constant on each cell, or a Gaussian, to Particles, d = 1 or 2.

    On the line by quantiles. In the plane the concave dual of the weights is maximised by damped Newton
    [KitagawaMerigotThibert2019]: the diagram comes from a convex hull, masses and facets are integrated
    exactly, and a step is halved while a cell would lose its mass. Where cells of equal weights are empty it
    starts from points drawn into the density. Where a vacuum stops it, it goes through densities with .1
    down to 1e-12 of uniform density mixed in and answers with the last one's cells: `gap` and
    `marginal_error` are what these have in the density itself, 2e-12 more than `tolerance` at most.
    A Gaussian is put on a grid of 256 cells an axis.
    tolerance: the L1 error of the cells' masses, over the mass.

    Raises TypeError and ValueError for other measures, different dimension or mass, two points at one place,
    and more than two dimensions; RuntimeError where `max_iterations` do not suffice.
    """
    mu, nu = _checked(mu, nu)
    tolerance = positive_number("tolerance", tolerance)
    most = whole_number("max_iterations", max_iterations)
    weights = np.asarray(nu.weights, dtype=float)
    weights = weights / weights.sum()
    # second moments about the middle of the box, about 0 they would cancel far from it
    middle = 0.5 * (np.array(mu.grid.lower) + mu.grid.upper)
    points, mu = np.asarray(nu.positions, dtype=float) - middle, _moved(mu, -middle)
    if mu.dimension == 1:
        found = _answer(mu, points, weights, *on_the_line(mu, points[:, 0], weights), 0)
    else:
        from jko.transport.semi_discrete_transport.power_cells import in_the_plane

        found = _answer(mu, points, weights, *in_the_plane(mu, points, weights, tolerance, most))
    return replace(found, points=np.array(nu.positions, dtype=float), barycentres=found.barycentres + middle)


def _moved(mu: Density, shift: np.ndarray):
    """A density with its grid moved by `shift`."""
    grid = mu.grid
    lower, upper = (tuple((np.array(ends) + shift).tolist()) for ends in (grid.lower, grid.upper))
    return Density(Grid(lower, upper, grid.cells), mu.values)


def gaussian_cells_error(mu: Measure) -> float:
    """W₂ between a Gaussian and what is kept of it on its grid, exactly where the covariance is diagonal."""
    line = Grid.uniform(-TOLERANCES.gaussian_reach, TOLERANCES.gaussian_reach, TOLERANCES.gaussian_cells)
    normal = Gaussian(np.zeros(1), np.eye(1))
    off = quantile_distance(quantile_function(normal), quantile_function(normal.on(line)))
    return off * float(np.sqrt(np.trace(mu.covariance())))


def _answer(
    mu: Density,
    points: np.ndarray,
    target: np.ndarray,
    prices: np.ndarray,
    masses: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    iterations: int,
):
    """Value and gap from the moments of the cells, of a density of mass 1."""
    squares = np.sum(points**2, axis=1)
    costs = second - 2.0 * np.sum(points * first, axis=1) + squares * masses
    dual = float((costs + prices * (target - masses)).sum())
    excess, missing = np.maximum(masses - target, 0.0), np.maximum(target - masses, 0.0)
    share = excess / np.where(masses > 0, masses, 1.0)
    primal = float(((1.0 - share) * costs).sum())
    moved = missing.sum()
    if moved > 0.0:  # what is too much in some cells goes to the points of others, each to all
        to = missing / moved
        primal += float(
            share @ second - 2.0 * (share @ first) @ (to @ points) + excess.sum() * (to @ squares)
        )
    held = masses > 0
    return SemiDiscrete(
        value=mu.mass * dual,
        points=points,
        weights=prices - prices.mean(),
        masses=mu.mass * masses,
        barycentres=np.where(held[:, None], first / np.where(held, masses, 1.0)[:, None], points),
        gap=mu.mass * max(primal - dual, 0.0),
        marginal_error=float(np.abs(masses - target).sum()),
        iterations=iterations,
    )


def _checked(mu: Measure, nu: Particles):
    if not isinstance(mu, Density | Gaussian):
        raise TypeError(
            f"mu: expected a Density or a Gaussian, got {type(mu).__name__}; wasserstein takes the rest"
        )
    if not isinstance(nu, Particles):
        raise TypeError(f"nu: expected Particles, the points to go to, got {type(nu).__name__}; sample it")
    if isinstance(mu, Density):
        mu.grid.require_box("mu", IN_FREE_SPACE)
    if mu.dimension != nu.dimension:
        raise ValueError(f"mu, nu: expected the same dimension, got {mu.dimension} and {nu.dimension}")
    if mu.dimension > 2:
        raise ValueError(
            f"mu: expected 1 or 2 dimensions, got {mu.dimension}; sample mu and use wasserstein or sinkhorn"
        )
    if abs(mu.mass - 1.0) > 1e-6:
        raise ValueError(f"mu, nu: expected the same mass, got {mu.mass:.6g} and 1; call .normalized() on mu")
    points = finite_array("nu", nu.positions)
    if len(np.unique(points, axis=0)) < len(points):
        raise ValueError("nu: expected points at different places; merge those at one place into one")
    if isinstance(mu, Gaussian):
        reach = TOLERANCES.gaussian_reach * np.sqrt(np.diag(mu.covariance()))
        lower, upper = mu.mean() - reach, mu.mean() + reach
        mu = mu.on(Grid.uniform(tuple(lower), tuple(upper), (TOLERANCES.gaussian_cells,) * mu.dimension))
    return mu, nu


def on_the_line(mu, points, target):
    """Prices, masses, first `[n, 1]` and second moments of the intervals that go to each point."""
    order = np.argsort(points, kind="stable")
    edges = mu.grid.edges[0]
    levels = np.concatenate([[0.0], np.cumsum(mu.masses)]) / mu.mass
    wanted = np.cumsum(target[order])[:-1]
    cuts = np.interp(wanted, levels, edges)
    breaks = np.union1d(edges, cuts)
    density = np.asarray(mu.values) / mu.mass
    cell = np.clip(np.searchsorted(edges, 0.5 * (breaks[1:] + breaks[:-1])) - 1, 0, len(density) - 1)
    owner = np.searchsorted(cuts, 0.5 * (breaks[1:] + breaks[:-1]))
    moments = [
        np.bincount(owner, density[cell] * (breaks[1:] ** k - breaks[:-1] ** k) / k, minlength=len(points))
        for k in (1, 2, 3)
    ]
    y = points[order]
    steps = (cuts - y[1:]) ** 2 - (cuts - y[:-1]) ** 2
    back = np.argsort(order, kind="stable")
    prices = np.concatenate([[0.0], np.cumsum(steps)])[back]
    masses, first, second = (m[back] for m in moments)
    return prices, masses, first[:, None], second
