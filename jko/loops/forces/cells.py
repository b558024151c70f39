"""Pairs nearer than a cutoff, by cell lists: compact kernels, and what a smooth kernel leaves of a singular
one."""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.forces.elementary import FAST
from jko.loops.forces.one_to_many import room, squared_distances
from jko.loops.forces.profiles import BLOCK, fill
from jko.loops.forces.spreading import sorted_into_bins
from jko.loops.forces.tolerances import TOLERANCES
from jko.loops.threads import shared

ORDER = 16  # coefficients of the polynomial that is subtracted
NOTHING = np.zeros((3, 0))


def near_sums(
    rank: int,
    x: np.ndarray,
    v: np.ndarray,
    w: np.ndarray,
    cutoff: float,
    arrays: tuple,
    zero: float,
    smooth: np.ndarray = NOTHING,
):
    """The sums of `meeting.meet` over |x_i − x_j| < cutoff, of f − g: `[1, n]` of order 0, else `[d, n]`.

    `arrays` are those of its `Terms`, `zero` is f(0). `smooth` `[3, ORDER]` holds g and its derivatives as
    polynomials of |z|²/cutoff² − 1, `NOTHING` for g = 0.
    """
    keys, strides = _cell_keys(x, cutoff)
    n = keys.size
    if keys.max() < TOLERANCES.dense_cells * n:
        order, _ = sorted_into_bins(keys, int(keys.max()) + 1)
    else:
        order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    first = np.flatnonzero(np.concatenate([[True], sorted_keys[1:] != sorted_keys[:-1]]))
    cells, first = sorted_keys[first], np.append(first, n)
    xs, ws = np.ascontiguousarray(x[:, order]), w[order]
    vs = np.ascontiguousarray(v[:, order]) if rank == 2 else xs
    rows = _neighbouring_rows(strides)
    sums = np.zeros((x.shape[0] if rank > 0 else 1, n), x.dtype)
    shared(_near_some, cells.size, rank, xs, vs, ws, cells, first, rows, cutoff * cutoff, *arrays, zero,
           smooth, sums)  # fmt: skip
    back = np.empty_like(sums)
    back[:, order] = sums
    return back


def _cell_keys(x: np.ndarray, cutoff: float):
    # cells of the cutoff's size, one empty cell round the cloud, numbered with the last axis fastest
    low = x.min(axis=1, keepdims=True)
    extent = float(np.max(x.max(axis=1, keepdims=True) - low))
    size = max(cutoff * (1.0 + 1e-9), extent * 2.0 ** (-60.0 / x.shape[0]))
    index = ((x.astype(float) - low) / size).astype(np.int64) + 1
    counts = index.max(axis=1) + 2
    strides = np.append(np.cumprod(counts[:0:-1])[::-1], 1).astype(np.int64)
    return strides @ index, strides


def _neighbouring_rows(strides: np.ndarray):
    # offsets of the middle cells of the rows of three, along the last axis, that touch a cell
    offsets = np.zeros(1, np.int64)
    for stride in strides[:-1]:
        offsets = (offsets[:, None] + np.array([-stride, 0, stride])).ravel()
    return offsets


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _near_some(begin, end, order, x, v, w, cells, first, rows, cutoff2, codes, numbers, table, zero, smooth,
               out):  # fmt: skip
    # the particles round a cell, gathered from its rows of neighbours, a block at a time
    d, count, scratch = x.shape[0], cells.size, room(x)
    y, u, z = np.empty((d, BLOCK), x.dtype), np.empty(BLOCK, x.dtype), np.empty((d, BLOCK), x.dtype)
    for cell in range(begin, end):
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
                    if order == 2:
                        z[c, m] = v[c, j]
                u[m] = w[j]
                m += 1
                if m == BLOCK:
                    _cell(order, x, v, first[cell], first[cell + 1], y, z, u, m, cutoff2, codes, numbers,
                          table, zero, smooth, scratch, out)  # fmt: skip
                    m = 0
        if m > 0:
            _cell(order, x, v, first[cell], first[cell + 1], y, z, u, m, cutoff2, codes, numbers, table, zero,
                  smooth, scratch, out)  # fmt: skip


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _cell(
    order: int,
    x: np.ndarray,
    v: np.ndarray,
    start: int,
    stop: int,
    y: np.ndarray,
    z: np.ndarray,
    w: np.ndarray,
    m: int,
    cutoff2: float,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    zero: float,
    smooth: np.ndarray,
    scratch: np.ndarray,
    out: np.ndarray,
):
    # what m particles y do to those of one cell
    d = x.shape[0]
    s, k, q, dot = scratch[0], scratch[1], scratch[2], scratch[3]
    for i in range(start, stop):
        squared_distances(x, i, y, 0, m, s)
        fill(min(order, 1), s, m, codes, numbers, table, zero if order == 0 else 0.0, k)
        _subtract(min(order, 1), s, m, cutoff2, smooth, k)
        if order == 0:
            e = x.dtype.type(0)
            for j in range(m):
                e += w[j] * k[j]
            out[0, i] += e
        elif order == 1:
            for c in range(d):
                e, xi = x.dtype.type(0), x[c, i]
                for j in range(m):
                    e += w[j] * k[j] * (xi - y[c, j])
                out[c, i] += e
        else:
            fill(2, s, m, codes, numbers, table, 0.0, q)
            _subtract(2, s, m, cutoff2, smooth, q)
            for c in range(d):
                for j in range(m):
                    part = (x[c, i] - y[c, j]) * (v[c, i] - z[c, j])
                    dot[j] = part if c == 0 else dot[j] + part
            for c in range(d):
                e, xi, vi = x.dtype.type(0), x[c, i], v[c, i]
                for j in range(m):
                    e += w[j] * (k[j] * (vi - z[c, j]) + q[j] * dot[j] * (xi - y[c, j]))
                out[c, i] += e


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _subtract(order: int, s: np.ndarray, m: int, cutoff2: float, smooth: np.ndarray, k: np.ndarray):
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
