"""The transposed of steps along lines `[n, lines]` by rates to neighbours, as in `tridiagonal`."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, fastmath={"contract", "nsz", "reassoc"})
def pull_stage(
    cotangent: np.ndarray,
    inverse: np.ndarray,
    out: np.ndarray,
    rho: np.ndarray,
    right: np.ndarray,
    left: np.ndarray,
    slope: np.ndarray,
    step: float,
    compact: float,
    before: np.ndarray,
    faces: np.ndarray,
):
    """Of out = (I − sQ)⁻¹(I + δQ)ρ with the `inverse` of the pivots of I − sQ, s = `step`, δ = `compact`:
    fills `before` with the cotangent of ρ, and adds to `faces` that of their jumps, by which right and left
    go as the conductance times `slope` B′ and B′ + 1; the conductance is left out.

    Returns (Σ of the fluxes of out against the rise of z = (I − sQ)⁻ᵀ cotangent, the same of ρ). Loops that
    hold few arrays each take less time than one that holds all.
    """
    n, lines = cotangent.shape
    by_out = by_rho = 0.0
    z, carried = np.empty((n, lines)), np.zeros(lines)
    for j in range(lines):
        z[0, j] = cotangent[0, j] * inverse[0, j]
    for i in range(1, n):
        for j in range(lines):
            z[i, j] = (cotangent[i, j] + step * left[i - 1, j] * z[i - 1, j]) * inverse[i, j]
    for i in range(n - 2, -1, -1):
        for j in range(lines):
            z[i, j] += step * right[i, j] * inverse[i, j] * z[i + 1, j]
    for i in range(n - 1):
        for j in range(lines):
            r, l, rise = right[i, j], left[i, j], z[i + 1, j] - z[i, j]
            above = step * out[i, j] + compact * rho[i, j]
            below = step * out[i + 1, j] + compact * rho[i + 1, j]
            by_out += rise * (r * out[i, j] - l * out[i + 1, j])
            by_rho += rise * (r * rho[i, j] - l * rho[i + 1, j])
            faces[i, j] += rise * ((above - below) * slope[i, j] - below)
        for j in range(lines):
            rise = compact * (z[i + 1, j] - z[i, j])
            before[i, j] = z[i, j] + right[i, j] * rise - carried[j]
            carried[j] = left[i, j] * rise
    for j in range(lines):
        before[n - 1, j] = z[n - 1, j] - carried[j]
    return by_out, by_rho
