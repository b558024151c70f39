"""log ρ_k(S) + log det DS at cell centres for S(y) = y + τ∇p(y), in 1, 2 and 3 dimensions.

p is mirrored at walls, which S therefore keeps, or continued through walls in the far tail; on a torus all
goes on by periods. Second differences are narrow; log ρ_k is interpolated by cubics and goes on along its
slope beyond the walls.
So that Newton's method may pass through maps that fold, the logarithm of an eigenvalue of DS goes on along
its tangent below TAIL; where log ρ_k(S) exceeds a given bar, eigenvalues below LEAST count as LEAST instead,
and much compression is no fold. The matrix of the linearisation stays positive.
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
from numba import njit

from jko.loops.grids import torus
from jko.loops.grids.cubic import extended_1d, extended_2d, extended_3d

TAIL = 0.05  # the least eigenvalue of DS in the tails
LEAST = 1e-6  # the same where ρ_k is dense


class End(StrEnum):
    """How p goes on beyond an end of an axis: mirrored at a wall, along its second differences through one
    that mass is far from, or by the period of an axis whose ends are joined."""

    MIRRORED = "mirrored"
    FREE = "free"
    JOINED = "joined"


def transported(
    log_density: np.ndarray, p: np.ndarray, tau: float, spacing: tuple, ends: tuple, bar: float = math.inf
):
    """(log ρ̂ `[*cells]`, diagonals of (DS)⁻¹ `[d, *cells]`, least eigenvalues of DS `[*cells]`, which are
    given as ∞ below a finite bar).

    `ends`: for each axis the `End` at its lower and at its upper end. 4 cells an axis.
    `bar`: log ρ_k(S) from which on compression counts as such; by default nowhere.
    """
    cells = log_density.shape
    joined = tuple(lower is End.JOINED for lower, _ in ends)
    around = torus.layers(p, [tau / (h * h) for h in spacing], joined)
    values, p, begin = torus.continued(log_density, around), _padded(p, ends), np.array(around)
    out = np.empty(cells)
    diagonal, least = np.empty((len(cells), *cells), np.float32), np.empty(cells, np.float32)
    h = np.array(spacing)
    scale = tau / np.outer(h, h)
    if len(cells) == 3:
        _map_3d(values, begin, p, scale, bar, out, diagonal, least)
    elif len(cells) == 2:
        _map_2d(values, begin, p, scale, bar, out, diagonal, least)
    else:
        _map_1d(values, begin, p, scale[0, 0], bar, out, diagonal[0], least)
    return out, diagonal, least


def _padded(p: np.ndarray, ends: tuple):
    """p with a layer of cells more."""
    for axis, (lower, upper) in enumerate(ends):
        first, last = p.take([0], axis), p.take([-1], axis)
        if lower is End.JOINED:
            first, last = last, first
        if lower is End.FREE:
            first = 3.0 * (first - p.take([1], axis)) + p.take([2], axis)
        if upper is End.FREE:
            last = 3.0 * (last - p.take([-2], axis)) + p.take([-3], axis)
        p = np.concatenate([first, p, last], axis)
    return p


@njit(inline="always")
def _logarithm(value, tail):
    """The logarithm of an eigenvalue as it goes on below the least one, and its derivative."""
    if tail:
        if value >= TAIL:
            return math.log(value), 1.0 / value
        return math.log(TAIL) + value / TAIL - 1.0, 1.0 / TAIL
    value = max(value, LEAST)
    return math.log(value), 1.0 / value


@njit(cache=True, fastmath={"contract", "nsz"})
def _map_1d(
    values: np.ndarray,
    begin: np.ndarray,
    p: np.ndarray,
    scale: float,
    bar: float,
    out: np.ndarray,
    diagonal: np.ndarray,
    least: np.ndarray,
):
    n = out.shape[0]
    for i in range(n):
        upper, lower = p[i + 2], p[i]
        slope = 1.0 + scale * (upper - 2.0 * p[i + 1] + lower)
        s = begin[0] + i + 0.5 * scale * (upper - lower)
        value = extended_1d(values, s)
        log, inverse = _logarithm(slope, value < bar)
        out[i], diagonal[i] = value + log, inverse
        least[i] = math.inf if value < bar < math.inf else slope


@njit(cache=True, fastmath={"contract", "nsz"})
def _map_2d(
    values: np.ndarray,
    begin: np.ndarray,
    p: np.ndarray,
    scale: np.ndarray,
    bar: float,
    out: np.ndarray,
    diagonal: np.ndarray,
    least: np.ndarray,
):
    n, m = out.shape
    for i in range(n):
        iu, io, il = i + 2, i + 1, i
        for j in range(m):
            ju, jo, jl = j + 2, j + 1, j
            centre = 2.0 * p[io, jo]
            xx = 1.0 + scale[0, 0] * (p[iu, jo] - centre + p[il, jo])
            yy = 1.0 + scale[1, 1] * (p[io, ju] - centre + p[io, jl])
            xy = 0.25 * scale[0, 1] * (p[iu, ju] - p[iu, jl] - p[il, ju] + p[il, jl])
            half, mean = 0.5 * (xx - yy), 0.5 * (xx + yy)
            root = math.sqrt(half * half + xy * xy)
            low = mean - root
            s = begin[0] + i + 0.5 * scale[0, 0] * (p[iu, jo] - p[il, jo])
            t = begin[1] + j + 0.5 * scale[1, 1] * (p[io, ju] - p[io, jl])
            value = extended_2d(values, s, t)
            tail = value < bar
            least[i, j] = math.inf if value < bar < math.inf else low
            if low >= (TAIL if tail else LEAST):
                determinant = xx * yy - xy * xy
                log = math.log(determinant)
                diagonal[0, i, j], diagonal[1, i, j] = yy / determinant, xx / determinant
            else:
                first, slope_low = _logarithm(low, tail)
                second, slope_high = _logarithm(mean + root, tail)
                log = first + second
                tilt = half / root if root > 0.0 else 0.0
                sum_, difference = 0.5 * (slope_high + slope_low), 0.5 * (slope_high - slope_low)
                diagonal[0, i, j], diagonal[1, i, j] = sum_ + tilt * difference, sum_ - tilt * difference
            out[i, j] = log + value


@njit(cache=True, fastmath={"contract", "nsz"})
def _map_3d(values, begin, p, scale, bar, out, diagonal, least):
    n, m, o = out.shape
    matrix = np.empty((3, 3))
    for i in range(n):
        iu, io, il = i + 2, i + 1, i
        for j in range(m):
            ju, jo, jl = j + 2, j + 1, j
            for k in range(o):
                ku, ko, kl = k + 2, k + 1, k
                centre = 2.0 * p[io, jo, ko]
                xx = 1.0 + scale[0, 0] * (p[iu, jo, ko] - centre + p[il, jo, ko])
                yy = 1.0 + scale[1, 1] * (p[io, ju, ko] - centre + p[io, jl, ko])
                zz = 1.0 + scale[2, 2] * (p[io, jo, ku] - centre + p[io, jo, kl])
                xy = 0.25 * scale[0, 1] * (p[iu, ju, ko] - p[iu, jl, ko] - p[il, ju, ko] + p[il, jl, ko])
                xz = 0.25 * scale[0, 2] * (p[iu, jo, ku] - p[iu, jo, kl] - p[il, jo, ku] + p[il, jo, kl])
                yz = 0.25 * scale[1, 2] * (p[io, ju, ku] - p[io, ju, kl] - p[io, jl, ku] + p[io, jl, kl])
                low = _least_3d(xx, yy, zz, xy, xz, yz)
                r = begin[0] + i + 0.5 * scale[0, 0] * (p[iu, jo, ko] - p[il, jo, ko])
                s = begin[1] + j + 0.5 * scale[1, 1] * (p[io, ju, ko] - p[io, jl, ko])
                t = begin[2] + k + 0.5 * scale[2, 2] * (p[io, jo, ku] - p[io, jo, kl])
                value = extended_3d(values, r, s, t)
                tail = value < bar
                least[i, j, k] = math.inf if value < bar < math.inf else low
                if low >= (TAIL if tail else LEAST):
                    a, b, c = yy * zz - yz * yz, xx * zz - xz * xz, xx * yy - xy * xy
                    determinant = a * xx - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
                    log = math.log(determinant)
                else:
                    matrix[0, 0], matrix[1, 1], matrix[2, 2] = xx, yy, zz
                    matrix[0, 1], matrix[0, 2], matrix[1, 2] = xy, xz, yz
                    matrix[1, 0], matrix[2, 0], matrix[2, 1] = xy, xz, yz
                    values_, vectors = np.linalg.eigh(matrix)
                    log, a, b, c, determinant = 0.0, 0.0, 0.0, 0.0, 1.0
                    for e in range(3):
                        part, slope = _logarithm(values_[e], tail)
                        log += part
                        a += slope * vectors[0, e] ** 2
                        b += slope * vectors[1, e] ** 2
                        c += slope * vectors[2, e] ** 2
                diagonal[0, i, j, k] = a / determinant
                diagonal[1, i, j, k] = b / determinant
                diagonal[2, i, j, k] = c / determinant
                out[i, j, k] = log + value


@njit(inline="always")
def _least_3d(xx, yy, zz, xy, xz, yz):
    """The least eigenvalue of a symmetric matrix, by the trigonometric formula."""
    mean = (xx + yy + zz) / 3.0
    a, b, c = xx - mean, yy - mean, zz - mean
    size = math.sqrt((a * a + b * b + c * c + 2.0 * (xy * xy + xz * xz + yz * yz)) / 6.0)
    if size <= 1e-14 * abs(mean):
        return mean
    half = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    half *= 0.5 / (size * size * size)
    angle = math.acos(min(max(half, -1.0), 1.0)) / 3.0
    return mean + 2.0 * size * math.cos(angle + 2.0943951023931953)
