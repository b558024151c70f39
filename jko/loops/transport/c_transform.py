"""The c-transform φᶜ(x) = min_y |x − y|²/2τ − φ(y) on a grid, one axis after the other by lower hulls.

The squared distance separates, so d passes of one-dimensional transforms are exact; each line is the Legendre
transform of its lower convex hull, linear in its length [Lucet1997], [JacobsLeger2020]. A pass reads
contiguous lines and writes them transposed, so after d passes the axes stand where they stood.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jko.loops.grids.resample import TILE
from jko.loops.threads import shared
from jko.loops.transport.lower_hull import arrays, dip, dips, lower_hull


def c_transform(phi: np.ndarray, spacing: tuple, tau: float, threads: int = 1, refine: bool = True):
    """φᶜ on the grid, `[*cells]`; φ = −∞ leaves a cell out of the minimum, which is +∞ if all are left out.

    With `refine` the minimum is sought between the cells too, to third order where φ is smooth: without it φᶜ
    is up to h²/8τ an axis too high, and its slope locks onto whole cells.
    """
    phi = np.ascontiguousarray(phi, dtype=float)
    cells, lines, sign = phi.shape, phi, -1.0
    for axis in reversed(range(len(cells))):
        n = cells[axis]
        out = np.empty((n, phi.size // n))
        curvature, tiles = spacing[axis] ** 2 / (2.0 * tau), -(-out.shape[1] // TILE)
        arguments = (lines.reshape(-1, n), curvature, sign, refine, out)
        if threads == 1:
            _transform(0, tiles, *arguments)
        else:
            shared(_transform, tiles, *arguments)
        lines, sign = out, 1.0
    return lines.reshape(cells)


@njit(cache=True, fastmath={"contract", "nsz"})
def _transform_tile(
    lines: np.ndarray, curvature: float, sign: float, refine: bool, out: np.ndarray, first: int
):
    """out[x, l] = min_y curvature·(x − y)² + sign·lines[l, y] for the lines of one tile."""
    count, n = lines.shape
    width = min(TILE, count - first)
    done = np.empty((n, TILE))
    vertex, height, slope, half_bend, scale = arrays(n)
    for l in range(width):
        top = lower_hull(lines[first + l], sign, curvature, vertex, height, slope)
        if refine:
            dips(vertex, slope, top, half_bend, scale)
        k = 1
        for x in range(n):
            steepness = 2.0 * curvature * x
            while k < top and slope[k + 1] <= steepness:
                k += 1
            below = dip(k, steepness, height, half_bend, scale)
            done[x, l] = curvature * x * x - steepness * vertex[k] + height[k] - below
        if top == 0:
            done[:, l] = math.inf
    for x in range(n):
        for l in range(width):
            out[x, first + l] = done[x, l]


@njit(cache=True, nogil=True)
def _transform(
    begin: int, end: int, lines: np.ndarray, curvature: float, sign: float, refine: bool, out: np.ndarray
):
    for tile in range(begin, end):
        _transform_tile(lines, curvature, sign, refine, out, tile * TILE)
