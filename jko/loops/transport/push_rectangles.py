"""Densities with vacuum moved on by y ↦ y + σ∇φ(y), in 1, 2 and 3 dimensions.

Each cell is cut into pieces with a limited linear density, which are moved and laid down as rectangles by
overlap: exact mass, positive, right at fronts. The pieces stay upright: shear leaves noise of its square.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jko.loops.transport.displacement import derivatives, jacobian, lift, lift_all, shifted

_LEAST = 0.05  # of a cell, the width of a piece's image: a map that folds lays down no less
_PIECES = 2  # along each axis, into which a cell is cut before it is laid down


def push_rectangles(density: np.ndarray, phi: np.ndarray, sigma: float, spacing: tuple):
    """((id + σ∇φ)_#ρ `[*cells]`, least eigenvalue of I + σD²φ `[*cells]`)."""
    gradient, hessian = derivatives(phi, sigma, spacing, wide=True)
    _, least = jacobian(hessian)
    out = np.zeros(lift(density).shape)
    slopes = np.stack([_limited_slope(density, axis) for axis in range(phi.ndim)])
    fall = 0.5 * np.abs(slopes).sum(axis=0)
    slopes *= np.minimum(1.0, density / np.maximum(fall, 1e-300))  # the density stays positive at the corners
    _lay_down(lift(density), lift_all(slopes), lift_all(gradient), lift_all(hessian), phi.ndim, out)
    return out.reshape(phi.shape), least


def _limited_slope(density: np.ndarray, axis: int):
    at = shifted(density, axis, 1)
    left, right = at(0) - at(-1), at(1) - at(0)
    centred = 0.5 * (left + right)
    bound = np.minimum(2.0 * np.minimum(np.abs(left), np.abs(right)), np.abs(centred))
    return np.where(left * right > 0.0, np.sign(centred) * bound, 0.0)


@njit(cache=True)
def _lay_down(
    density: np.ndarray,
    slopes: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    d: int,
    out: np.ndarray,
):
    n = density.shape
    pieces = np.ones(3, np.int64)
    pieces[3 - d :] = _PIECES
    share = 1.0 / _PIECES**d
    offset, low, high, tilt = np.zeros(3), np.zeros(3), np.ones(3), np.zeros(3)
    number = np.zeros(3, np.int64)
    for i in range(n[0]):
        for j in range(n[1]):
            for k in range(n[2]):
                if density[i, j, k] <= 0.0:
                    continue
                for piece in range(pieces[0] * pieces[1] * pieces[2]):
                    number[0] = piece // (pieces[1] * pieces[2])
                    number[1] = (piece // pieces[2]) % pieces[1]
                    number[2] = piece % pieces[2]
                    value = density[i, j, k]
                    for a in range(3 - d, 3):
                        offset[a] = (number[a] + 0.5) / pieces[a] - 0.5
                        value += slopes[a - 3 + d, i, j, k] * offset[a]
                    if value <= 0.0:
                        continue
                    for a in range(3 - d, 3):
                        tilt[a] = slopes[a - 3 + d, i, j, k] / (pieces[a] * value)
                        _interval(a, (i, j, k)[a], n[a], d, gradient, hessian, i, j, k, offset, low, high)
                    _spread(value * share, low, high, tilt, n, out)


@njit(inline="always")
def _interval(axis: int, cell, n, d, gradient, hessian, i, j, k, offset, low, high):
    """Where a piece of a cell lies along an axis after its move, faces of cells at whole numbers."""
    a = axis - 3 + d
    centre = cell + 0.5 + offset[axis] + gradient[a, i, j, k]
    width = 1.0
    for b in range(d):
        first, last = min(a, b), max(a, b)
        row = first * d - first * (first - 1) // 2 + last - first
        centre += hessian[row, i, j, k] * offset[b + 3 - d]
        if a == b:
            width += hessian[row, i, j, k]
    half = 0.5 * max(width, _LEAST) / _PIECES
    half = min(half, 0.5 * n)
    centre = min(max(centre, half), n - half)
    low[axis], high[axis] = centre - half, centre + half


@njit(inline="always")
def _share(p, low, high, tilt):
    """The part between p and p + 1 of a unit mass on (low, high), its density rising by `tilt` of the
    mean."""
    a, b = max(low, float(p)), min(high, p + 1.0)
    length = high - low
    return (b - a) / length * (1.0 + tilt * (0.5 * (a + b) - 0.5 * (low + high)) / length)


@njit(inline="always")
def _spread(mass, low, high, tilt, n, out):
    for p in range(int(low[0]), min(math.ceil(high[0]), n[0])):
        u = mass * _share(p, low[0], high[0], tilt[0])
        for q in range(int(low[1]), min(math.ceil(high[1]), n[1])):
            v = u * _share(q, low[1], high[1], tilt[1])
            for r in range(int(low[2]), min(math.ceil(high[2]), n[2])):
                out[p, q, r] += v * _share(r, low[2], high[2], tilt[2])
