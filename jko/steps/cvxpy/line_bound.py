"""The certificate of a Lagrangian step: a lower bound from pressures that balance the forces."""

from __future__ import annotations

import numpy as np

from jko.loops.elliptic import banded
from jko.steps.cvxpy.tolerances import TOLERANCES


def lagrangian_bound(line, X: np.ndarray, start: np.ndarray, tau: float, box: tuple, cap) -> float:
    """A lower bound on min J over edges in the box with w/ΔX ≤ cap, from a point X near the minimiser; −∞
    where J may not be convex.

    Pressures p are integrated from the balance of forces at X, so that they are as accurate where there is
    hardly any mass as elsewhere. For any p and wall forces a, b ≥ 0, with S the transport and potential
    terms and r the residual force, J ≥ S(X) − ½rᵀ((1/τ+λ)M)⁻¹r + Σ [inf_ΔX (ΔX U(w/ΔX) + pΔX) − pΔX] +
    a(lower − X₀) + b(X_n − upper).
    """
    modulus = 1.0 / tau + (0.0 if line.potential is None else line.potential.modulus)
    if modulus <= 0.0:
        return -np.inf
    force = line.mass_times(X - start) / tau + line.potential_force(X)
    smooth = line.cost(X - start, tau) + line.potential_energy(X)
    present = _present_pressure(line, X, cap)
    best = -np.inf
    for a, b in line.wall_forces(X, force, present):
        balance = force.copy()
        balance[0] -= a
        balance[-1] += b
        pushed = a * (X[0] - box[0]) + b * (box[1] - X[-1])
        for p in _pressures(line, X, balance, present, cap):
            best = max(best, _bound(line, X, balance, p, box, cap, modulus) - pushed)
    return smooth + best


def _present_pressure(line, X: np.ndarray, cap):
    if line.internal is None:
        return np.zeros(line.masses.size)
    s = line.density(X) if cap is None else np.minimum(line.density(X), cap)
    return np.where(line.held, line.pressure(line.internal, np.maximum(s, 1e-300)), 0.0)


def _pressures(line, X: np.ndarray, balance: np.ndarray, present: np.ndarray, cap) -> list:
    """Pressures that balance the forces, within a factor of what the cells have, and as they are where that
    cuts some off: the better of two bounds is known by computing both."""
    p = line.pressures(X, balance)
    if line.internal is None and cap is None:
        return [np.zeros_like(p)]
    least = np.where(line.held, present / TOLERANCES.pressure_trust, 0.0)
    p = np.maximum(p, least)
    most = np.where(line.held, np.maximum(present * TOLERANCES.pressure_trust, least), np.inf)
    return [p] if cap is not None or np.all(p <= most) else [np.minimum(p, most), p]


def _bound(line, X: np.ndarray, balance: np.ndarray, p: np.ndarray, box: tuple, cap, modulus: float) -> float:
    residual, areas, lengths = balance.copy(), line.areas(X), line.lengths(line.sizes(X))
    residual[:-1] += p * areas[:-1]
    residual[1:] -= p * areas[1:]
    if line.full:
        residual[0] = 0.0
    push = p * line.areas(lengths)
    return (
        _least_of_cells(line, push, X, cap, box)
        - float(push @ lengths)
        - 0.5 * banded.dual_norm_squared(line.masses, residual) / modulus
    )


def _least_of_cells(line, push: np.ndarray, X: np.ndarray, cap, box: tuple) -> float:
    """Σ inf over u, of a size v ≥ w/cap, of vU(w/v) + u·push, from below."""
    w, push, X_density = line.masses[line.held], push[line.held], line.density(X)[line.held]
    most = np.inf if cap is None else cap
    if line.internal is None:
        return 0.0 if cap is None else float(push @ line.lengths(w / cap))
    s = np.minimum(_density_at(line, w, push, np.minimum(X_density, most)), most)
    u = line.lengths(w / s)
    value = float(np.sum(w * line.internal.density(s) / s) + push @ u)
    # s solves the balance to rounding; convexity in u turns what is left into a bound.
    left = line.pressure(line.internal, s) * line.areas(u) - push
    slack = np.where(s < most, np.abs(left), np.maximum(left, 0.0))
    return value - float(slack @ np.maximum(u, line.longest(box)))


def _density_at(line, w: np.ndarray, push: np.ndarray, s: np.ndarray):
    """s with sU′(s) − U(s) the pressure that pushes so at its length, by Newton in log s from a nearby
    density."""
    U = line.internal
    with np.errstate(all="ignore"):
        for _ in range(TOLERANCES.pressure_iterations):
            p, here = push / line.areas(line.lengths(w / s)), line.pressure(U, s)
            change = (here - p) / (s * s * U.second_derivative(s) - line.bend * here)
            change = np.where(np.isfinite(change), np.clip(change, -1.0, 1.0), 0.0)
            s = s * np.exp(-change)
            if np.all(np.abs(change) < TOLERANCES.pressure_settled):
                break
    return s
