"""The number of modes of a measure."""

import itertools

import numpy as np

from jko.errors import positive_number
from jko.measures import Density, Gaussian, Grid, Particles

_CELLS = {1: 400, 2: 96, 3: 32}
_MARGIN = 0.25


def number_of_modes(mu, prominence=0.01):
    """How many maxima of the density rise by more than `prominence` times its largest value above the highest
    saddle that leads to a higher one (the persistence of a maximum, [EdelsbrunnerHarer2010]).

    A Gaussian has one, and so has a single point. A cloud is counted in its kernel estimate, up to three
    dimensions, along the axes in which it is not flat. Neighbours on a
    grid are the 3^d - 1 cells around.
    """
    if not positive_number("prominence", prominence) < 1.0:
        raise ValueError(f"prominence: expected less than 1, a fraction of the highest, got {prominence:g}")
    if isinstance(mu, Gaussian):
        return 1
    if isinstance(mu, Particles):
        spread = np.ptp(mu.positions, axis=0) > 0.0  # a cloud is counted along the axes that it has
        if not spread.any():
            return 1
        mu = _estimate(Particles(mu.positions[:, spread], mu.weights))
    if not isinstance(mu, Density):
        raise TypeError(f"mu: expected a Density, Particles or a Gaussian, got {type(mu).__name__}")
    return _persistent_maxima(mu.values, prominence * mu.values.max())


def _estimate(mu):
    if mu.dimension > 3:
        raise ValueError(
            f"mu: modes are counted on a grid, of 3 dimensions at most, got {mu.dimension}; project the cloud"
        )
    low, high = mu.positions.min(axis=0), mu.positions.max(axis=0)
    margin = _MARGIN * (high - low).max()
    cells = (_CELLS[mu.dimension],) * mu.dimension
    return Density.kernel_estimate(mu, Grid.uniform(tuple(low - margin), tuple(high + margin), cells))


def _persistent_maxima(values, least):
    """Cells enter from the highest down, and components of what has entered merge at saddles."""
    padded = np.pad(values, 1, constant_values=-1.0).ravel()
    steps = _neighbour_steps([n + 2 for n in values.shape])
    order = np.flatnonzero(padded > 0.0)
    order = order[np.argsort(-padded[order], kind="stable")]
    parent, heights = {}, padded.tolist()
    count = 0
    for cell in order.tolist():
        roots = {_root(parent, cell + step) for step in steps if cell + step in parent}
        parent[cell] = cell
        for root in roots:
            low, high = sorted((root, _root(parent, cell)), key=heights.__getitem__)
            count += low != cell and heights[low] - heights[cell] > least
            parent[low] = high
    summits = [cell for cell, above in parent.items() if cell == above and heights[cell] > least]
    return int(count) + len(summits)


def _neighbour_steps(shape):
    strides = np.cumprod([1, *shape[:0:-1]])[::-1]
    offsets = itertools.product((-1, 0, 1), repeat=len(shape))
    return [int(np.dot(offset, strides)) for offset in offsets if any(offset)]


def _root(parent, cell):
    while parent[cell] != cell:
        parent[cell] = parent[parent[cell]]
        cell = parent[cell]
    return cell
