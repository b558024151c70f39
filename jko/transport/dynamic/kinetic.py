"""The least kinetic energy with which a density on a grid changes as it does."""

from __future__ import annotations

import numpy as np

from jko.loops.elliptic.factors import factored
from jko.measures import Grid
from jko.transport.dynamic.tolerances import TOLERANCES


def kinetic_energy_of_rate(grid: Grid, values, rate):
    """min ∫|q|²/ρ dx over fluxes q with div q = -rate and none through the walls; ρ = values, rate = ∂tρ.

    On the line the flux is the only one; elsewhere q = ρ∇u, one sparse elliptic solve, faces carrying
    two-cell means. Infinite where mass would have to cross a vacuum.
    """
    if grid.dimension == 1:
        h = grid.spacing[0]
        return _along_the_line(values, -np.cumsum(rate)[:-1] * h, h)
    return _elliptic(grid, values, rate - np.mean(rate))


def kinetic_energy_of_flux(grid: Grid, values, flux):
    """The same for the rate -div flux of a flux `[d, *cells]` at cell centres."""
    if grid.dimension == 1:
        return _along_the_line(values, 0.5 * (flux[0][1:] + flux[0][:-1]), grid.spacing[0])
    rate = np.zeros(grid.cells)
    for axis, h in enumerate(grid.spacing):
        low, high = _sides(grid, axis)
        through = 0.5 * (flux[axis][low] + flux[axis][high]) / h
        rate[low] -= through
        rate[high] += through
    return _elliptic(grid, values, rate)


def _along_the_line(values, through, h):
    face = 0.5 * (values[1:] + values[:-1])
    held = face > TOLERANCES.vacuum * values.max()
    rounding = 1e-14 * values.max() * values.size * h  # of a flux summed up along the line
    if np.any(np.abs(through[~held]) > 1e-12 * np.abs(through).max() + rounding):
        return np.inf
    return float(np.sum(through[held] ** 2 / face[held]) * h)


def _sides(grid: Grid, axis: int):
    low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(grid.dimension))
    return low, tuple(slice(1, None) if a == axis else slice(None) for a in range(grid.dimension))


def _elliptic(grid: Grid, values, rate):
    from scipy.sparse import coo_matrix

    number = np.arange(grid.size).reshape(grid.cells)
    ends, weights = [], []
    for axis, h in enumerate(grid.spacing):
        low, high = _sides(grid, axis)
        face = 0.5 * (values[low] + values[high])
        held = face > TOLERANCES.vacuum * values.max()
        ends.append(np.stack([number[low][held], number[high][held]]))
        weights.append(face[held] / h**2)
    (i, j), w = np.hstack(ends), np.concatenate(weights)
    matrix = coo_matrix(
        (np.concatenate([w, w, -w, -w]), (np.hstack([i, j, i, j]), np.hstack([i, j, j, i]))),
        shape=(grid.size, grid.size),
    ).tocsc()
    return _energy(matrix, rate.ravel(), grid.cell_volume, 1e-13 * values.sum())


def _energy(matrix, rate, volume, rounding):
    from scipy.sparse import diags
    from scipy.sparse.csgraph import connected_components

    _, labels = connected_components(matrix, directed=False)
    sums = np.bincount(labels, weights=rate)
    if np.any(np.abs(sums) > 1e-10 * np.abs(rate).sum() + rounding):
        return np.inf
    rate = rate - (sums / np.bincount(labels))[labels]
    pinned = np.zeros(rate.size)
    pinned[np.unique(labels, return_index=True)[1]] = max(matrix.diagonal().max(), 1.0)
    potential = factored(matrix + diags(pinned)).solve(rate)
    return float(potential @ rate) * volume
