"""The lower convex hull of a line of values, linear in its length [Lucet1997], and what is read off it.

Transforms of lines along an axis, c-transforms, Legendre transforms and envelopes, are minima over the
vertices of one such hull, which a sweep over increasing slopes finds in order.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(inline="always")
def arrays(n):
    """Room for the hull of n values: vertex, height, slope `[n + 2]`, its vertices 1 … top between two that
    are never lowest; and half_bend, scale `[n + 2]` for `dips`."""
    return (
        np.zeros(n + 2, np.int64),
        np.full(n + 2, math.inf),
        np.empty(n + 2),
        np.zeros(n + 2),
        np.zeros(n + 2),
    )


@njit(inline="always")
def lower_hull(line, sign, curvature, vertex, height, slope):
    """The number of vertices of the hull of sign·line[y] + curvature·y²; `slope` of the edge that ends at a
    vertex. Values of +∞ are left out."""
    top = 0
    for y in range(line.size):
        value = sign * line[y]
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
    return top


@njit(inline="always")
def dips(vertex, slope, top, half_bend, scale):
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


@njit(inline="always")
def dip(k, steepness, height, half_bend, scale):
    """How far below vertex k, the lowest for a steepness, the minimum of height − steepness·y lies."""
    right = height[k + 1] - height[k] - steepness
    left = height[k - 1] - height[k] + steepness
    e = k if left < right else k + 1
    depth = max(half_bend[e] - min(left, right), 0.0)
    return scale[e] * depth * depth
