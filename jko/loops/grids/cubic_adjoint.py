"""Cubic interpolation between cell centres, continued along its slope beyond the walls of the box: its slopes
at given places, and its transposed."""

from __future__ import annotations

import numpy as np
from numba import njit

_FAST = {"contract", "nsz"}


@njit(inline="always")
def _weights(t):
    """Those of the four neighbours at −1, 0, 1 and 2, of the value at t."""
    a, b, c = t + 1.0, t - 1.0, t - 2.0
    return -t * b * c / 6.0, a * b * c / 2.0, -a * t * c / 2.0, a * t * b / 6.0


@njit(inline="always")
def _taps(s, n, joined):
    """(the four neighbours of s, in cells from the first centre, their weights, those of the derivative), the
    field going on from half a cell beyond the centres along its slope; along an axis of one cell the first
    counts alone."""
    if n == 1:
        return (0, 0, 0, 0), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
    kept = s if joined else min(max(s, -0.5), n - 0.5)
    base = int(np.floor(kept))
    if not joined:
        base = min(max(base, 1), n - 3)
    first, second, third, fourth = base - 1, base, base + 1, base + 2
    if joined:
        first, second, third, fourth = first % n, second % n, third % n, fourth % n
    t = kept - base
    w0, w1, w2, w3 = _weights(t)
    if kept == s:
        a, b, c = t + 1.0, t - 1.0, t - 2.0
        d0, d1 = -(b * c + t * (b + c)) / 6.0, (b * c + a * (b + c)) / 2.0
        d2, d3 = -(t * c + a * (t + c)) / 2.0, (t * b + a * (t + b)) / 6.0
    else:
        away, d = 1.0 if s > kept else -1.0, s - kept
        v0, v1, v2, v3 = _weights(t - away)
        d0, d1, d2, d3 = away * (w0 - v0), away * (w1 - v1), away * (w2 - v2), away * (w3 - v3)
        w0, w1, w2, w3 = w0 + d * d0, w1 + d * d1, w2 + d * d2, w3 + d * d3
    return (first, second, third, fourth), (w0, w1, w2, w3), (d0, d1, d2, d3)


@njit(cache=True, fastmath=_FAST)
def slopes_at(values: np.ndarray, places: np.ndarray, joined: np.ndarray, out: np.ndarray):
    """out `[3, N]` the derivatives, a cell being one, of a field `[cells]` at `places` `[3, N]`; of fewer
    dimensions the first axes have one cell."""
    n, m, l = values.shape
    count, wide = 4 if n > 1 else 1, 4 if m > 1 else 1
    for i in range(places.shape[1]):
        a, f, slope_a = _taps(places[0, i], n, joined[0])
        b, g, slope_b = _taps(places[1, i], m, joined[1])
        c, h, slope_c = _taps(places[2, i], l, joined[2])
        first = second = third = 0.0
        for p in range(count):
            of_second = of_third = of_value = 0.0
            for q in range(wide):
                row = values[a[p], b[q]]
                value = along = 0.0
                for r in range(4):
                    value += h[r] * row[c[r]]
                    along += slope_c[r] * row[c[r]]
                of_value += g[q] * value
                of_second += slope_b[q] * value
                of_third += g[q] * along
            first += slope_a[p] * of_value
            second += f[p] * of_second
            third += f[p] * of_third
        out[0, i], out[1, i], out[2, i] = first, second, third


@njit(cache=True, fastmath=_FAST)
def spread(flow: np.ndarray, places: np.ndarray, joined: np.ndarray, out: np.ndarray):
    """Adds to a field out the transposed of the interpolation at `places` `[3, N]`, of `flow` `[N]`."""
    n, m, l = out.shape
    count, wide = 4 if n > 1 else 1, 4 if m > 1 else 1
    for i in range(places.shape[1]):
        a, f, _ = _taps(places[0, i], n, joined[0])
        b, g, _ = _taps(places[1, i], m, joined[1])
        c, h, _ = _taps(places[2, i], l, joined[2])
        for p in range(count):
            for q in range(wide):
                share = flow[i] * f[p] * g[q]
                row = out[a[p], b[q]]
                for r in range(4):
                    row[c[r]] += share * h[r]
