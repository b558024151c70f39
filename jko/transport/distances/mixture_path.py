"""An upper bound on W₂ between densities on one grid, sharp where they are close, from the path of their
mixtures."""

from __future__ import annotations

import numpy as np

from jko.loops.elliptic.factors import factored
from jko.measures import Grid


def mixture_path_bound(mu, nu):
    """The least Benamou-Brenier cost of the path (1-t) mu + t nu between two densities on one grid.

    A flux q that does not depend on t, div q = mu - nu, costs ∫ |q|²/L(mu, nu) dx, since ∫₀¹ dt/((1-t)a +
    tb) = 1/L(a, b) with L the logarithmic mean; the best such flux is one linear elliptic problem, the dual
    norm of H^1 weighted by L [Peyre2018]. It bounds W₂ from above, and equals it to first order as nu tends
    to mu, where a plan between cell centres locks at (h W₂)^½. Infinite where mass would have to cross a
    vacuum of both. Faces carry two-cell means; no flux through the walls.
    """
    from scipy.sparse import coo_matrix

    grid = mu.grid
    first, second = np.asarray(mu.values), np.asarray(nu.values)
    tails, heads, weights = _faces(grid, first, second)
    held = (first + second).ravel() > 0.0
    held[tails] = held[heads] = True  # a face has mobility where one cell of it holds both
    index = np.cumsum(held) - 1
    size = int(held.sum())
    i, j = index[tails], index[heads]
    rows, columns = np.concatenate([i, j, i, j]), np.concatenate([i, j, j, i])
    matrix = coo_matrix(
        (np.concatenate([weights, weights, -weights, -weights]), (rows, columns)), shape=(size, size)
    ).tocsc()
    difference = ((first - second).ravel()[held]) * grid.cell_volume
    difference -= difference.mean()
    if size < 2 or not _connected(matrix):
        return 0.0 if not np.any(difference) else np.inf
    potential = np.zeros(size)
    potential[1:] = factored(matrix[1:, 1:]).solve(difference[1:])
    squared = float(potential @ difference)
    return float(np.sqrt(max(squared, 0.0)))


def _faces(grid: Grid, first, second):
    """Cells on both sides of every face that carries mass, and the conductance L |face|/h of it."""
    number = np.arange(grid.size).reshape(grid.cells)
    tails, heads, weights = [], [], []
    for axis, h in enumerate(grid.spacing):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(grid.dimension))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(grid.dimension))
        mobility = _logarithmic_mean(0.5 * (first[low] + first[high]), 0.5 * (second[low] + second[high]))
        open_face = mobility > 0.0
        tails.append(number[low][open_face])
        heads.append(number[high][open_face])
        weights.append(mobility[open_face] * grid.cell_volume / h**2)
    return np.concatenate(tails), np.concatenate(heads), np.concatenate(weights)


def _logarithmic_mean(a, b):
    positive = (a > 0.0) & (b > 0.0)
    a, b = np.where(positive, a, 1.0), np.where(positive, b, 1.0)
    ratio = np.log(b / a)
    near = np.abs(ratio) < 1e-4
    mean = np.where(near, np.sqrt(a * b) * (1.0 + ratio**2 / 24.0), (b - a) / np.where(near, 1.0, ratio))
    return np.where(positive, mean, 0.0)


def _connected(matrix):
    from scipy.sparse.csgraph import connected_components

    return connected_components(matrix, directed=False, return_labels=False) == 1
