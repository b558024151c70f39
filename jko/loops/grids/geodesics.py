"""Lengths of the shortest ways between the cells of a room in the plane, exact for the polygon of its cells.

A shortest way is a straight line where one cell's centre sees the other's, and bends at corners of walls
alone [LozanoPerezWesley1979]: the graph of what sees what. Lines of sight are decided in whole numbers, in
half cells; one may touch walls, and does not pass between two that touch at a corner.
"""

from __future__ import annotations

import numpy as np
from numba import njit


def squared_distances(inside: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """d(x, y)² `[n, n]` between the n cells of a mask `[cells, cells]`, in the order of `np.argwhere`, ∞
    where there is no way."""
    from scipy.sparse.csgraph import shortest_path

    padded, h = np.pad(inside, 1), np.array(spacing)
    centres = 2 * np.argwhere(padded) + 1
    corners = 2 * _corners(padded)
    to_corners = np.empty((len(centres), len(corners)))
    between = np.empty((len(corners), len(corners)))
    _straight(padded, centres, corners, h, to_corners)
    _straight(padded, corners, corners, h, between)
    if len(corners):
        between = shortest_path(np.where(np.isfinite(between), between, 0.0), directed=False)
    through = np.full(to_corners.shape, np.inf)
    _least_sums(to_corners, between, through)
    out = np.empty((len(centres), len(centres)))
    _ways(padded, centres, h, to_corners, through, out)
    return out


def _corners(padded: np.ndarray):
    """Vertices `[m, 2]` of the cells round which three of four are open."""
    open_ = sum(padded[a : a - 1 or None, b : b - 1 or None].astype(int) for a in (0, 1) for b in (0, 1))
    return np.argwhere(open_ == 3) + 1


@njit(cache=True)
def _length(p, q, h):
    return 0.5 * np.sqrt((h[0] * (p[0] - q[0])) ** 2 + (h[1] * (p[1] - q[1])) ** 2)


@njit(cache=True)
def _straight(padded, first, second, h, out):
    for i in range(len(first)):
        for j in range(len(second)):
            seen = _sees(padded, first[i], second[j])
            out[i, j] = _length(first[i], second[j], h) if seen else np.inf


@njit(cache=True)
def _least_sums(a, between, out):
    """min over c′ of a[x, c′] + between[c′, c]."""
    for x in range(out.shape[0]):
        for k in range(a.shape[1]):
            if a[x, k] < np.inf:
                for c in range(out.shape[1]):
                    out[x, c] = min(out[x, c], a[x, k] + between[k, c])


@njit(cache=True)
def _ways(padded, centres, h, to_corners, through, out):
    n, m = to_corners.shape
    for x in range(n):
        out[x, x] = 0.0
        for y in range(x):
            if _sees(padded, centres[x], centres[y]):
                way = _length(centres[x], centres[y], h)
            else:
                way = np.inf
                for c in range(m):
                    way = min(way, through[x, c] + to_corners[y, c])
            out[x, y] = out[y, x] = way * way


@njit(cache=True)
def _sees(padded, p, q):
    """Whether the segment between points in half cells meets the inside of no wall."""
    a, b = p[0], p[1]
    c, d = q[0], q[1]
    if a == c:  # along the second axis: the same with the axes exchanged
        return _sees_along(padded.T, b, a, d, c)
    return _sees_along(padded, a, b, c, d)


@njit(cache=True)
def _sees_along(padded, a, b, c, d):
    """The segment from (a, b) to (c, d), a ≠ c or the points equal, column by column of cells."""
    if a > c:
        a, b, c, d = c, d, a, b
    run = c - a
    if run == 0:
        return True
    # y at x is (b·run + (x − a)(d − b)) / run, in half cells
    for column in range(a // 2, (c + 1) // 2):
        left, right = max(2 * column, a), min(2 * column + 2, c)
        y0 = b * run + (left - a) * (d - b)
        y1 = b * run + (right - a) * (d - b)
        low, high = min(y0, y1), max(y0, y1)
        cell = 2 * run
        if low == high and low % cell == 0:  # along a line of the grid: one side will do
            row = low // cell
            if not (padded[column, row] or padded[column, row - 1]):
                return False
        else:
            last = high // cell if low == high else -((-high) // cell) - 1
            for row in range(low // cell, last + 1):
                if not padded[column, row]:
                    return False
        if right < c and y1 % cell == 0 and d != b:  # through a vertex: not between two walls
            row = y1 // cell
            before, after = (row, row - 1) if d > b else (row - 1, row)
            if not (padded[column, before] or padded[column + 1, after]):
                return False
    return True
