"""Power cells of points in the plane, {x: |x − yᵢ|² − wᵢ least}, and what a density has in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_FAR = 10.0  # of the box and the weights: where four helpers stand that make every cell bounded


class PowerCells(NamedTuple):
    """Of n cells: masses `[n]`, first moments `[n, 2]`, second moments `[n]`; and the facets between them:
    pairs `[k, 2]` of cells and, for each, the derivative of the mass of one by the weight of the other."""

    masses: np.ndarray
    first: np.ndarray
    second: np.ndarray
    pairs: np.ndarray
    exchange: np.ndarray


def power_cells(values, spacing, points, weights) -> PowerCells:
    """For masses `[*cells]` of a grid with a corner at 0, each spread evenly over its cell."""
    from jko.loops.polygon_moments import edge_moments

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


def _edges(extent, points, weights):
    """Segments of the diagram: starts, ends `[k, 2]`, and the cells on the left and right `[k, 2]`.

    The lower hull of the points lifted to |y|² − w is the dual triangulation [Aurenhammer1987]; a triangle's
    plane z = 2x·y − c has its power centre x.
    """
    from scipy.spatial import ConvexHull

    middle = 0.5 * extent
    reach = np.abs(points - middle).max() + middle.max()
    far = _FAR * np.sqrt(reach**2 + np.ptp(weights))
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
