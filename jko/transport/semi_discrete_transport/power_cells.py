"""Power cells of points in the plane, and damped Newton for weights that give them masses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jko.loops.elliptic.factors import NotFinite, factored
from jko.measures import Density
from jko.transport.semi_discrete_transport.tolerances import TOLERANCES


class PowerCells(NamedTuple):
    """Of n cells: masses `[n]`, first moments `[n, 2]`, second moments `[n]`; and the facets between them:
    pairs `[k, 2]` of cells and, for each, the derivative of the mass of one by the weight of the other."""

    masses: np.ndarray
    first: np.ndarray
    second: np.ndarray
    pairs: np.ndarray
    exchange: np.ndarray


def power_cells(values: np.ndarray, spacing: tuple, points: np.ndarray, weights: np.ndarray) -> PowerCells:
    """For masses `[*cells]` of a grid with a corner at 0, each spread evenly over its cell."""
    from jko.loops.transport.polygon_moments import edge_moments

    n, h = len(points), np.array(spacing)
    starts, ends, pairs = _edges(h * values.shape, points, weights)
    sides = (np.where(p < n, p, -1) for p in pairs.T)
    moments, facets = edge_moments(values, starts / h, ends / h, *sides, n)
    between = np.all(pairs < n, axis=1) & (facets > 0.0)
    i, j = pairs[between].T
    lengths = np.linalg.norm(ends - starts, axis=1)[between]
    exchange = facets[between] * lengths / (2.0 * h.prod() * np.linalg.norm(points[i] - points[j], axis=1))
    masses, first, second = np.maximum(moments[:, 0], 0.0), moments[:, 1:3] * h, moments[:, 3:] @ h**2
    return PowerCells(masses, first, second, pairs[between], exchange)


def _edges(extent: np.ndarray, points: np.ndarray, weights: np.ndarray):
    """Segments of the diagram: starts, ends `[k, 2]`, and the cells on the left and right `[k, 2]`.

    The lower hull of the points lifted to |y|² − w is the dual triangulation [Aurenhammer1987]; a triangle's
    plane z = 2x·y − c has its power centre x.
    """
    from scipy.spatial import ConvexHull

    middle = 0.5 * extent
    reach = np.abs(points - middle).max() + middle.max()
    far = TOLERANCES.far * np.sqrt(reach**2 + np.ptp(weights))
    helpers = middle + far * np.array([[-1.0, -1.1], [1.2, -1.0], [1.0, 1.3], [-1.1, 1.0]])
    sites = np.concatenate([points, helpers]) - middle
    heights = np.concatenate([weights - weights.max(), np.zeros(len(helpers))])
    hull = ConvexHull(np.column_stack([sites, np.sum(sites**2, axis=1) - heights]))
    normals = hull.equations
    lower = normals[:, 2] < 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        centres = -normals[:, :2] / (2.0 * normals[:, 2:3])
    facet, corner = np.nonzero(lower[:, None] & lower[hull.neighbors])
    other = hull.neighbors[facet, corner]
    once = facet < other
    facet, corner, other = facet[once], corner[once], other[once]
    triangle = hull.simplices[facet]
    ends = np.stack([triangle[np.arange(len(facet)), (corner + k) % 3] for k in (1, 2)], axis=1)
    along = centres[other] - centres[facet]
    across = sites[ends[:, 1]] - sites[ends[:, 0]]
    second_on_left = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0] > 0.0
    pairs = np.where(second_on_left[:, None], ends[:, ::-1], ends)
    return centres[facet] + middle, centres[other] + middle, pairs


def in_the_plane(mu: Density, points: np.ndarray, target: np.ndarray, tolerance: float, most: int):
    """Prices, masses, first and second moments of the cells, and the number of steps; of a density of mass
    1."""
    origin, spacing = np.array(mu.grid.lower), mu.grid.spacing
    # translated points have the same cells, for weights that differ by a linear function
    shift = points.mean(axis=0) - 0.5 * (origin + mu.grid.upper)
    y = points - shift - origin
    values = np.asarray(mu.values, dtype=float)
    values = values / values.sum()
    weights = _start(values, spacing, y)
    problem = (values, spacing, y, weights, target, tolerance, most)
    vacuum = values.min() * values.size < TOLERANCES.filled[-1]
    if vacuum and not power_cells(values, spacing, y, weights).masses.min() > 0.0:
        weights, cells, spent = _beside_vacuum(*problem)
    else:
        try:
            weights, cells, spent = _newton(*problem)
        except RuntimeError:
            if not vacuum:
                raise
            weights, cells, spent = _beside_vacuum(*problem)
    first = origin * cells.masses[:, None] + cells.first
    second = np.sum(origin**2) * cells.masses + 2.0 * cells.first @ origin + cells.second
    weights += 2.0 * (y @ shift)
    return weights, cells.masses, first, second, spent


def _beside_vacuum(
    values: np.ndarray,
    spacing: tuple,
    y: np.ndarray,
    weights: np.ndarray,
    target: np.ndarray,
    tolerance: float,
    most: int,
):
    """Weights for the density with 1e-12 of uniform density mixed in, through larger shares, and the cells
    they have in the density itself: prices of parts that a vacuum keeps apart are settled by that."""
    spent = 0
    for share in TOLERANCES.filled:
        filled = (1.0 - share) * values + share / values.size
        enough = tolerance if share == TOLERANCES.filled[-1] else max(tolerance, 0.1 * target.min())
        weights, _, steps = _newton(filled, spacing, y, weights, target, enough, most)
        spent += steps
    return weights, power_cells(values, spacing, y, weights), spent


def _newton(
    values: np.ndarray,
    spacing: tuple,
    y: np.ndarray,
    weights: np.ndarray,
    target: np.ndarray,
    tolerance: float,
    most: int,
):
    cells = power_cells(values, spacing, y, weights)
    floor = 0.5 * min(cells.masses.min(), target.min())
    for done in range(most + 1):
        missing = target - cells.masses
        error = float(np.abs(missing).sum())
        if error <= tolerance:
            return weights, cells, done
        step = _newton_step(cells, missing)
        if not np.all(np.isfinite(step)):
            break
        share = 1.0
        for _ in range(TOLERANCES.halvings):
            trial = power_cells(values, spacing, y, weights + share * step)
            if trial.masses.min() >= floor and np.linalg.norm(target - trial.masses) <= (
                1.0 - 0.5 * share
            ) * np.linalg.norm(missing):
                break
            share *= 0.5
        else:
            break
        weights, cells = weights + share * step, trial
    raise RuntimeError(
        f"nu: the weights of the power cells did not converge: after {done} Newton steps the masses are "
        f"{error:.1e} off; raise max_iterations or tolerance, or fill the density's vacuum"
    )


def _newton_step(cells: PowerCells, missing: np.ndarray):
    """The step of mean 0 that would make the masses right, with the Laplacian of the facets."""
    from scipy.sparse import coo_matrix, diags_array

    n = len(missing)
    i, j = cells.pairs.T
    exchange = coo_matrix((cells.exchange, (i, j)), shape=(n, n))
    exchange = (exchange + exchange.T).tocsr()
    degree = np.asarray(exchange.sum(axis=1)).ravel()
    laplacian = (diags_array(degree + 1e-14 * degree.max()) - exchange).tocsc()
    step = np.zeros(n)
    if n > 1:
        try:
            step[1:] = factored(laplacian[1:, 1:]).solve(missing[1:])
        except (RuntimeError, NotFinite):  # exactly singular, cells apart in a vacuum
            step[:] = np.nan
    return step - step.mean()


def _start(values: np.ndarray, spacing: tuple, y: np.ndarray):
    """Weights 0, or those whose cells are the Voronoi cells of the points drawn into the density."""
    weights = np.zeros(len(y))
    if power_cells(values, spacing, y, weights).masses.min() > 0.0:
        return weights
    sides = ((np.arange(n) + 0.5) * h for n, h in zip(values.shape, spacing, strict=True))
    axes = np.meshgrid(*sides, indexing="ij")
    centre = np.array([np.sum(values * a) for a in axes])
    spread = np.sqrt(min(np.sum(values * (a - c) ** 2) for a, c in zip(axes, centre, strict=True)))
    extent = np.abs(y - y.mean(axis=0)).max()
    for shrink in TOLERANCES.shrinks:
        scale = min(2.0 * shrink * spread / extent, 1.0) if extent > 0 else 1.0
        drawn = centre + scale * (y - y.mean(axis=0))
        weights = np.sum(y**2, axis=1) - np.sum(drawn**2, axis=1) / scale
        if power_cells(values, spacing, y, weights).masses.min() > 0.0:
            break
    return weights
