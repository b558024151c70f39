"""Newton steps, line by line, for ρ − base = τ div(M grad(p + Ψ)), M the density that p + Ψ falls from.

(ρ, p) is on a monotone graph p = U′(ρ) up to a cap, beyond which p alone grows: `full`. No function U is
known here: the callers evaluate it. All fields are `[n, lines]`, faces `[n − 1, lines]`; `step` is τ/h².
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.elliptic.tridiagonal import factor, solve


@njit(cache=True, error_model="numpy")
def remainder(
    rho: np.ndarray,
    p: np.ndarray,
    psi: np.ndarray,
    base: np.ndarray,
    volumes: np.ndarray,
    step: np.ndarray,
    rounding: float,
    value: np.ndarray,
    blur: np.ndarray,
):
    """value = base − ρ + what flows in; blur is what of it the share `rounding` of p and Ψ makes up."""
    n, lines = rho.shape
    value[:] = base - rho
    blur[:] = 0.0
    for i in range(n - 1):
        for j in range(lines):
            fall = (p[i, j] + psi[i, j]) - (p[i + 1, j] + psi[i + 1, j])
            up, down = (i, i + 1) if fall >= 0.0 else (i + 1, i)
            through = step[i, j] * rho[up, j] / volumes[up, j]
            other = step[i, j] * rho[down, j] / volumes[down, j]
            unsure = rounding * (abs(p[i, j]) + abs(psi[i, j]) + abs(p[i + 1, j]) + abs(psi[i + 1, j]))
            if through > 0.0:
                value[i, j] -= through * fall
                value[i + 1, j] += through * fall
            if through > 0.0 or (other > 0.0 and abs(fall) <= unsure):
                most = max(through, other) if abs(fall) <= unsure else through
                blur[i, j] += unsure * most
                blur[i + 1, j] += unsure * most


@njit(cache=True, error_model="numpy")
def direction(
    rho: np.ndarray,
    p: np.ndarray,
    psi: np.ndarray,
    full: np.ndarray,
    curvature: np.ndarray,
    volumes: np.ndarray,
    step: np.ndarray,
    touch: float,
    value: np.ndarray,
    step_rho: np.ndarray,
    step_p: np.ndarray,
):
    """The Newton direction; `value`, what `remainder` left, is overwritten.

    The unknown of a cell is an arc as in `monotone_newton`, with slopes ρ_s = 1/(1 + wU″) and p_s = U″ρ_s, w
    what its faces let through; 0 and 1 in a full cell, where the share `touch` of w stands for 0.
    """
    n, lines = rho.shape
    slope, through = np.empty((n, lines)), np.zeros((n, lines))
    right, left = np.empty((n - 1, lines)), np.empty((n - 1, lines))
    for i in range(n - 1):
        for j in range(lines):
            up = i if p[i, j] + psi[i, j] >= p[i + 1, j] + psi[i + 1, j] else i + 1
            right[i, j] = step[i, j] * rho[up, j] / volumes[up, j]
            through[i, j] += right[i, j]
            through[i + 1, j] += right[i, j]
    for i in range(n):
        for j in range(lines):
            bend = through[i, j] * curvature[i, j]
            if full[i, j] or not np.isfinite(bend):
                slope[i, j] = touch * through[i, j] if through[i, j] > 0.0 else 1.0
                step_p[i, j] = 1.0 if full[i, j] else 0.0
            else:
                slope[i, j] = 1.0 / (1.0 + bend)
                step_p[i, j] = curvature[i, j] * slope[i, j]
    for i in range(n - 1):
        for j in range(lines):
            fall = (p[i, j] + psi[i, j]) - (p[i + 1, j] + psi[i + 1, j])
            passed = right[i, j]
            right[i, j], left[i, j] = passed * step_p[i, j], passed * step_p[i + 1, j]
            # what grows with the density that is carried
            if fall >= 0.0 and not full[i, j]:
                right[i, j] += step[i, j] * fall * slope[i, j] / volumes[i, j]
            elif fall < 0.0 and not full[i + 1, j]:
                left[i, j] -= step[i, j] * fall * slope[i + 1, j] / volumes[i + 1, j]
    multiplier, inverse = np.empty((n - 1, lines)), np.empty((n, lines))
    factor(slope, right, left, multiplier, inverse, np.zeros(lines))
    solve(multiplier, inverse, left, value, value)
    for i in range(n):
        for j in range(lines):
            step_rho[i, j] = 0.0 if full[i, j] else slope[i, j] * value[i, j]
            step_p[i, j] *= value[i, j]
