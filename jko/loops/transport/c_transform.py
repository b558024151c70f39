"""The c-transform φᶜ(x) = min_y |x − y|²/2τ − φ(y) on a grid, one axis after the other by lower hulls.

The squared distance separates, so d passes of one-dimensional transforms are exact; each line is the Legendre
transform of its lower convex hull, linear in its length [Lucet1997], [JacobsLeger2020]. A pass reads
contiguous lines and writes them transposed, so after d passes the axes stand where they stood. Along a
periodic axis |x − y| is the distance to the nearest image: a line goes on by periods as far as its slopes
send a minimum.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jko.loops.grids.resample import TILE
from jko.loops.threads import shared
from jko.loops.transport.lower_hull import arrays, dip, dips, lower_hull


def c_transform(
    phi: np.ndarray,
    spacing: tuple,
    tau: float,
    threads: int = 1,
    refine: bool = True,
    periodic: tuple[bool, ...] = (),
):
    """φᶜ on the grid, `[*cells]`; φ = −∞ leaves a cell out of the minimum, which is +∞ if all are left out.

    With `refine` the minimum is sought between the cells too, to third order where φ is smooth: without it φᶜ
    is up to h²/8τ an axis too high, and its slope locks onto whole cells. `periodic`: for each axis whether
    it closes on itself; by default none.
    """
    phi = np.ascontiguousarray(phi, dtype=float)
    cells, lines, sign = phi.shape, phi, -1.0
    for axis in reversed(range(len(cells))):
        n = cells[axis]
        out = np.empty((n, phi.size // n))
        curvature, tiles = spacing[axis] ** 2 / (2.0 * tau), -(-out.shape[1] // TILE)
        turns = bool(periodic) and periodic[axis]
        arguments = (lines.reshape(-1, n), curvature, sign, refine, turns, out)
        if threads == 1:
            _transform(0, tiles, *arguments)
        else:
            shared(_transform, tiles, *arguments)
        lines, sign = out, 1.0
    return lines.reshape(cells)


@njit(inline="always")
def _reach(line, curvature):
    """Cells beyond the ends of a periodic line where its minima may lie: one at y < x has a slope to y + 1 of
    at least 2(x − y) − 1 curvatures, else y + 1 were lower. Half a turn where some values are left out."""
    n = line.size
    steepest, last = 0.0, line[n - 1]
    for y in range(n):
        steepest, last = max(steepest, abs(line[y] - last)), line[y]
    furthest = 0.5 * steepest / curvature + 0.5
    return (int(furthest) if furthest < n // 2 else n // 2) + 2


@njit(cache=True, fastmath={"contract", "nsz"})
def _transform_tile(
    lines: np.ndarray, curvature: float, sign: float, refine: bool, turns: bool, out: np.ndarray, first: int
):
    """out[x, l] = min_y curvature·(x − y)² + sign·lines[l, y] for the lines of one tile."""
    count, n = lines.shape
    width = min(TILE, count - first)
    done = np.empty((n, TILE))
    longest = 2 * n + 4 if turns else n
    vertex, height, slope, half_bend, scale = arrays(longest)
    around, begin = np.empty(longest if turns else 1), 0
    for l in range(width):
        line = lines[first + l]
        if turns:
            begin = _reach(line, curvature)
            for y in range(n):
                around[begin + y] = line[y]
            for y in range(begin):
                around[begin + n + y] = around[begin + y]
                around[begin - 1 - y] = around[begin + n - 1 - y]
            line = around[: n + 2 * begin]
        top = lower_hull(line, sign, curvature, vertex, height, slope)
        if refine:
            dips(vertex, slope, top, half_bend, scale)
        k = 1
        for x in range(begin, begin + n):
            steepness = 2.0 * curvature * x
            while k < top and slope[k + 1] <= steepness:
                k += 1
            below = dip(k, steepness, height, half_bend, scale)
            done[x - begin, l] = curvature * x * x - steepness * vertex[k] + height[k] - below
        if top == 0:
            done[:, l] = math.inf
    for x in range(n):
        for l in range(width):
            out[x, first + l] = done[x, l]


@njit(cache=True, nogil=True)
def _transform(
    begin: int,
    end: int,
    lines: np.ndarray,
    curvature: float,
    sign: float,
    refine: bool,
    turns: bool,
    out: np.ndarray,
):
    for tile in range(begin, end):
        _transform_tile(lines, curvature, sign, refine, turns, out, tile * TILE)
