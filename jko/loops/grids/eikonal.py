"""Distances along ways through open cells: |∇u| = 1 by fast sweeping."""

from __future__ import annotations

import itertools

import numpy as np
from numba import njit


def distances(open_: np.ndarray, start: np.ndarray, spacing: tuple[float, ...], turns: tuple[bool, ...]):
    """The distance from each open cell to the cells `start` through open cells, ∞ where there is no way.

    Godunov's upwind scheme for |∇u| = 1, swept in all directions in turn until nothing changes: order 1 in h
    [Zhao2005]. Axes that turn close on themselves.
    """
    extra = 3 - open_.ndim
    shape, h = open_.shape + (1,) * extra, np.array([*spacing, *[1.0] * extra])
    around = np.array([*turns, *[False] * extra])
    u = np.where(start, 0.0, np.inf).reshape(shape)
    passable = np.ascontiguousarray(open_.reshape(shape))
    signs = list(itertools.product(*[(1, -1) if n > 1 else (1,) for n in shape]))
    while sum(_sweep(u, passable, h, around, np.array(sign)) for sign in signs):
        pass
    return u.reshape(open_.shape)


@njit(cache=True)
def _sweep(u, passable, h, around, sign):
    """One sweep in the direction of the signs; returns whether anything fell."""
    n = u.shape
    least, width = np.empty(3), np.empty(3)
    fell = False
    for p in range(n[0]):
        i = p if sign[0] > 0 else n[0] - 1 - p
        for q in range(n[1]):
            j = q if sign[1] > 0 else n[1] - 1 - q
            for r in range(n[2]):
                k = r if sign[2] > 0 else n[2] - 1 - r
                if not passable[i, j, k] or u[i, j, k] == 0.0:
                    continue
                least[0] = min(_at(u, i - 1, j, k, around), _at(u, i + 1, j, k, around))
                least[1] = min(_at(u, i, j - 1, k, around), _at(u, i, j + 1, k, around))
                least[2] = min(_at(u, i, j, k - 1, around), _at(u, i, j, k + 1, around))
                width[:] = h
                new = _upwind(least, width)
                if new < u[i, j, k]:
                    fell = True
                    u[i, j, k] = new
    return fell


@njit(cache=True)
def _at(u, i, j, k, around):
    n = u.shape
    if (
        (not around[0] and (i < 0 or i >= n[0]))
        or (not around[1] and (j < 0 or j >= n[1]))
        or (not around[2] and (k < 0 or k >= n[2]))
    ):
        return np.inf
    return u[i % n[0], j % n[1], k % n[2]]


@njit(cache=True)
def _upwind(least, width):
    """u with Σ ((u − a)₊/h)² = 1 over the axes, from the least neighbour on each; sorts both in place."""
    for a in range(2):
        for b in range(2 - a):
            if least[b] > least[b + 1]:
                least[b], least[b + 1] = least[b + 1], least[b]
                width[b], width[b + 1] = width[b + 1], width[b]
    if least[0] == np.inf:
        return np.inf
    u = least[0] + width[0]
    one, two, three = 0.0, 0.0, -1.0
    for a in range(3):
        if u <= least[a]:
            break
        weight = 1.0 / width[a] ** 2
        one, two, three = one + weight, two + weight * least[a], three + weight * least[a] ** 2
        u = (two + np.sqrt(max(two * two - one * three, 0.0))) / one
    return u
