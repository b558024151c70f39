"""Newton's method: min ½ε‖ρ − base‖² + Ψ·ρ + ½‖ρ − base‖² in H⁻¹(M), 0 ≤ ρ ≤ cap, on lines `[n, lines]`."""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.kernels.tridiagonal import factor, solve


@njit(cache=True, error_model="numpy")
def _gradient(p, psi, base, cap, mobility, softness, rho, curvature, gradient):
    n, lines = p.shape
    for i in range(n):
        for j in range(lines):
            free = base[i, j] + p[i, j] / softness
            rho[i, j] = min(max(free, 0.0), cap[i, j])
            inside = 0.0 <= free <= cap[i, j]
            curvature[i, j] = 1.0 / softness if inside else 1e-10 / softness
            gradient[i, j] = rho[i, j] - base[i, j]
    for i in range(n - 1):
        for j in range(lines):
            flux = mobility[i, j] * ((p[i + 1, j] - p[i, j]) + (psi[i + 1, j] - psi[i, j]))
            gradient[i, j] -= flux
            gradient[i + 1, j] += flux


@njit(cache=True, error_model="numpy")
def minimise(p, psi, base, cap, mobility, softness, most, tolerance):
    """Minimise the convex dual in p = ξ − Ψ, in place; returns (ρ, iterations, worst residual).

    The dual is piecewise quadratic, Newton's matrix diag(1/ε on free cells) + A_M, and the step length solves
    for the zero of the slope by bisection: globally convergent, finite in exact arithmetic [QiSun1993].
    """
    n, lines = p.shape
    rho, gradient, curvature = np.empty((n, lines)), np.empty((n, lines)), np.empty((n, lines))
    step, trial, trial_gradient = np.empty((n, lines)), np.empty((n, lines)), np.empty((n, lines))
    multiplier, inverse = np.empty((n - 1, lines)), np.empty((n, lines))
    slope, low, high, length = np.empty(lines), np.empty(lines), np.empty(lines), np.empty(lines)
    worst = np.inf
    for iteration in range(most):
        _gradient(p, psi, base, cap, mobility, softness, rho, curvature, gradient)
        worst = np.max(np.abs(gradient))
        if worst <= tolerance:
            return rho, iteration, worst
        factor(curvature, mobility, mobility, multiplier, inverse)
        solve(multiplier, inverse, mobility, -gradient, step)
        slope[:] = (gradient * step).sum(axis=0)
        low[:], high[:], length[:] = 0.0, 1.0, 1.0
        for _ in range(40):
            for i in range(n):
                for j in range(lines):
                    trial[i, j] = p[i, j] + length[j] * step[i, j]
            _gradient(trial, psi, base, cap, mobility, softness, rho, curvature, trial_gradient)
            settled = True
            for j in range(lines):
                now = 0.0
                for i in range(n):
                    now += trial_gradient[i, j] * step[i, j]
                if now > 0.5 * abs(slope[j]):
                    high[j] = length[j]
                elif now < 0.5 * slope[j] and length[j] < 1.0:
                    low[j] = length[j]
                else:
                    continue
                length[j] = 0.5 * (low[j] + high[j])
                settled = False
            if settled:
                break
        p[:] = trial
    return rho, most, worst
