"""All pairs of a radial kernel: each pair once, in vector instructions, on every thread.

Coordinates come first, `[d, n]`. Pairs are shared out among a fixed number of shares whose sums are added in
order, so the numbers do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.forces.elementary import FAST
from jko.loops.forces.one_to_many import meet, room, squared_distances
from jko.loops.forces.profiles import BLOCK, fill
from jko.loops.threads import shared

_SHARES = 16  # of the pairs, each summed on its own, so that a sum is the same on any number of threads


def pair_sums(
    order: int,
    x: np.ndarray,
    v: np.ndarray,
    w: np.ndarray,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    zero: float,
):
    """The sums over all j of `one_to_many.meet`, `[1, n]` of order 0 and `[d, n]` of the others.

    A particle itself counts with w_i f(0) in order 0. v is read in order 2 alone.
    """
    d, n = x.shape
    sums = np.zeros((_SHARES, d if order > 0 else 1, n), x.dtype)
    shared(_shares, _SHARES, order, x, v, w, codes, numbers, table, zero, sums)
    total = sums.sum(axis=0)
    if order == 0:
        total[0] += w * x.dtype.type(zero)
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _shares(
    begin: int,
    end: int,
    order: int,
    x: np.ndarray,
    v: np.ndarray,
    w: np.ndarray,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    zero: float,
    sums: np.ndarray,
):
    n, scratch = x.shape[1], room(x)
    for share in range(begin, end):
        out = sums[share]
        for rows in range(share, (n + BLOCK - 1) // BLOCK, _SHARES):
            for columns in range(rows + 1):
                lo = columns * BLOCK
                for i in range(rows * BLOCK, min(n, rows * BLOCK + BLOCK)):
                    m = min(lo + BLOCK, i) - lo
                    if m > 0:
                        meet(order, i, lo, m, x, v, w, codes, numbers, table, zero, scratch, out)


def row_sums(
    targets: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    zero: float,
):
    """(values `[t]`, gradients `[d, t]`) of the sums over all of x at x[:, targets]: what a check asks."""
    values, gradients = np.zeros(targets.size, x.dtype), np.zeros((targets.size, x.shape[0]), x.dtype)
    shared(_rows, targets.size, targets, x, w, codes, numbers, table, zero, values, gradients)
    return values, np.ascontiguousarray(gradients.T)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _rows(
    begin: int,
    end: int,
    targets: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    zero: float,
    values: np.ndarray,
    gradients: np.ndarray,
):
    d, n = x.shape
    scratch = room(x)
    s, k, q = scratch[0], scratch[1], scratch[2]
    for t in range(begin, end):
        i, value = targets[t], x.dtype.type(0)
        for lo in range(0, n, BLOCK):
            m = min(BLOCK, n - lo)
            squared_distances(x, i, x, lo, m, s)
            fill(0, s, m, codes, numbers, table, zero, k)
            fill(1, s, m, codes, numbers, table, 0.0, q)
            a = x.dtype.type(0)
            for j in range(m):
                a += w[lo + j] * k[j]
            value += a
            for c in range(d):
                a = x.dtype.type(0)
                for j in range(m):
                    a += w[lo + j] * q[j] * (x[c, i] - x[c, lo + j])
                gradients[t, c] += a
        values[t] = value
