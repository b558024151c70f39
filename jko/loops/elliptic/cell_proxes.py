"""Loops of the dynamic step: proxes of an internal energy in the cells."""

from __future__ import annotations

import numpy as np
from numba import njit

_MATH = {"contract", "nsz", "reassoc", "arcp"}
_SETTLED = 1e-14  # of a density, its last change by Newton's method: earlier stops differ in other units


@njit(cache=True, error_model="numpy")
def cell_pass(
    projected: np.ndarray,
    density: np.ndarray,
    dual: np.ndarray,
    field: np.ndarray,
    cap: np.ndarray,
    weight: float,
    relaxation: float,
    temperature: float,
    holes: tuple,
    powers: np.ndarray,
    factors: np.ndarray,
    sums: np.ndarray,
):
    """r ← prox of T r log r + Σ cᵢ r^{mᵢ}/(mᵢ − 1) + f r over 0 ≤ r ≤ cap at the relaxed projection plus
    dual, and of S (c − r) log(c − r) for `holes` = (S, c).

    Flat arrays; `powers` are mᵢ and `factors` cᵢ. sums gain |projected − r|² and |r − r_old|².
    """
    primal, change = 0.0, 0.0
    if temperature == 0.0 and powers.size == 0 and holes[0] == 0.0:
        _box_pass(projected, density, dual, field, cap, weight, relaxation, sums)
        return
    if powers.size == 0 and holes[0] == 0.0:
        _entropy_pass(projected, density, dual, field, cap, weight, relaxation, temperature, sums)
        return
    for i in range(density.size):
        old = density[i]
        r0 = relaxation * projected[i] + (1.0 - relaxation) * old + dual[i]
        r = cell_prox(r0 - field[i] / weight, old, cap[i], weight, temperature, holes, powers, factors)
        primal += (projected[i] - r) ** 2
        change += (r - old) ** 2
        density[i] = r
        dual[i] = r0 - r
    sums[0] += primal
    sums[1] += change


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def _box_pass(
    projected: np.ndarray,
    density: np.ndarray,
    dual: np.ndarray,
    field: np.ndarray,
    cap: np.ndarray,
    weight: float,
    relaxation: float,
    sums: np.ndarray,
):
    """cell_pass without an internal energy."""
    primal, change = 0.0, 0.0
    keep, scale = 1.0 - relaxation, 1.0 / weight
    for i in range(density.size):
        old = density[i]
        r0 = relaxation * projected[i] + keep * old + dual[i]
        r = min(max(r0 - scale * field[i], 0.0), cap[i])
        primal += (projected[i] - r) ** 2
        change += (r - old) ** 2
        density[i] = r
        dual[i] = r0 - r
    sums[0] += primal
    sums[1] += change


@njit(cache=True, error_model="numpy")
def _entropy_pass(
    projected: np.ndarray,
    density: np.ndarray,
    dual: np.ndarray,
    field: np.ndarray,
    cap: np.ndarray,
    weight: float,
    relaxation: float,
    temperature: float,
    sums: np.ndarray,
):
    """cell_pass with an entropy alone: u = weight r/T solves u + log u = z, the Wright function of z
    [CorlessJeffrey2002]."""
    primal, change = 0.0, 0.0
    keep, unit = 1.0 - relaxation, temperature / weight
    shift, scale = 1.0 + np.log(unit), 1.0 / temperature
    for i in range(density.size):
        old = density[i]
        r0 = relaxation * projected[i] + keep * old + dual[i]
        r = unit * wright(r0 / unit - scale * field[i] - shift, old / unit)
        r = min(r, cap[i])
        primal += (projected[i] - r) ** 2
        change += (r - old) ** 2
        density[i] = r
        dual[i] = r0 - r
    sums[0] += primal
    sums[1] += change


