"""Batches of tridiagonal M-matrices, `[n, lines]`, solved without a single subtraction.

The matrices are diag(shift) − Q, where Q moves mass between neighbours: right[i] is the rate from i to i+1,
left[i] the rate from i+1 to i, and the columns of Q sum to zero. Elimination in the form of Grassmann,
Taksar and Heyman keeps every entry's relative accuracy, so that the inverse is ≥ 0 to the last bit
[GrassmannTaksarHeyman1985].
"""

from __future__ import annotations

import numpy as np
from numba import njit

_SMALLEST = 1e-280  # a pivot below belongs to cells cut off from all others, where nothing moves


@njit(cache=True)
def factor(
    shift: np.ndarray,
    right: np.ndarray,
    left: np.ndarray,
    multiplier: np.ndarray,
    inverse: np.ndarray,
    carried: np.ndarray,
):
    """Eliminate diag(shift) − Q, `[n, lines]`; fills `multiplier` and `inverse` (of the pivots).

    `carried` is zeros `[lines]`, overwritten: to compile np.zeros takes longer than all the rest.
    """
    n, lines = shift.shape
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
    for j in range(lines):
        out[0, j] = rhs[0, j]
    for i in range(1, n):
        for j in range(lines):
            out[i, j] = rhs[i, j] + multiplier[i - 1, j] * out[i - 1, j]
    _substitute(inverse, left, 1.0, out)


@njit(cache=True)
def _substitute(inverse: np.ndarray, left: np.ndarray, step: float, out: np.ndarray):
    n, lines = out.shape
    for j in range(lines):
        out[n - 1, j] *= inverse[n - 1, j]
    for i in range(n - 2, -1, -1):
        for j in range(lines):
            out[i, j] = (out[i, j] + step * left[i, j] * out[i + 1, j]) * inverse[i, j]


@njit(cache=True)
def advance(
    multiplier: np.ndarray,
    inverse: np.ndarray,
    right: np.ndarray,
    left: np.ndarray,
    step: float,
    compact: float,
    rho: np.ndarray,
    out: np.ndarray,
    carried: np.ndarray,
):
    """out = (I − step·Q)⁻¹(I + compact·Q) rho with the factors of I − step·Q; out is not rho, `carried` as by
    `factor`."""
    n, lines = rho.shape
    for i in range(n):
        if i < n - 1:
            for j in range(lines):
                flux = compact * (right[i, j] * rho[i, j] - left[i, j] * rho[i + 1, j])
                out[i, j] = rho[i, j] + carried[j] - flux
                carried[j] = flux
        else:
            for j in range(lines):
                out[i, j] = rho[i, j] + carried[j]
        if i > 0:
            for j in range(lines):
                out[i, j] += multiplier[i - 1, j] * out[i - 1, j]
    _substitute(inverse, left, step, out)


def combine_conserving(mass: np.ndarray, weight: float, one: np.ndarray, two: np.ndarray, out: np.ndarray):
    """out = weight·two + (1 − weight)·one, each line scaled to its mass; returns the least entry of out.

    Exact arithmetic conserves each line's mass; the scaling removes the rounding of the elimination.
    """
    np.multiply(two, weight, out=out)
    out += (1.0 - weight) * one
    total = out.sum(axis=0)
    out *= np.divide(mass, total, out=np.ones_like(total), where=total > 0.0)
    return float(out.min())


def limit_fluxes(low: np.ndarray, high: np.ndarray, kept: float, out: np.ndarray):
    """The fluxes from low ≥ 0 to high, of equal mass, cut so that each cell keeps the share `kept` of low.

    Flux-corrected transport [Zalesak1979]: where high is positive by that measure, out is high.
    """
    flux = np.cumsum(low[:-1] - high[:-1], axis=0)  # through the face after each cell
    outgoing = np.zeros_like(low)
    np.maximum(flux, 0.0, out=outgoing[:-1])
    outgoing[1:] -= np.minimum(flux, 0.0)
    room = (1.0 - kept) * low
    free = outgoing <= room
    share = np.where(free, 1.0, room / np.where(free, 1.0, outgoing))
    flux *= np.where(flux > 0.0, share[:-1], share[1:])
    out[:] = low
    out[1:] += flux
    out[:-1] -= flux
