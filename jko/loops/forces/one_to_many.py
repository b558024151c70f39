"""What one particle and a run of others do to each other under a radial kernel, in vector instructions."""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.forces.elementary import FAST, LOG2E, exp2
from jko.loops.forces.profiles import BLOCK, fill
from jko.loops.forces.terms import GAUSSIAN


@njit(cache=True)
def room(x: np.ndarray):
    """Scratch for `meet`."""
    return np.empty((4, BLOCK), x.dtype)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def meet(
    order: int,
    i: int,
    lo: int,
    m: int,
    x: np.ndarray,
    v: np.ndarray,
    w: np.ndarray,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    zero: float,
    scratch: np.ndarray,
    out: np.ndarray,
):
    """Adds to out `[1 or d, n]` what i and the particles lo … lo + m − 1, m ≤ BLOCK, do to each other.

    Order 0: w_j f(|z|²), z = x_i − x_j; 1: w_j 2f′ z; 2: w_j D²W(z)(v_i − v_j). x and v `[d, n]`, w `[n]`;
    `zero` is f(0).
    """
    if order == 1 and codes.size == 1 and codes[0] == GAUSSIAN and table.shape[0] == 0 and x.shape[0] == 2:
        _gaussian_in_the_plane(i, lo, m, x, w, numbers[0, 0], numbers[0, 1], out)
        return
    s, k = scratch[0], scratch[1]
    squared_distances(x, i, x, lo, m, s)
    fill(order if order < 2 else 1, s, m, codes, numbers, table, zero if order == 0 else 0.0, k)
    weights, wi = w[lo : lo + m], w[i]
    if order == 0:
        others, a = out[0, lo : lo + m], x.dtype.type(0)
        for j in range(m):
            a += weights[j] * k[j]
            others[j] += wi * k[j]
        out[0, i] += a
    elif order == 1:
        for c in range(x.shape[0]):
            row, others, xi, a = x[c, lo : lo + m], out[c, lo : lo + m], x[c, i], x.dtype.type(0)
            for j in range(m):
                q = k[j] * (xi - row[j])
                a += weights[j] * q
                others[j] -= wi * q
            out[c, i] += a
    else:
        _curved(i, lo, m, x, v, w, codes, numbers, table, scratch, out)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def squared_distances(x: np.ndarray, i: int, y: np.ndarray, lo: int, m: int, s: np.ndarray):
    """s[:m] = |x_i − y_{lo + j}|²."""
    for c in range(x.shape[0]):
        a = x[c, i]
        if c == 0:
            for j in range(m):
                s[j] = (a - y[c, lo + j]) * (a - y[c, lo + j])
        else:
            for j in range(m):
                s[j] += (a - y[c, lo + j]) * (a - y[c, lo + j])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _curved(
    i: int,
    lo: int,
    m: int,
    x: np.ndarray,
    v: np.ndarray,
    w: np.ndarray,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    scratch: np.ndarray,
    out: np.ndarray,
):
    # order 2, the squared distances and 2f′ being there
    s, k, h, dot = scratch[0], scratch[1], scratch[2], scratch[3]
    fill(2, s, m, codes, numbers, table, 0.0, h)
    for c in range(x.shape[0]):
        row, along, xi, vi = x[c, lo : lo + m], v[c, lo : lo + m], x[c, i], v[c, i]
        for j in range(m):
            part = (xi - row[j]) * (vi - along[j])
            dot[j] = part if c == 0 else dot[j] + part
    weights, wi = w[lo : lo + m], w[i]
    for c in range(x.shape[0]):
        row, others, xi = x[c, lo : lo + m], out[c, lo : lo + m], x[c, i]
        along, vi, a = v[c, lo : lo + m], v[c, i], x.dtype.type(0)
        for j in range(m):
            q = k[j] * (vi - along[j]) + h[j] * dot[j] * (xi - row[j])
            a += weights[j] * q
            others[j] -= wi * q
        out[c, i] += a


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _gaussian_in_the_plane(
    i: int, lo: int, m: int, x: np.ndarray, w: np.ndarray, strength: float, exponent: float, out: np.ndarray
):
    # order 1 of strength e^{exponent |z|²} in one loop, all of it in registers
    x0, x1, weights = x[0, lo : lo + m], x[1, lo : lo + m], w[lo : lo + m]
    others0, others1 = out[0, lo : lo + m], out[1, lo : lo + m]
    scale, rate = x.dtype.type(2.0 * exponent * strength), x.dtype.type(exponent * LOG2E)
    a0, a1, wi = x[0, i], x[1, i], scale * w[i]
    e0, e1 = x.dtype.type(0), x.dtype.type(0)
    for j in range(m):
        z0, z1 = a0 - x0[j], a1 - x1[j]
        k = exp2(rate * (z0 * z0 + z1 * z1))
        q0, q1 = k * z0, k * z1
        e0 += weights[j] * q0
        e1 += weights[j] * q1
        others0[j] -= wi * q0
        others1[j] -= wi * q1
    out[0, i] += scale * e0
    out[1, i] += scale * e1