@njit(cache=True, error_model="numpy")
def wright(z: float, guess: float):
    """u > 0 with u + log u = z, by the iteration of fourth order of [FritschShaferCrowley1973]."""
    u = guess
    if not (guess > 0.0 and abs(z - guess - np.log(guess)) < 1.0 + guess):
        u = np.exp(z) if z < -1.0 else (z - np.log(z) if z > 2.0 else 0.5 + 0.25 * (z + 1.0))
    for _ in range(20):
        if u < 1e-300:
            return 0.0
        left = z - u - np.log(u)
        part = 2.0 * (1.0 + u) * (1.0 + u + (2.0 / 3.0) * left)
        move = left / (1.0 + u) * (part - left) / (part - 2.0 * left)
        u *= 1.0 + max(move, -0.9)
        if move**4 <= _SETTLED:  # of fourth order
            break
    return u


@njit(cache=True, error_model="numpy")
def cell_prox(
    b: float,
    guess: float,
    cap: float,
    weight: float,
    temperature: float,
    holes: tuple,
    powers: np.ndarray,
    factors: np.ndarray,
):
    """argmin T r log r + S (c − r) log(c − r) + Σ cᵢ r^{mᵢ}/(mᵢ − 1) + weight (r − b)²/2 over [0, cap]:
    Newton within a bracket."""
    if holes[0] > 0.0:
        cap = min(cap, holes[1])
    elif temperature == 0.0:
        if powers.size == 0:
            return min(max(b, 0.0), cap)
        if powers.size == 1 and powers[0] == 2.0:
            return min(max(weight * b / (weight + 2.0 * factors[0]), 0.0), cap)
        if b <= 0.0 and powers.min() > 1.0:
            return 0.0
    if cap <= 0.0:
        return 0.0
    if np.isfinite(cap) and _slope(cap, b, weight, temperature, holes, powers, factors)[0] <= 0.0:
        return cap
    low, high = 0.0, cap
    r = (
        guess
        if guess > 0.0 and guess < cap
        else (b if b > 0.0 and b < cap else min(1e-3 / weight, 0.5 * cap))
    )
    for _ in range(100):
        value, bend = _slope(r, b, weight, temperature, holes, powers, factors)
        if value > 0.0:
            high = r
        else:
            low = r
        # in log r where the slope is positive, in r where it is not: from either side without overshoot
        new = r * np.exp(-value / (r * bend)) if value > 0.0 else r - value / bend
        if not (new > low and new < high):
            new = 0.5 * (low + high) if np.isfinite(high) else 2.0 * r
            if low > 0.0 and np.isfinite(high):
                new = np.sqrt(low) * np.sqrt(high)
            elif low == 0.0:
                new = 1e-3 * r
        if new < 1e-300:
            return 0.0
        if abs(new - r) <= _SETTLED * new:
            return new
        r = new
    return r


@njit(cache=True, error_model="numpy")
def cell_proxes(
    wanted: np.ndarray,
    guess: np.ndarray,
    cap: np.ndarray,
    weights: np.ndarray,
    temperature: float,
    holes: tuple,
    powers: np.ndarray,
    factors: np.ndarray,
    out: np.ndarray,
):
    """out ← cell_prox in each cell, with weights of their own; flat arrays."""
    for i in range(out.size):
        out[i] = cell_prox(wanted[i], guess[i], cap[i], weights[i], temperature, holes, powers, factors)


@njit(cache=True, error_model="numpy")
def _slope(
    r: float,
    b: float,
    weight: float,
    temperature: float,
    holes: tuple,
    powers: np.ndarray,
    factors: np.ndarray,
):
    """U′(r) + weight (r − b) and its derivative."""
    value, bend = weight * (r - b), weight
    if temperature > 0.0:
        value += temperature * (np.log(r) + 1.0)
        bend += temperature / r
    if holes[0] > 0.0:
        value -= holes[0] * (np.log(holes[1] - r) + 1.0)
        bend += holes[0] / (holes[1] - r)
    for k in range(powers.size):
        m = powers[k]
        power = factors[k] * m * (r if m == 2.0 else r ** (m - 1.0))
        value += power / (m - 1.0)
        bend += power / r
    return value, bend
