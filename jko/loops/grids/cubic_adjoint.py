"""Cubic interpolation between cell centres: its slopes at given places, and its transposed."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(inline="always")
def _taps(s, n, joined, index, weight, slope):
    """The four neighbours of s, in cells from the first centre, their weights, and those of the derivative,
    which is 0 where s is kept within half a cell of the centres; one neighbour along an axis of one cell."""
    if n == 1:
        index[0], weight[0], slope[0] = 0, 1.0, 0.0
        return 1
    kept = s if joined else min(max(s, -0.5), n - 0.5)
    base = int(np.floor(kept))
    if not joined:
        base = min(max(base, 1), n - 3)
    t = kept - base
    a, b, c = t + 1.0, t - 1.0, t - 2.0
    for k in range(4):
        index[k] = (base - 1 + k) % n if joined else base - 1 + k
    free = 1.0 if kept == s else 0.0
    weight[0], slope[0] = -t * b * c / 6.0, -free * (b * c + t * (b + c)) / 6.0
    weight[1], slope[1] = a * b * c / 2.0, free * (b * c + a * (b + c)) / 2.0
    weight[2], slope[2] = -a * t * c / 2.0, -free * (t * c + a * (t + c)) / 2.0
    weight[3], slope[3] = a * t * b / 6.0, free * (t * b + a * (t + b)) / 6.0
    return 4


@njit(cache=True)
def slopes_at(values: np.ndarray, places: np.ndarray, joined: np.ndarray, out: np.ndarray):
    """out `[3, N]` the derivatives, a cell being one, of a field `[cells]` at `places` `[3, N]`; of fewer
    dimensions the first axes have one cell."""
    n, m, l = values.shape
    index, weight, slope = np.empty((3, 4), np.int64), np.empty((3, 4)), np.empty((3, 4))
    for i in range(places.shape[1]):
        count = _taps(places[0, i], n, joined[0], index[0], weight[0], slope[0])
        wide = _taps(places[1, i], m, joined[1], index[1], weight[1], slope[1])
        long = _taps(places[2, i], l, joined[2], index[2], weight[2], slope[2])
        first = second = third = 0.0
        for p in range(count):
            of_second = of_third = of_value = 0.0
            for q in range(wide):
                row = values[index[0, p], index[1, q]]
                value = along = 0.0
                for r in range(long):
                    value += weight[2, r] * row[index[2, r]]
                    along += slope[2, r] * row[index[2, r]]
                of_value += weight[1, q] * value
                of_second += slope[1, q] * value
                of_third += weight[1, q] * along
            first += slope[0, p] * of_value
            second += weight[0, p] * of_second
            third += weight[0, p] * of_third
        out[0, i], out[1, i], out[2, i] = first, second, third


@njit(cache=True)
def spread(flow: np.ndarray, places: np.ndarray, joined: np.ndarray, out: np.ndarray):
    """Adds to a field out the transposed of the interpolation at `places` `[3, N]`, of `flow` `[N]`."""
    n, m, l = out.shape
    index, weight, slope = np.empty((3, 4), np.int64), np.empty((3, 4)), np.empty((3, 4))
    for i in range(places.shape[1]):
        count = _taps(places[0, i], n, joined[0], index[0], weight[0], slope[0])
        wide = _taps(places[1, i], m, joined[1], index[1], weight[1], slope[1])
        long = _taps(places[2, i], l, joined[2], index[2], weight[2], slope[2])
        for p in range(count):
            for q in range(wide):
                share = flow[i] * weight[0, p] * weight[1, q]
                row = out[index[0, p], index[1, q]]
                for r in range(long):
                    row[index[2, r]] += share * weight[2, r]
