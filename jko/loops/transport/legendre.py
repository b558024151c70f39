"""Legendre transforms of lines, and where an envelope's minimum is attained."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jko.loops.transport.lower_hull import arrays, dip, dips, lower_hull


@njit(cache=True)
def legendre_lines(lines: np.ndarray, slopes: np.ndarray, sign: float, refine: bool, out: np.ndarray):
    """out[p, l] = max_y slopes[p]·y - sign·lines[l, y] over the indices y, slopes increasing.

    With `refine` the maximum is sought between the cells too, along the parabolas of `c_transform`. A line of
    +∞ gives -∞.
    """
    count, n = lines.shape
    vertex, height, slope, half_bend, scale = arrays(n)
    for l in range(count):
        top = lower_hull(lines[l], sign, 0.0, vertex, height, slope)
        if top == 0:
            out[:, l] = -math.inf
            continue
        if refine:
            dips(vertex, slope, top, half_bend, scale)
        k = 1
        for p in range(slopes.size):
            steepness = slopes[p]
            while k < top and slope[k + 1] <= steepness:
                k += 1
            below = dip(k, steepness, height, half_bend, scale)
            out[p, l] = steepness * vertex[k] - height[k] + below


@njit(cache=True)
def envelope_lines(lines, curvature, refine, out, where):
    """out[l, x] = min_y curvature·(x - y)² + lines[l, y] over indices, and the y that attains it in
    `where`. With `refine` `out` is the minimum between the cells too, as in `c_transform`, with the digits of
    small minima kept however large the curvature."""
    count, n = lines.shape
    vertex, height, slope, half_bend, scale = arrays(n)
    for l in range(count):
        top = lower_hull(lines[l], 1.0, curvature, vertex, height, slope)
        if refine and top > 0:
            dips(vertex, slope, top, half_bend, scale)
        k = 1
        for x in range(n):
            if top == 0:
                out[l, x], where[l, x] = math.inf, x
                continue
            while k < top and slope[k + 1] <= 2.0 * curvature * x:
                k += 1
            y = vertex[k]
            out[l, x], where[l, x] = curvature * (x - y) ** 2 + lines[l, y], y
            if refine:
                out[l, x] -= dip(k, 2.0 * curvature * x, height, half_bend, scale)


@njit(cache=True)
def inf_convolution_rows(f: np.ndarray, g: np.ndarray, out: np.ndarray):
    """out[i + k, j + l] = min of f[i, j] + g[k, l]; out starts at +∞."""
    for i in range(f.shape[0]):
        for j in range(f.shape[1]):
            a = f[i, j]
            if a == math.inf:
                continue
            for k in range(g.shape[0]):
                for l in range(g.shape[1]):
                    out[i + k, j + l] = min(out[i + k, j + l], a + g[k, l])
