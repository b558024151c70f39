"""Legendre transforms of lines, and where an envelope's minimum is attained.

Both go through the lower convex hull of a line, linear in its length [Lucet1997].
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jko.kernels.c_transform import _dips


@njit(cache=True)
def legendre_lines(lines, slopes, sign, refine, out):
    """out[p, l] = max_y slopes[p]·y - sign·lines[l, y] over the indices y, slopes increasing.

    With `refine` the maximum is sought between the cells too, along the parabolas of `c_transform`. A line of
    +∞ gives -∞.
    """
    count, n = lines.shape
    vertex, height = np.zeros(n + 2, np.int64), np.full(n + 2, math.inf)
    slope = np.empty(n + 2)
    half_bend, scale = np.zeros(n + 2), np.zeros(n + 2)
    for l in range(count):
        top = _hull(lines[l], sign, vertex, height, slope)
        if top == 0:
            out[:, l] = -math.inf
            continue
        half_bend[: top + 2], scale[: top + 2] = 0.0, 0.0
        if refine:
            _dips(vertex, slope, top, half_bend, scale)
        k = 1
        for p in range(slopes.size):
            steepness = slopes[p]
            while k < top and slope[k + 1] <= steepness:
                k += 1
            right = height[k + 1] - height[k] - steepness if k < top else math.inf
            left = height[k - 1] - height[k] + steepness if k > 1 else math.inf
            e = k if left < right else k + 1
            dip = max(half_bend[e] - min(left, right), 0.0)
            out[p, l] = steepness * vertex[k] - height[k] + scale[e] * dip * dip


@njit(inline="always")
def _hull(line, sign, vertex, height, slope):
    top = 0
    for y in range(line.size):
        value = sign * line[y]
        if value == math.inf:
            continue
        edge = -math.inf
        while top > 0:
            edge = (value - height[top]) / (y - vertex[top])
            if edge > slope[top]:
                break
            top -= 1
        top += 1
        height[top], vertex[top] = value, y
        slope[top] = edge if top > 1 else -math.inf
    return top


@njit(cache=True)
def envelope_lines(lines, curvature, out, where):
    """out[l, x] = min_y curvature·(x - y)² + lines[l, y] over indices, and the y that attains it in
    `where`."""
    count, n = lines.shape
    vertex, start = np.empty(n, np.int64), np.empty(n + 1)
    for l in range(count):
        top = -1
        for y in range(n):
            value = lines[l, y]
            if value == math.inf:
                continue
            meet = -math.inf
            while top >= 0:
                v = vertex[top]
                meet = 0.5 * (y + v) + (value - lines[l, v]) / (2.0 * curvature * (y - v))
                if meet > start[top]:
                    break
                top -= 1
                meet = -math.inf
            top += 1
            vertex[top], start[top] = y, meet
        k = 0
        for x in range(n):
            if top < 0:
                out[l, x], where[l, x] = math.inf, x
                continue
            while k < top and start[k + 1] <= x:
                k += 1
            y = vertex[k]
            out[l, x], where[l, x] = curvature * (x - y) ** 2 + lines[l, y], y


@njit(cache=True)
def inf_convolution_rows(f, g, out):
    """out[i + k, j + l] = min of f[i, j] + g[k, l]; out starts at +∞."""
    for i in range(f.shape[0]):
        for j in range(f.shape[1]):
            a = f[i, j]
            if a == math.inf:
                continue
            for k in range(g.shape[0]):
                for l in range(g.shape[1]):
                    out[i + k, j + l] = min(out[i + k, j + l], a + g[k, l])
