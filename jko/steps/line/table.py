"""A table of an even kernel on the line, and how smooth it is."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev

from functionals import pointwise

_TABLE = (12, 17)  # powers of two: intervals of the coarsest and the finest table
_CLOSE = 1e-12
_SMOOTH = 1e-10
_SPLITS = 8
NODES = 16  # of the Chebyshev interpolation between blocks


def tabulated(terms, extent, cells=0):
    """(W and W′ `[T, 2]` at distances spaced so that cubics between them are W, the spacing, W″ `[T]`); at
    least four a cell of a grid of so many."""
    if not terms:
        return np.zeros((0, 2)), extent, np.zeros(0)

    def evaluated(function, z):
        z = np.maximum(z, 1e-14 * extent)[:, None]  # the slope beside 0, where |z| has none
        return sum(c * function(W, z).reshape(-1) for c, W in terms)

    coarsest = min(max(_TABLE[0], int(np.ceil(np.log2(max(1, 4 * cells))))), _TABLE[1])
    for power in range(coarsest, _TABLE[1] + 1):
        intervals = 2**power
        spacing = extent / intervals
        z = spacing * np.arange(intervals + 2)
        value, slope = evaluated(pointwise.values, z), evaluated(pointwise.gradients, z)
        value[0] = sum(c * pointwise.values(W, np.zeros((1, 1)))[0] for c, W in terms)
        middle = 0.5 * (value[1:] + value[:-1]) - 0.125 * spacing * np.diff(slope)
        error = np.abs(middle - evaluated(pointwise.values, z[:-1] + 0.5 * spacing)).max()
        if error <= _CLOSE * np.abs(value).max():
            break
    bend = evaluated(pointwise.hessians, z)
    return np.stack([value, slope], axis=1), spacing, bend


def without_kink(table, spacing):
    """The kink of W at 0, taken out of the table: |z| is summed exactly."""
    kink = float(table[0, 1])
    if abs(kink) <= 1e-9 * np.abs(table[:, 1]).max():
        return 0.0
    table[:, 0] -= kink * spacing * np.arange(len(table))
    table[:, 1] -= kink
    return kink


def smooth_length(table, spacing, extent):
    """The length up to which the table, at any distance no less, is a polynomial of 16 terms; the error."""
    if not len(table):
        return np.inf, 0.0
    t, probe = np.cos((np.arange(NODES) + 0.5) * np.pi / NODES), np.linspace(-1.0, 1.0, 33)
    scale = np.ptp(table[:, 0]) + 1e-300
    longest, tolerance = 0.0, 0.0
    for length in extent / 3.0 * 0.5 ** np.arange(_SPLITS, -1, -1):
        starts = length * np.geomspace(1.0, extent / length - 1.0, 40)
        read = _reader(table, spacing, starts, length)
        fitted = chebyshev.chebval(probe, chebyshev.chebfit(t, read(t).T, NODES - 1))
        error = float(np.abs(fitted - read(probe)).max() / scale)
        if longest and error > _SMOOTH:
            break
        longest, tolerance = length, max(error, tolerance)
    return longest, tolerance


def _reader(table, spacing, starts, length):
    from jko.loops.line_sums import tabulated

    read = np.vectorize(lambda z: tabulated(z, table, spacing)[0])
    return lambda t: read(starts[:, None] + 0.5 * length * (1.0 + t))
