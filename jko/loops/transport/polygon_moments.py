"""Moments of a density that is constant on the cells of a plane grid over polygons, by their edges.

By Green's theorem ∫_P f dA = ∮ (∫_{−∞}^{x} f(s, y) ds) dy. Within one cell of the grid the inner integral is
a cubic along an edge for f = ρ, ρx, ρy, ρx², ρy², so that two Gauss points are exact: an edge costs what it
crosses.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_NODE = 0.5 / math.sqrt(3.0)  # of an edge, the distance of both Gauss points from its middle


def edge_moments(
    values: np.ndarray, starts: np.ndarray, ends: np.ndarray, left: np.ndarray, right: np.ndarray, count: int
):
    """(moments `[count, 5]`, facets `[edges]`) of the regions whose boundaries the edges are.

    `values` `[n, m]` on unit cells with a corner at 0. Edge k goes from starts[k] to ends[k] with region
    left[k] on its left and right[k] on its right, −1 for none. Moments are those of 1, x, y, x² and y²;
    facets the means of the density along the edges.
    """
    n, m = values.shape
    edges = np.arange(n + 1.0)
    inner = np.zeros((3, n + 2, m))  # ∫ρ, ∫ρs, ∫ρs² up to the left of each column
    for power in range(3):
        steps = (edges[1:] ** (power + 1) - edges[:-1] ** (power + 1)) / (power + 1)
        inner[power, 2:] = np.cumsum(values * steps[:, None], axis=0)
    moments, facets = np.zeros((count, 5)), np.zeros(len(starts))
    _accumulate(values, inner, starts, ends, left, right, moments, facets)
    return moments, facets


@njit(cache=True)
def _accumulate(
    values: np.ndarray,
    inner: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    moments: np.ndarray,
    facets: np.ndarray,
):
    n, m = values.shape
    for k in range(starts.shape[0]):
        x0, y0, x1, y1 = starts[k, 0], starts[k, 1], ends[k, 0], ends[k, 1]
        dx, dy = x1 - x0, y1 - y0
        # the part of the edge in the rows of the grid
        a, b = 0.0, 1.0
        if dy != 0.0:
            low, high = -y0 / dy, (m - y0) / dy
            a, b = max(a, min(low, high)), min(b, max(low, high))
        elif y0 < 0.0 or y0 > m:
            continue
        sums = np.zeros(5)
        while a < b:
            row = _cell(y0 + a * dy, dy, m)
            column = _column(x0 + a * dx, dx, n)
            c = min(_crossing(x0, dx, column, n), _crossing_row(y0, dy, row), b)
            if c <= a:
                c = min(b, a + 1e-12 * max(1.0, abs(a)))
            middle, half = 0.5 * (a + c), (c - a)
            for side in range(2):
                t = middle + (2 * side - 1) * _NODE * half
                _add(values, inner, x0 + t * dx, y0 + t * dy, column, row, 0.5 * half * dy, sums)
            if 0 <= column < n:
                facets[k] += values[column, row] * half
            a = c
        if left[k] >= 0:
            moments[left[k]] += sums
        if right[k] >= 0:
            moments[right[k]] -= sums


@njit(cache=True, inline="always")
def _cell(y: np.ndarray, dy, m: int):
    row = math.floor(y)
    if dy < 0.0 and y == row:
        row -= 1
    return min(max(row, 0), m - 1)


@njit(cache=True, inline="always")
def _column(x, dx, n):
    column = math.floor(min(max(x, -1.0), n + 1.0))
    if dx < 0.0 and x == column:
        column -= 1
    return min(max(column, -1), n)


@njit(cache=True, inline="always")
def _crossing(x0, dx, column, n):
    """The parameter at which the edge leaves the column; columns −1 and n are all that lies outside."""
    if dx > 0.0 and column < n:
        return (column + 1 - x0) / dx
    if dx < 0.0 and column >= 0:
        return (column - x0) / dx
    return math.inf


@njit(cache=True, inline="always")
def _crossing_row(y0, dy, row):
    if dy > 0.0:
        return (row + 1 - y0) / dy
    if dy < 0.0:
        return (row - y0) / dy
    return math.inf


@njit(cache=True, inline="always")
def _add(values, inner, x, y, column, row, weight, sums):
    n = values.shape[0]
    mass, first, second = inner[0, column + 1, row], inner[1, column + 1, row], inner[2, column + 1, row]
    if 0 <= column < n:
        rho = values[column, row]
        mass += rho * (x - column)
        first += rho * (x * x - column * column) / 2.0
        second += rho * (x * x * x - column * column * column) / 3.0
    sums[0] += weight * mass
    sums[1] += weight * first
    sums[2] += weight * mass * y
    sums[3] += weight * second
    sums[4] += weight * mass * y * y
