"""All pairs of a radial kernel: each pair once, in vector instructions, on every thread.

Coordinates come first, `[d, n]`. Pairs are shared out among a fixed number of shares whose sums are added in
order, so the numbers do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from jko.kernels.forces.elementary import FAST
from jko.kernels.forces.profiles import BLOCK, fill

_SHARES = 16


@njit(cache=True, fastmath=FAST, error_model="numpy")
def squared_distances(x, i, y, lo, m, s):
    """s[:m] = |x_i − y_{lo + j}|²."""
    for c in range(x.shape[0]):
        a = x[c, i]
        if c == 0:
            for j in range(m):
                s[j] = (a - y[c, lo + j]) * (a - y[c, lo + j])
        else:
            for j in range(m):
                s[j] += (a - y[c, lo + j]) * (a - y[c, lo + j])


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def pair_values(x, w, codes, numbers, table, zero):
    """Σ_j w_j f(|x_i − x_j|²) over all j, `[n]`; `zero` is f(0)."""
    n = x.shape[1]
    sums = np.zeros((_SHARES, n), x.dtype)
    blocks = (n + BLOCK - 1) // BLOCK
    for share in prange(_SHARES):
        out = sums[share]
        s, k = np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
        for rows in range(share, blocks, _SHARES):
            for columns in range(rows + 1):
                lo = columns * BLOCK
                for i in range(rows * BLOCK, min(n, rows * BLOCK + BLOCK)):
                    m = min(lo + BLOCK, i) - lo
                    if m > 0:
                        squared_distances(x, i, x, lo, m, s)
                        fill(0, s, m, codes, numbers, table, zero, k)
                        weights, other, wi = w[lo : lo + m], out[lo : lo + m], w[i]
                        a = x.dtype.type(0)
                        for j in range(m):
                            a += weights[j] * k[j]
                            other[j] += wi * k[j]
                        out[i] += a
    total = np.empty(n, x.dtype)
    for i in prange(n):
        a = w[i] * zero
        for share in range(_SHARES):
            a += sums[share, i]
        total[i] = a
    return total


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def pair_gradients(x, w, codes, numbers, table):
    """Σ_j w_j 2f′(|x_i − x_j|²)(x_i − x_j), `[d, n]`."""
    d, n = x.shape
    sums = np.zeros((_SHARES, d, n), x.dtype)
    blocks = (n + BLOCK - 1) // BLOCK
    for share in prange(_SHARES):
        out = sums[share]
        s, k = np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
        for rows in range(share, blocks, _SHARES):
            for columns in range(rows + 1):
                lo = columns * BLOCK
                for i in range(rows * BLOCK, min(n, rows * BLOCK + BLOCK)):
                    m = min(lo + BLOCK, i) - lo
                    if m > 0:
                        squared_distances(x, i, x, lo, m, s)
                        fill(1, s, m, codes, numbers, table, 0.0, k)
                        weights, wi = w[lo : lo + m], w[i]
                        for c in range(d):
                            row, other, xi = x[c, lo : lo + m], out[c, lo : lo + m], x[c, i]
                            a = x.dtype.type(0)
                            for j in range(m):
                                q = k[j] * (xi - row[j])
                                a += weights[j] * q
                                other[j] -= wi * q
                            out[c, i] += a
    return _added(sums)


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def pair_products(x, v, w, codes, numbers, table):
    """Σ_j w_j D²W(x_i − x_j)(v_i − v_j), `[d, n]`: the derivative of `pair_gradients` along v `[d, n]`."""
    d, n = x.shape
    sums = np.zeros((_SHARES, d, n), x.dtype)
    blocks = (n + BLOCK - 1) // BLOCK
    for share in prange(_SHARES):
        out = sums[share]
        s, k, h, dot = (np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype),
                        np.empty(BLOCK, x.dtype))  # fmt: skip
        for rows in range(share, blocks, _SHARES):
            for columns in range(rows + 1):
                lo = columns * BLOCK
                for i in range(rows * BLOCK, min(n, rows * BLOCK + BLOCK)):
                    m = min(lo + BLOCK, i) - lo
                    if m > 0:
                        squared_distances(x, i, x, lo, m, s)
                        fill(1, s, m, codes, numbers, table, 0.0, k)
                        fill(2, s, m, codes, numbers, table, 0.0, h)
                        for c in range(d):
                            row, along, xi, vi = x[c, lo : lo + m], v[c, lo : lo + m], x[c, i], v[c, i]
                            for j in range(m):
                                part = (xi - row[j]) * (vi - along[j])
                                dot[j] = part if c == 0 else dot[j] + part
                        weights, wi = w[lo : lo + m], w[i]
                        for c in range(d):
                            row, other, xi = x[c, lo : lo + m], out[c, lo : lo + m], x[c, i]
                            along, vi = v[c, lo : lo + m], v[c, i]
                            a = x.dtype.type(0)
                            for j in range(m):
                                q = k[j] * (vi - along[j]) + h[j] * dot[j] * (xi - row[j])
                                a += weights[j] * q
                                other[j] -= wi * q
                            out[c, i] += a
    return _added(sums)


@njit(cache=True, parallel=True)
def _added(sums):
    total = np.empty(sums.shape[1:], sums.dtype)
    for i in prange(sums.shape[2]):
        for c in range(sums.shape[1]):
            a = sums[0, c, i]
            for share in range(1, sums.shape[0]):
                a += sums[share, c, i]
            total[c, i] = a
    return total


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def row_sums(targets, x, w, codes, numbers, table, zero):
    """(values `[t]`, gradients `[d, t]`) of the sums over all of x at x[:, targets]: what a check asks."""
    d, n = x.shape
    values, gradients = np.zeros(targets.size, x.dtype), np.zeros((d, targets.size), x.dtype)
    for t in prange(targets.size):
        i = targets[t]
        s, k, q = np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
        for lo in range(0, n, BLOCK):
            m = min(BLOCK, n - lo)
            squared_distances(x, i, x, lo, m, s)
            fill(0, s, m, codes, numbers, table, zero, k)
            fill(1, s, m, codes, numbers, table, 0.0, q)
            a = x.dtype.type(0)
            for j in range(m):
                a += w[lo + j] * k[j]
            values[t] += a
            for c in range(d):
                a = x.dtype.type(0)
                for j in range(m):
                    a += w[lo + j] * q[j] * (x[c, i] - x[c, lo + j])
                gradients[c, t] += a
    return values, gradients
