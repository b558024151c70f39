"""The transposed of steps along lines `[n, lines]` by rates to neighbours, as in `tridiagonal`."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def pull_stage(
    z: np.ndarray,
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
    """Of out = (I − sQ)⁻¹(I + δQ)ρ with z = (I − sQ)⁻ᵀc and `numbers` (s, δ, conductance): fills `before`
    with the cotangent of ρ, and adds to `psi` that of Ψ, by which right and left go as `slope` B′ and B′ + 1.

    Returns (Σ of the fluxes of out against the rise of z, the same of ρ, Σ of the rates with their
    cotangents, Σ of the jumps with theirs).
    """
    step, compact, conductance = numbers
    n, lines = z.shape
    by_out = by_rho = by_rates = by_jumps = 0.0
    for j in range(lines):
        before[0, j] = z[0, j]
    for i in range(n - 1):
        for j in range(lines):
            rise = z[i + 1, j] - z[i, j]
            r, l = right[i, j], left[i, j]
            of_right = rise * (step * out[i, j] + compact * rho[i, j])
            of_left = -rise * (step * out[i + 1, j] + compact * rho[i + 1, j])
            by_out += rise * (r * out[i, j] - l * out[i + 1, j])
            by_rho += rise * (r * rho[i, j] - l * rho[i + 1, j])
            by_rates += of_right * r + of_left * l
            of_jump = (of_right * slope[i, j] + of_left * (1.0 + slope[i, j])) * conductance
            by_jumps += of_jump * jump[i, j]
            psi[i + 1, j] += of_jump
            psi[i, j] -= of_jump
            before[i, j] += compact * r * rise
            before[i + 1, j] = z[i + 1, j] - compact * l * rise
    return by_out, by_rho, by_rates, by_jumps
