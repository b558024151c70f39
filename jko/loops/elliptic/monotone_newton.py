"""Newton steps, line by line, for ρ − base = τ div(M grad(p + Ψ)) with (ρ, p) on a monotone graph.

The graph is p = U′(ρ) for 0 < ρ < cap, p ≤ U′(0) at ρ = 0 and p ≥ U′(cap) at ρ = cap: `side` is 0, −1, +1.
No function U is known here: the callers evaluate it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.elliptic.tridiagonal import factor, solve


@njit(cache=True, error_model="numpy")
def direction(
    rho: np.ndarray,
    p: np.ndarray,
    psi: np.ndarray,
    base: np.ndarray,
    curvature: np.ndarray,
    side: np.ndarray,
    mobility: np.ndarray,
    touch: float,
    step_rho: np.ndarray,
    step_p: np.ndarray,
    residual: np.ndarray,
):
    """The Newton direction, on `step_rho` and `step_p`; residual[line] is the largest, over its tolerance.

    The unknown is an arc with slopes ρ_s = 1/(1+wU″), p_s = U″/(1+wU″), bounded however steep the graph
    [BrennerCances2017]. `mobility` is τM/h² on the faces, w what those of a cell let through: the diagonal is
    1 in all units; where ρ_s is 0 the share `touch` of w stands for it, so that a line held at 0 or cap moves
    as a whole. A cell that lets nothing through has its base as its ρ.
    """
    n, lines = rho.shape
    slope = np.empty((n, lines))
    right = np.zeros((n - 1, lines))
    left = np.zeros((n - 1, lines))
    rhs = np.empty((n, lines))
    largest, rounding = np.zeros(lines), np.zeros(lines)
    for i in range(n):
        for j in range(lines):
            through = _conductance(mobility, i, j)
            if side[i, j] != 0 or not np.isfinite(through * curvature[i, j]):
                slope[i, j] = touch * through if through > 0.0 else 1.0
                step_p[i, j] = 1.0 if through > 0.0 or side[i, j] == 0 else 0.0
            else:
                slope[i, j] = 1.0 / (1.0 + through * curvature[i, j])
                step_p[i, j] = curvature[i, j] * slope[i, j]
            rhs[i, j] = base[i, j] - rho[i, j]
            largest[j] = max(largest[j], abs(base[i, j]))
    for i in range(n - 1):
        for j in range(lines):
            flux = mobility[i, j] * ((p[i + 1, j] + psi[i + 1, j]) - (p[i, j] + psi[i, j]))
            rhs[i, j] += flux
            rhs[i + 1, j] -= flux
            right[i, j] = mobility[i, j] * step_p[i, j]
            left[i, j] = mobility[i, j] * step_p[i + 1, j]
            size = abs(p[i, j]) + abs(psi[i, j]) + abs(p[i + 1, j]) + abs(psi[i + 1, j])
            rounding[j] = max(rounding[j], mobility[i, j] * size)
    residual[:] = 0.0
    for i in range(n):
        for j in range(lines):
            residual[j] = max(residual[j], abs(rhs[i, j]))
    for j in range(lines):
        tolerance = 1e-13 * largest[j] + 1e-15 * rounding[j]
        residual[j] = residual[j] / tolerance if tolerance > 0.0 else 0.0
    multiplier, inverse = np.empty((n - 1, lines)), np.empty((n, lines))
    factor(slope, right, left, multiplier, inverse, np.zeros(lines))
    solve(multiplier, inverse, left, rhs, rhs)
    for i in range(n):
        for j in range(lines):
            step_rho[i, j] = slope[i, j] * rhs[i, j]
            step_p[i, j] *= rhs[i, j]


@njit(cache=True, error_model="numpy")
def advance(
    rho: np.ndarray,
    p: np.ndarray,
    side: np.ndarray,
    step_rho: np.ndarray,
    step_p: np.ndarray,
    conductance: np.ndarray,
    p_empty: np.ndarray,
    p_full: np.ndarray,
    cap: np.ndarray,
    scale: np.ndarray,
    done: np.ndarray,
    by_pressure: np.ndarray,
):
    """Move along the graph, in place; by_pressure marks where p is set here: elsewhere the caller sets U′(ρ).

    Newton allows ρ + δρ and the ρ of p + δp alike; the more cautious is taken, since the first overshoots
    downwards and the second upwards where U′ is concave. A cell that leaves 0 or cap moves by no more than
    its faces deliver at p = U′(0) or U′(cap), by their `conductance`, the sum of τM/h²; where that is 0 the
    step is exact.
    """
    n, lines = rho.shape
    for i in range(n):
        for j in range(lines):
            by_pressure[i, j] = True
            if done[j]:
                continue
            old, linear, pressure = rho[i, j], rho[i, j] + step_rho[i, j], p[i, j] + step_p[i, j]
            if conductance[i, j] == 0.0 and 0.0 < linear < cap[i, j]:
                rho[i, j], side[i, j], by_pressure[i, j] = linear, 0, False
            elif side[i, j] == -1:
                p[i, j] = pressure
                if pressure > p_empty[i, j]:
                    inflow = (pressure - p_empty[i, j]) * conductance[i, j]
                    rho[i, j] = min(inflow, scale[j], cap[i, j])
                    side[i, j], by_pressure[i, j] = 0, False
            elif side[i, j] == 1:
                p[i, j] = pressure
                if pressure < p_full[i, j]:
                    outflow = (p_full[i, j] - pressure) * conductance[i, j]
                    rho[i, j] = max(0.0, cap[i, j] - min(outflow, scale[j]))
                    side[i, j], by_pressure[i, j] = 0, False
            elif step_rho[i, j] > 0.0:
                new = min(linear, _at_pressure(old, step_rho[i, j], step_p[i, j], p[i, j] - p_empty[i, j]))
                if new >= cap[i, j]:
                    rho[i, j], side[i, j] = cap[i, j], 1
                    p[i, j] = max(p_full[i, j], pressure) + max(0.0, linear - cap[i, j]) * (
                        step_p[i, j] == 0.0
                    )
                else:
                    rho[i, j], by_pressure[i, j] = new, False
            elif linear >= 0.1 * old or (linear > 0.0 and step_p[i, j] == 0.0):
                rho[i, j], by_pressure[i, j] = linear, False
            elif pressure <= p_empty[i, j]:
                rho[i, j], side[i, j] = 0.0, -1
                p[i, j] = pressure + min(0.0, linear) * (step_p[i, j] == 0.0)
            else:
                new = _at_pressure(old, step_rho[i, j], step_p[i, j], p[i, j] - p_empty[i, j])
                rho[i, j], by_pressure[i, j] = min(new, 0.1 * old), False


@njit(cache=True, error_model="numpy")
def _at_pressure(rho: float, step_rho: float, step_p: float, above_empty: float):
    """The ρ of p + δp, with U′ continued as the power law (or the logarithm) that it touches at ρ."""
    ratio = step_rho / rho
    if np.isfinite(above_empty) and above_empty > 0.0 and step_p != 0.0:
        exponent = step_p / (above_empty * ratio)
        base = 1.0 + exponent * ratio
        return rho * base ** (1.0 / exponent) if base > 0.0 else 0.0
    return rho * np.exp(min(ratio, 700.0)) if above_empty == np.inf else rho + step_rho


@njit(cache=True, error_model="numpy")
def _conductance(mobility, i, j):
    faces = mobility.shape[0]
    return (mobility[i, j] if i < faces else 0.0) + (mobility[i - 1, j] if i > 0 else 0.0)
