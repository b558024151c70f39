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
    jump: np.ndarray,
    numbers: tuple,
    before: np.ndarray,
    psi: np.ndarray,
):
    """Of out = (I − sQ)⁻¹(I + δQ)ρ with the `inverse` of the pivots of I − sQ and `numbers` (s, δ,
    conductance): fills `before` with the cotangent of ρ, and adds to `psi` that of Ψ, by which right and left
    go as `slope` B′ and B′ + 1.

    z = (I − sQ)⁻ᵀ cotangent comes from the last cell down, and the faces with it. Returns (Σ of the fluxes of
    out against the rise of z, the same of ρ, Σ of the jumps with their cotangents).
    """
    step, compact, conductance = numbers
    n, lines = cotangent.shape
    by_out = by_rho = by_jumps = 0.0
    upper = np.empty(lines)
    for j in range(lines):
        before[0, j] = cotangent[0, j] * inverse[0, j]
    for i in range(1, n):
        for j in range(lines):
            reached = step * left[i - 1, j] * before[i - 1, j]
            before[i, j] = (cotangent[i, j] + reached) * inverse[i, j]
    for j in range(lines):
        upper[j] = before[n - 1, j]
    for i in range(n - 2, -1, -1):
        for j in range(lines):
            r, l = right[i, j], left[i, j]
            here = before[i, j] + step * r * inverse[i, j] * upper[j]
            rise = upper[j] - here
            upper[j] = here
            above = step * out[i, j] + compact * rho[i, j]
            below = step * out[i + 1, j] + compact * rho[i + 1, j]
            by_out += rise * (r * out[i, j] - l * out[i + 1, j])
            by_rho += rise * (r * rho[i, j] - l * rho[i + 1, j])
            of_jump = rise * (above * slope[i, j] - below * (1.0 + slope[i, j])) * conductance
            by_jumps += of_jump * jump[i, j]
            psi[i + 1, j] += of_jump
            psi[i, j] -= of_jump
            before[i + 1, j] -= compact * l * rise
            before[i, j] = here + compact * r * rise
    return by_out, by_rho, by_jumps
