"""Laplacians along all axes of a grid at once, with walls or closed axes."""

from __future__ import annotations

import numpy as np
from numba import njit

_MATH = {"contract", "nsz", "reassoc", "arcp"}


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def put_laplacians(field, base, factors, turns, stride, share, added, out):
    """out ← base·field + Σ factor·DDᵀ field + share·added over the axes of `[planes, rows, places]`, each
    closed on itself where it `turns`; places that stand `stride` apart are neighbours."""
    planes, rows, places = field.shape
    for o in range(planes):
        for i in range(rows):
            row, plus, res = field[o, i], added[o, i], out[o, i]
            for j in range(places):
                res[j] = base * row[j] + share * plus[j]
            _add_along(row, factors[2], turns[2], stride, res)
            for step in (-1, 1):
                other = _beside(o + step, planes, turns[0])
                if other >= 0 and planes > 1:
                    _add_between(row, field[other, i], factors[0], res)
                other = _beside(i + step, rows, turns[1])
                if other >= 0 and rows > 1:
                    _add_between(row, field[o, other], factors[1], res)


@njit(cache=True, inline="always")
def _beside(at: int, n: int, turns: bool):
    """The index of a neighbour, −1 beyond a wall."""
    if 0 <= at < n:
        return at
    return at % n if turns else -1


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def _add_between(row: np.ndarray, other: np.ndarray, factor: float, res: np.ndarray):
    for j in range(res.size):
        res[j] += factor * (row[j] - other[j])


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def _add_along(row: np.ndarray, factor: float, turns: bool, stride: int, res: np.ndarray):
    n = res.size
    for j in range(stride, n):
        res[j] += factor * (row[j] - row[j - stride])
    for j in range(n - stride):
        res[j] += factor * (row[j] - row[j + stride])
    if turns and n > stride:
        last = n - stride
        for j in range(stride):
            drop = factor * (row[j] - row[last + j])
            res[j] += drop
            res[last + j] -= drop
