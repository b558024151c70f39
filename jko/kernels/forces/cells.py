"""Pairs nearer than a cutoff, by cell lists: compact kernels, and what a smooth kernel leaves of a singular
one."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from jko.kernels.forces.elementary import FAST
from jko.kernels.forces.meeting import squared_distances
from jko.kernels.forces.profiles import BLOCK, fill
from jko.kernels.forces.spreading import sorted_into_bins

_DENSE = 8  # cells a particle up to which a counting sort over all cells is the cheaper
ORDER = 16  # coefficients of the polynomial that is subtracted
NOTHING = np.zeros((3, 0))


def near_sums(
    x, w, cutoff: float, arrays, zero: float, smooth=NOTHING, *, values=True, gradients=True, v=None
):
    """(values `[n]`, gradients `[d, n]`) of Σ_j w_j (f − g)(|x_i − x_j|²) over |x_i − x_j| < cutoff.

    x `[d, n]`; `arrays` are f's of `Terms.arrays`, `zero` is f(0). `smooth` `[3, ORDER]` holds g and its
    derivatives as polynomials of |z|²/cutoff² − 1, `NOTHING` for g = 0. What is not asked for comes back as
    zeros. With v `[d, n]` the gradients are Σ_j w_j D²(f − g)(x_i − x_j)(v_i − v_j).
    """
    keys, strides = _cell_keys(x, cutoff)
    n = keys.size
    if keys.max() < _DENSE * n:
        order, _ = sorted_into_bins(keys, int(keys.max()) + 1)
    else:
        order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    first = np.flatnonzero(np.concatenate([[True], sorted_keys[1:] != sorted_keys[:-1]]))
    cells, first = sorted_keys[first], np.append(first, n)
    xs, ws = np.ascontiguousarray(x[:, order]), w[order]
    vs = np.zeros((x.shape[0], 0), x.dtype) if v is None else np.ascontiguousarray(v[:, order])
    rows = _neighbouring_rows(strides)
    wanted = np.array([values, gradients and v is None, v is not None])
    sums = _near(xs, ws, vs, cells, first, rows, cutoff * cutoff, *arrays, zero, smooth, wanted)
    back = tuple(np.empty_like(a) for a in sums)
    for a, b in zip(sums, back, strict=True):
        b[..., order] = a
    return back


def _cell_keys(x, cutoff):
    # cells of the cutoff's size, one empty cell round the cloud, numbered with the last axis fastest
    low = x.min(axis=1, keepdims=True)
    extent = float(np.max(x.max(axis=1, keepdims=True) - low))
    size = max(cutoff * (1.0 + 1e-9), extent * 2.0 ** (-60.0 / x.shape[0]))
    index = ((x.astype(float) - low) / size).astype(np.int64) + 1
    counts = index.max(axis=1) + 2
    strides = np.append(np.cumprod(counts[:0:-1])[::-1], 1).astype(np.int64)
    return strides @ index, strides


def _neighbouring_rows(strides):
    # offsets of the middle cells of the rows of three, along the last axis, that touch a cell
    offsets = np.zeros(1, np.int64)
    for stride in strides[:-1]:
        offsets = (offsets[:, None] + np.array([-stride, 0, stride])).ravel()
    return offsets


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def _near(x, w, v, cells, first, rows, cutoff2, codes, numbers, table, zero, smooth, wanted):
    d, n = x.shape
    values, gradients = np.zeros(n, x.dtype), np.zeros((d, n), x.dtype)
    count = cells.size
    chunk = max(1, min(64, count // 64))
    for block in prange((count + chunk - 1) // chunk):
        s, k, q = np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
        # the particles round a cell, gathered from its rows of neighbours, a block at a time
        y, u, z = np.empty((d, BLOCK), x.dtype), np.empty(BLOCK, x.dtype), np.empty((d, BLOCK), x.dtype)
        for cell in range(block * chunk, min(count, block * chunk + chunk)):
            m = 0
            for r in range(rows.size):
                middle = cells[cell] + rows[r]
                a = np.searchsorted(cells, middle - 1)
                b = a
                while b < count and cells[b] <= middle + 1:
                    b += 1
                for j in range(first[a], first[b]):
                    for c in range(d):
                        y[c, m] = x[c, j]
                        if wanted[2]:
                            z[c, m] = v[c, j]
                    u[m] = w[j]
                    m += 1
                    if m == BLOCK:
                        _cell(x, v, first[cell], first[cell + 1], y, z, u, m, cutoff2, codes, numbers, table,
                              zero, smooth, wanted, s, k, q, values, gradients)  # fmt: skip
                        m = 0
            if m > 0:
                _cell(x, v, first[cell], first[cell + 1], y, z, u, m, cutoff2, codes, numbers, table, zero,
                      smooth, wanted, s, k, q, values, gradients)  # fmt: skip
    return values, gradients


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _cell(x, v, start, stop, y, z, w, m, cutoff2, codes, numbers, table, zero, smooth, wanted, s, k, q,
          values, gradients):  # fmt: skip
    # what m particles y do to those of one cell
    d = x.shape[0]
    for i in range(start, stop):
        squared_distances(x, i, y, 0, m, s)
        if wanted[0]:
            fill(0, s, m, codes, numbers, table, zero, k)
            _subtract(0, s, m, cutoff2, smooth, k)
            e = x.dtype.type(0)
            for j in range(m):
                e += w[j] * k[j]
            values[i] += e
        if wanted[1]:
            fill(1, s, m, codes, numbers, table, 0.0, k)
            _subtract(1, s, m, cutoff2, smooth, k)
            for c in range(d):
                e, xi = x.dtype.type(0), x[c, i]
                for j in range(m):
                    e += w[j] * k[j] * (xi - y[c, j])
                gradients[c, i] += e
        if wanted[2]:
            fill(1, s, m, codes, numbers, table, 0.0, k)
            _subtract(1, s, m, cutoff2, smooth, k)
            fill(2, s, m, codes, numbers, table, 0.0, q)
            _subtract(2, s, m, cutoff2, smooth, q)
            for j in range(m):
                dot = x.dtype.type(0)
                for c in range(d):
                    dot += (x[c, i] - y[c, j]) * (v[c, i] - z[c, j])
                q[j] *= dot
            for c in range(d):
                e, xi, vi = x.dtype.type(0), x[c, i], v[c, i]
                for j in range(m):
                    e += w[j] * (k[j] * (vi - z[c, j]) + q[j] * (xi - y[c, j]))
                gradients[c, i] += e


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _subtract(order, s, m, cutoff2, smooth, k):
    if smooth.shape[1] == 0:
        for j in range(m):
            k[j] = k[j] if s[j] < cutoff2 else 0.0
        return
    inverse = 1.0 / cutoff2
    for j in range(m):
        u = s[j] * inverse - 1.0
        p = smooth[order, ORDER - 1]
        for n in range(ORDER - 2, -1, -1):
            p = p * u + smooth[order, n]
        k[j] = k[j] - p if s[j] < cutoff2 else 0.0
