"""Interpolation at Chebyshev points in boxes, along one axis after the other.

Axes that there are not have one point.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.forces.elementary import FAST


@njit(cache=True)
def points(p: int):
    """The Chebyshev points of (−1, 1)."""
    return np.cos((np.arange(p) + 0.5) * np.pi / p)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def polynomials(x: np.ndarray, scale: float, shift: float, p: int, values: np.ndarray, slopes: np.ndarray):
    """T_0 … T_{p−1} and their derivatives, `[p, m]`, at (x − shift)·scale."""
    m = x.size
    for j in range(m):
        values[0, j], slopes[0, j] = 1.0, 0.0
    if p > 1:
        for j in range(m):
            values[1, j], slopes[1, j] = (x[j] - shift) * scale, 1.0
    for k in range(2, p):
        for j in range(m):
            u = 2.0 * values[1, j]
            values[k, j] = u * values[k - 1, j] - values[k - 2, j]
            slopes[k, j] = 2.0 * values[k - 1, j] + u * slopes[k - 1, j] - slopes[k - 2, j]


@njit(cache=True, error_model="numpy")
def from_moments(p: int):
    """`[point, k]`: charges at the points from moments of T_k."""
    matrix, slopes = np.empty((p, p)), np.empty((p, p))
    polynomials(points(p), 1.0, 0.0, p, matrix, slopes)
    matrix[1:] *= 2.0
    return matrix.T.copy() / p


@njit(cache=True, fastmath=FAST, error_model="numpy")
def turned(q: np.ndarray, matrix: np.ndarray):
    """Contracts the last axis of q with the matrix's last; the new axis comes first."""
    out = np.zeros((matrix.shape[0], q.shape[0], q.shape[1]))
    for m in range(matrix.shape[0]):
        for i in range(q.shape[0]):
            for j in range(q.shape[1]):
                e = 0.0
                for k in range(q.shape[2]):
                    e += matrix[m, k] * q[i, j, k]
                out[m, i, j] = e
    return out


@njit(cache=True, error_model="numpy")
def between(
    box: int,
    parent: int,
    centre: np.ndarray,
    half: np.ndarray,
    m0: np.ndarray,
    m1: np.ndarray,
    m2: np.ndarray,
):
    """The parent's polynomials at a box's points: along each axis `[point of the box, of its parent]`."""
    scale, reach = 1.0 / half[parent], half[box]
    a, b, c = centre[box] - centre[parent]
    return (_interpolation(a, reach, scale, m0), _interpolation(b, reach, scale, m1),
            _interpolation(c, reach, scale, m2))  # fmt: skip


@njit(cache=True, error_model="numpy")
def _interpolation(offset: float, reach: float, scale: float, moments: np.ndarray):
    p = moments.shape[0]
    t, s, matrix = np.empty((p, p)), np.empty((p, p)), np.zeros((p, p))
    # T_1 at the points is the points themselves
    nodes = moments[:, 1] * (0.5 * p) if p > 1 else np.zeros(1)
    polynomials(offset + reach * nodes, scale, 0.0, p, t, s)
    for i in range(p):
        for m in range(p):
            for k in range(p):
                matrix[i, m] += moments[m, k] * t[k, i]
    return matrix
