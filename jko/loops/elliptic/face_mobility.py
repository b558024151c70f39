"""Mobilities on faces from densities in cells, `[n, lines]` -> `[n − 1, lines]`."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def limited(rho: np.ndarray, xi: np.ndarray, i: int, j: int):
    """The density carried through the face i+½: van Leer's limited extrapolation from upwind."""
    n = rho.shape[0]
    ahead = rho[i + 1, j] - rho[i, j]
    if xi[i, j] >= xi[i + 1, j]:
        value, step, behind = rho[i, j], ahead, rho[i, j] - rho[i - 1, j] if i > 0 else 0.0
    else:
        value, step, behind = rho[i + 1, j], -ahead, rho[i + 1, j] - rho[i + 2, j] if i + 2 < n else 0.0
    product = step * behind
    return value + product / (step + behind) if product > 0.0 else value


@njit(cache=True, error_model="numpy")
def upwind(rho: np.ndarray, xi: np.ndarray, out: np.ndarray):
    """The limited upwind mobility everywhere: what a flow without diffusion wants."""
    n, lines = rho.shape
    for i in range(n - 1):
        for j in range(lines):
            out[i, j] = limited(rho, xi, i, j)


@njit(cache=True, error_model="numpy")
def blended(
    rho: np.ndarray,
    slope: np.ndarray,
    pressure: np.ndarray,
    diffusivity: np.ndarray,
    psi: np.ndarray,
    xi: np.ndarray,
    out: np.ndarray,
):
    """Δφ(ρ)/ΔU′(ρ), φ = ρU′ − U: centred diffusion; turning upwind as the cell's Péclet number grows.

    slope = U′(ρ), pressure = φ(ρ), diffusivity = ρU″(ρ). The mean lies between the two densities; the
    upwind value is taken with the weight 1 − 2/Pe for Pe = |ΔΨ|/ρU″ > 2, as monotone three-point schemes
    need [Patankar1980].
    """
    n, lines = rho.shape
    for i in range(n - 1):
        for j in range(lines):
            low, high = min(rho[i, j], rho[i + 1, j]), max(rho[i, j], rho[i + 1, j])
            mean = 0.5 * (low + high)
            if high - low > 1e-5 * high:
                quotient = (pressure[i + 1, j] - pressure[i, j]) / (slope[i + 1, j] - slope[i, j])
                if np.isfinite(quotient):
                    mean = min(max(quotient, low), high)
            drift = abs(psi[i + 1, j] - psi[i, j])
            spread = 0.5 * (diffusivity[i, j] + diffusivity[i + 1, j])
            if drift > 2.0 * spread:
                mean += (1.0 - 2.0 * spread / drift) * (limited(rho, xi, i, j) - mean)
            out[i, j] = mean
