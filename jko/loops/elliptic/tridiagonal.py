"""Batches of tridiagonal M-matrices, `[n, lines]`, solved without a single subtraction.

The matrices are diag(shift) − Q, where Q moves mass between neighbours: right[i] is the rate from i to i+1,
left[i] the rate from i+1 to i, and the columns of Q sum to zero. Elimination in the form of Grassmann,
Taksar and Heyman keeps every entry's relative accuracy, so that the inverse is ≥ 0 to the last bit
[GrassmannTaksarHeyman1985].
"""

from __future__ import annotations

import numpy as np
from numba import njit

_BLOCK = 128  # lines eliminated together: a few arrays of n × 128 stay in the second-level cache
_SMALLEST = 1e-280  # a pivot below belongs to cells cut off from all others, where nothing moves


@njit(cache=True)
def factor(
    shift: np.ndarray, right: np.ndarray, left: np.ndarray, multiplier: np.ndarray, inverse: np.ndarray
):
    """Eliminate diag(shift) − Q, `[n, lines]`; fills `multiplier` and `inverse` (of the pivots)."""
    n, lines = shift.shape
    carried = np.zeros(lines)
    for i in range(n):
        for j in range(lines):
            out = right[i, j] if i < n - 1 else 0.0
            pivot = shift[i, j] + carried[j] + out
            inverse[i, j] = 1.0 / pivot if pivot > _SMALLEST else 0.0
            if i < n - 1:
                multiplier[i, j] = out * inverse[i, j]
                carried[j] = left[i, j] * (shift[i, j] + carried[j]) * inverse[i, j]


@njit(cache=True)
def solve(multiplier: np.ndarray, inverse: np.ndarray, left: np.ndarray, rhs: np.ndarray, out: np.ndarray):
    """out = (diag(shift) − Q)⁻¹ rhs with the factors of `factor`; out may be rhs."""
    n, lines = rhs.shape
    for start in range(0, lines, _BLOCK):
        end = min(lines, start + _BLOCK)
        for j in range(start, end):
            out[0, j] = rhs[0, j]
        for i in range(1, n):
            for j in range(start, end):
                out[i, j] = rhs[i, j] + multiplier[i - 1, j] * out[i - 1, j]
        for j in range(start, end):
            out[n - 1, j] *= inverse[n - 1, j]
        for i in range(n - 2, -1, -1):
            for j in range(start, end):
                out[i, j] = (out[i, j] + left[i, j] * out[i + 1, j]) * inverse[i, j]


@njit(cache=True)
def _copy(a: np.ndarray, out: np.ndarray):
    """out = a; `out[:] = a` would take five seconds to compile, for shapes that do not agree."""
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = a[i, j]


@njit(cache=True)
def generate(right: np.ndarray, left: np.ndarray, share: float, rho: np.ndarray, out: np.ndarray):
    """out = rho + share·Q rho."""
    n, lines = rho.shape
    _copy(rho, out)
    for i in range(n - 1):
        for j in range(lines):
            flux = share * (right[i, j] * rho[i, j] - left[i, j] * rho[i + 1, j])
            out[i, j] -= flux
            out[i + 1, j] += flux


@njit(cache=True)
def combine_conserving(mass: np.ndarray, weight: float, one: np.ndarray, two: np.ndarray, out: np.ndarray):
    """out = weight·two + (1 − weight)·one, each line scaled to its mass; returns the least entry of out.

    Exact arithmetic conserves each line's mass; the scaling removes the rounding of the elimination.
    """
    n, lines = one.shape
    total = np.zeros(lines)
    for i in range(n):
        for j in range(lines):
            value = weight * two[i, j] + (1.0 - weight) * one[i, j]
            out[i, j] = value
            total[j] += value
    least = np.inf
    for j in range(lines):
        total[j] = mass[j] / total[j] if total[j] > 0.0 else 1.0
    for i in range(n):
        for j in range(lines):
            out[i, j] *= total[j]
            least = min(least, out[i, j])
    return least


@njit(cache=True)
def limit_fluxes(low: np.ndarray, high: np.ndarray, kept: float, out: np.ndarray):
    """The fluxes from low ≥ 0 to high, of equal mass, cut so that each cell keeps the share `kept` of low.

    Flux-corrected transport [Zalesak1979]: where high is positive by that measure, out is high.
    """
    n, lines = low.shape
    flux = np.zeros((n + 1, lines))
    share = np.empty((n, lines))
    for i in range(n):
        for j in range(lines):
            flux[i + 1, j] = flux[i, j] - (high[i, j] - low[i, j]) if i < n - 1 else 0.0
            outgoing = max(flux[i + 1, j], 0.0) + max(-flux[i, j], 0.0)
            room = (1.0 - kept) * low[i, j]
            share[i, j] = 1.0 if outgoing <= room else room / outgoing
    _copy(low, out)
    for i in range(1, n):
        for j in range(lines):
            moved = flux[i, j] * (share[i - 1, j] if flux[i, j] > 0.0 else share[i, j])
            out[i - 1, j] -= moved
            out[i, j] += moved
