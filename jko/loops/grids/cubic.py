"""Cubic interpolation between cell centres, continued along its slope beyond the walls of the box."""

from __future__ import annotations

import numpy as np
from numba import njit

FAST = {"contract", "nsz"}


@njit(inline="always")
def _taps(s, n):
    """First of four neighbours in the box and their weights, s in cells from the first centre."""
    base = min(max(int(s), 1), n - 3)
    t = s - base
    a, b, c = t + 1.0, t - 1.0, t - 2.0
    return base - 1, -t * b * c * (1.0 / 6.0), a * b * c * 0.5, -a * t * c * 0.5, a * t * b * (1.0 / 6.0)


@njit(inline="always")
def _kept(s, n):
    """s no further than half a cell beyond the outermost centres."""
    return min(max(s, -0.5), n - 0.5)


@njit(inline="always")
def _interpolate_1d(values, s):
    first, w0, w1, w2, w3 = _taps(s, values.shape[0])
    return w0 * values[first] + w1 * values[first + 1] + w2 * values[first + 2] + w3 * values[first + 3]


@njit(cache=True, fastmath=FAST)
def extended_1d(values: np.ndarray, s: float):
    """The field at s, in cells from the first centre."""
    inner = _kept(s, values.shape[0])
    value = _interpolate_1d(values, inner)
    if inner != s:
        back = inner - 1.0 if s > inner else inner + 1.0
        value += abs(s - inner) * (value - _interpolate_1d(values, back))
    return value


@njit(inline="always")
def _inner(values, row, c, w0, w1, w2, w3):
    return w0 * values[row, c] + w1 * values[row, c + 1] + w2 * values[row, c + 2] + w3 * values[row, c + 3]


@njit(cache=True, fastmath=FAST)
def _interpolate_2d(values: np.ndarray, s: float, t: float):
    r, a0, a1, a2, a3 = _taps(s, values.shape[0])
    c, b0, b1, b2, b3 = _taps(t, values.shape[1])
    return (
        a0 * _inner(values, r, c, b0, b1, b2, b3)
        + a1 * _inner(values, r + 1, c, b0, b1, b2, b3)
        + a2 * _inner(values, r + 2, c, b0, b1, b2, b3)
        + a3 * _inner(values, r + 3, c, b0, b1, b2, b3)
    )


@njit(cache=True, fastmath=FAST)
def extended_2d(values: np.ndarray, s: float, t: float):
    """The field at (s, t)."""
    n, m = values.shape
    inner_s, inner_t = _kept(s, n), _kept(t, m)
    value = _interpolate_2d(values, inner_s, inner_t)
    if inner_s != s:
        back = inner_s - 1.0 if s > inner_s else inner_s + 1.0
        value += abs(s - inner_s) * (value - _interpolate_2d(values, back, inner_t))
    if inner_t != t:
        back = inner_t - 1.0 if t > inner_t else inner_t + 1.0
        value += abs(t - inner_t) * (value - _interpolate_2d(values, inner_s, back))
    return value


@njit(cache=True, fastmath=FAST)
def _interpolate_3d(values, r, s, t):
    first, w0, w1, w2, w3 = _taps(r, values.shape[0])
    total = w0 * extended_2d(values[first], s, t) + w1 * extended_2d(values[first + 1], s, t)
    return total + w2 * extended_2d(values[first + 2], s, t) + w3 * extended_2d(values[first + 3], s, t)


@njit(cache=True, fastmath=FAST)
def extended_3d(values, r, s, t):
    """The field at (r, s, t)."""
    inner = _kept(r, values.shape[0])
    value = _interpolate_3d(values, inner, s, t)
    if inner != r:
        back = inner - 1.0 if r > inner else inner + 1.0
        value += abs(r - inner) * (value - _interpolate_3d(values, back, s, t))
    return value
