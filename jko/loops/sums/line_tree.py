"""Sums of an even kernel over all pairs of sorted points, by Chebyshev interpolation between distant blocks.

A binary tree over the points; two blocks whose gap is no less than their lengths see each other through
the kernel at their Chebyshev nodes [FongDarve2009], all others pair by pair. Work is proportional to the
points.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.sums.line_sums import REACH, singular, tabulated

LEAF = 48


@njit(cache=True, error_model="numpy")
def far_sums(
    points: np.ndarray,
    masses: np.ndarray,
    nodes: int,
    longest: float,
    logarithm: float,
    powers: np.ndarray,
    table: np.ndarray,
    spacing: float,
):
    """(energy, slope `[N]`): ½ΣΣ m m W and Σ m W′, over pairs more than REACH cells apart.

    Points `[N]` increase, two a cell. `nodes` Chebyshev nodes a block; blocks longer than `longest` are
    split.
    """
    count = points.size
    depth = 0
    while count > (LEAF << depth):
        depth += 1
    size = 2 << depth
    first, middle, half = _blocks(points, depth, size)
    grid = np.cos((np.arange(nodes) + 0.5) * np.pi / nodes)
    bary = np.where(np.arange(nodes) % 2 == 0, 1.0, -1.0) * np.sin((np.arange(nodes) + 0.5) * np.pi / nodes)
    moments = _moments(points, masses, depth, first, middle, half, grid, bary)
    local = np.zeros((size, nodes))
    slope = np.zeros(count)
    energy = 0.0
    stack = np.empty((64 * (depth + 2), 2), dtype=np.int64)
    top = 0
    stack[0, 0], stack[0, 1] = 1, 1
    leaf = 1 << depth
    while top >= 0:
        a, b = stack[top]
        top -= 1
        if a == b and a < leaf:
            for c, d in ((2 * a, 2 * a), (2 * a + 1, 2 * a + 1), (2 * a, 2 * a + 1)):
                top += 1
                stack[top, 0], stack[top, 1] = c, d
            continue
        na, nb = first[a, 1] - first[a, 0], first[b, 1] - first[b, 0]
        length = 2.0 * max(half[a], half[b])
        gap = middle[b] - half[b] - middle[a] - half[a]
        apart = gap >= length and length <= longest and first[b, 0] - first[a, 1] > 2 * REACH + 1
        if a == b or (a >= leaf and b >= leaf and not apart) or na * nb <= nodes * nodes:
            energy += _pairs(first[a, 0], first[a, 1], first[b, 0], first[b, 1], points, masses, slope,
                             logarithm, powers, table, spacing)  # fmt: skip
        elif apart:
            energy += _apart(middle[a] + half[a] * grid, middle[b] + half[b] * grid, moments[a], moments[b],
                             local[a], local[b], logarithm, powers, table, spacing)  # fmt: skip
        elif b >= leaf or (a < leaf and half[a] >= half[b]):
            for c in (2 * a, 2 * a + 1):
                top += 1
                stack[top, 0], stack[top, 1] = c, b
        else:
            for c in (2 * b, 2 * b + 1):
                top += 1
                stack[top, 0], stack[top, 1] = a, c
    _spread(points, depth, first, middle, half, grid, bary, local, slope)
    return energy, slope


@njit(cache=True, error_model="numpy", inline="always")
def _kernel(z, logarithm, powers, table, spacing):
    value, slope = singular(z, logarithm, powers)
    if table.shape[0] > 0:
        more, push = tabulated(z, table, spacing)
        value += more
        slope += push
    return value, slope


@njit(cache=True, error_model="numpy")
def _apart(
    left, right, moments_left, moments_right, local_left, local_right, logarithm, powers, table, spacing
):
    """What two distant blocks do to each other at their nodes: the energy; adds to their slopes."""
    energy = 0.0
    for k in range(left.size):
        for m in range(right.size):
            value, push = _kernel(right[m] - left[k], logarithm, powers, table, spacing)
            energy += moments_left[k] * moments_right[m] * value
            local_left[k] -= moments_right[m] * push
            local_right[m] += moments_left[k] * push
    return energy


@njit(cache=True, error_model="numpy")
def _pairs(
    a0: int,
    a1: int,
    b0: int,
    b1: int,
    points: np.ndarray,
    masses: np.ndarray,
    slope: np.ndarray,
    logarithm: float,
    powers: np.ndarray,
    table: np.ndarray,
    spacing: float,
):
    energy = 0.0
    for p in range(a0, a1):
        x, m, pull = points[p], masses[p], 0.0
        begin = max(b0, 2 * (p // 2 + REACH + 1))
        for q in range(begin, b1):
            z = points[q] - x
            if z > 0.0:
                value, push = _kernel(z, logarithm, powers, table, spacing)
                energy += m * masses[q] * value
                pull += masses[q] * push
                slope[q] += m * push
        slope[p] -= pull
    return energy


@njit(cache=True, error_model="numpy")
def _blocks(points: np.ndarray, depth: int, size: int):
    first = np.empty((size, 2), dtype=np.int64)
    middle, half = np.zeros(size), np.zeros(size)
    for level in range(depth + 1):
        number = 1 << level
        for k in range(number):
            start, stop = k * points.size // number, (k + 1) * points.size // number
            node = number + k
            first[node, 0], first[node, 1] = start, stop
            middle[node] = 0.5 * (points[start] + points[stop - 1])
            half[node] = 0.5 * (points[stop - 1] - points[start])
    return first, middle, half


@njit(cache=True, error_model="numpy")
def _basis(t: float, grid: np.ndarray, bary: np.ndarray, out: np.ndarray):
    # the Lagrange polynomials of the nodes at t
    total = 0.0
    for k in range(grid.size):
        away = t - grid[k]
        if away == 0.0:
            out[:] = 0.0
            out[k] = 1.0
            return
        out[k] = bary[k] / away
        total += out[k]
    total = 1.0 / total
    for k in range(grid.size):
        out[k] *= total


@njit(cache=True, error_model="numpy")
def _moments(
    points: np.ndarray,
    masses: np.ndarray,
    depth: int,
    first: np.ndarray,
    middle: np.ndarray,
    half,
    grid: np.ndarray,
    bary: np.ndarray,
):
    moments = np.zeros((first.shape[0], grid.size))
    basis = np.empty(grid.size)
    leaf = 1 << depth
    for node in range(first.shape[0] - 1, 0, -1):
        inverse = 1.0 / max(half[node], 1e-300)
        if node >= leaf:
            for p in range(first[node, 0], first[node, 1]):
                _basis((points[p] - middle[node]) * inverse, grid, bary, basis)
                for k in range(grid.size):
                    moments[node, k] += masses[p] * basis[k]
        else:
            for child in (2 * node, 2 * node + 1):
                for m in range(grid.size):
                    place = middle[child] + half[child] * grid[m] - middle[node]
                    _basis(place * inverse, grid, bary, basis)
                    for k in range(grid.size):
                        moments[node, k] += moments[child, m] * basis[k]
    return moments


@njit(cache=True, error_model="numpy")
def _spread(
    points: np.ndarray,
    depth: int,
    first: np.ndarray,
    middle: np.ndarray,
    half: np.ndarray,
    grid: np.ndarray,
    bary: np.ndarray,
    local: np.ndarray,
    slope: np.ndarray,
):
    basis = np.empty(grid.size)
    leaf = 1 << depth
    for node in range(1, first.shape[0]):
        inverse = 1.0 / max(half[node], 1e-300)
        if node >= leaf:
            for p in range(first[node, 0], first[node, 1]):
                _basis((points[p] - middle[node]) * inverse, grid, bary, basis)
                for k in range(grid.size):
                    slope[p] += local[node, k] * basis[k]
        else:
            for child in (2 * node, 2 * node + 1):
                for m in range(grid.size):
                    place = middle[child] + half[child] * grid[m] - middle[node]
                    _basis(place * inverse, grid, bary, basis)
                    for k in range(grid.size):
                        local[child, m] += local[node, k] * basis[k]
