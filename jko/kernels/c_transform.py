"""The c-transform φᶜ(x) = min_y |x − y|²/2τ − φ(y) on a grid, one axis after the other by lower hulls.

The squared distance separates, so d passes of one-dimensional transforms are exact; each line is the Legendre
transform of its lower convex hull, linear in its length [Lucet1997], [JacobsLeger2020]. A pass reads
contiguous lines and writes them transposed, so after d passes the axes stand where they stood.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

_TILE = 16  # lines finished together, so that the transposed writes fill whole cache lines


def c_transform(phi, spacing, tau, threads=1, refine=True):
    """φᶜ on the grid, `[*cells]`; φ = −∞ leaves a cell out of the minimum, which is +∞ if all are left out.

    With `refine` the minimum is sought between the cells too, to third order where φ is smooth: without it φᶜ
    is up to h²/8τ an axis too high, and its slope locks onto whole cells.
    """
    phi = np.ascontiguousarray(phi, dtype=float)
    cells, lines, sign = phi.shape, phi, -1.0
    transform = _pass_serial if threads == 1 else _pass_parallel
    for axis in reversed(range(len(cells))):
        n = cells[axis]
        out = np.empty((n, phi.size // n))
        transform(lines.reshape(-1, n), spacing[axis] ** 2 / (2.0 * tau), sign, refine, out)
        lines, sign = out, 1.0
    return lines.reshape(cells)


@njit(cache=True, fastmath={"contract", "nsz"})
def _transform_tile(lines, curvature, sign, refine, out, first):
    """out[x, l] = min_y curvature·(x − y)² + sign·lines[l, y] for the lines of one tile."""
    count, n = lines.shape
    width = min(_TILE, count - first)
    done = np.empty((n, _TILE))
    # the hull's vertices 1 … top, with the parabola added, between two that are never lowest
    vertex = np.zeros(n + 2, np.int64)
    height = np.full(n + 2, math.inf)
    slope = np.empty(n + 2)  # of the edge that ends at a vertex
    half_bend, scale = np.zeros(n + 2), np.zeros(n + 2)
    for l in range(width):
        top = 0
        for y in range(n):
            value = sign * lines[first + l, y]
            if value == math.inf:
                continue
            value += curvature * y * y
            edge = -math.inf
            while top > 0:
                edge = (value - height[top]) / (y - vertex[top])
                if edge > slope[top]:
                    break
                top -= 1
            top += 1
            height[top], vertex[top] = value, y
            slope[top] = edge if top > 1 else -math.inf
        height[top + 1] = math.inf
        if refine:
            _dips(vertex, slope, top, half_bend, scale)
        k = 1
        for x in range(n):
            steepness = 2.0 * curvature * x
            while k < top and slope[k + 1] <= steepness:
                k += 1
            right = height[k + 1] - height[k] - steepness
            left = height[k - 1] - height[k] + steepness
            e = k if left < right else k + 1
            dip = max(half_bend[e] - min(left, right), 0.0)
            done[x, l] = curvature * x * x - steepness * vertex[k] + height[k] - scale[e] * dip * dip
        if top == 0:
            done[:, l] = math.inf
    for x in range(n):
        for l in range(width):
            out[x, first + l] = done[x, l]


@njit(inline="always")
def _dips(vertex, slope, top, half_bend, scale):
    """The parabolas through neighbouring vertices e − 1 and e, along which a minimum between them is sought.

    The second difference is the harmonic mean of the hull's bends at both, so that the minimum is continuous
    where the lowest vertex changes, and dips little where the hull has a kink.
    """
    half_bend[1], scale[1] = 0.0, 0.0
    half_bend[top + 1], scale[top + 1] = 0.0, 0.0
    for e in range(2, top + 1):
        half_bend[e], scale[e] = 0.0, 0.0
        if top > 2 and vertex[e] - vertex[e - 1] == 1:
            lower = slope[e] - slope[e - 1] if e > 2 else slope[3] - slope[2]
            upper = slope[e + 1] - slope[e] if e < top else slope[top] - slope[top - 1]
            half_bend[e] = lower * upper / (lower + upper)
            scale[e] = 0.25 / half_bend[e]


@njit(cache=True)
def _pass_serial(lines, curvature, sign, refine, out):
    for first in range(0, lines.shape[0], _TILE):
        _transform_tile(lines, curvature, sign, refine, out, first)


@njit(cache=True, parallel=True)
def _pass_parallel(lines, curvature, sign, refine, out):
    for tile in prange((lines.shape[0] + _TILE - 1) // _TILE):
        _transform_tile(lines, curvature, sign, refine, out, tile * _TILE)
