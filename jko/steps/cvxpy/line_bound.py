"""The certificate of a Lagrangian step: a lower bound from pressures that balance the forces."""

from __future__ import annotations

import numpy as np

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
    total = float(force.sum())
    present = _present_pressure(line, X, cap)
    walls = _wall_forces(total, max(present[0] + float(force[0]), 0.0))
    tried = [(a, b, trust) for a, b in walls for trust in (TOLERANCES.pressure_trust, np.inf)]
    return smooth + max(_bound(line, X, force, present, *forces, box, cap, modulus) for forces in tried)


def _wall_forces(total: float, first: float):
    """Pairs (a, b) worth trying: one wall or both balance the total force.

    Any a, b ≥ 0 give a bound. Whether a wall is touched is not asked: where it pushes little, an
    interior-point solver stays away from it by more than any distance that would tell.
    """
    one = max(total, 0.0), max(-total, 0.0)
    return sorted({(0.0, 0.0), one, (first, max(first - total, 0.0))})


def _present_pressure(line, X: np.ndarray, cap):
    if line.internal is None:
        return np.zeros(line.masses.size)
    s = line.density(X) if cap is None else np.minimum(line.density(X), cap)
    return np.where(line.held, line.pressure(line.internal, np.maximum(s, 1e-300)), 0.0)


def _bound(
    line,
    X: np.ndarray,
    force: np.ndarray,
    present: np.ndarray,
    a: float,
    b: float,
    trust: float,
    box: tuple,
    cap,
    modulus: float,
):
    balance = force.copy()
    balance[0] -= a
    balance[-1] += b
    even = line.mass_times(np.ones(X.size)) * (balance.sum() / line.masses.sum())
    p = -np.cumsum(balance - even)[:-1]
    least = np.where(line.held, present / TOLERANCES.pressure_trust, 0.0)
    free = cap is not None or trust == np.inf
    most = np.inf if free else np.where(line.held, present * trust, np.inf)
    if line.internal is None and cap is None:
        p = np.zeros_like(p)
    p = np.clip(p, least, np.maximum(most, least))
    residual = balance.copy()
    residual[:-1] += p
    residual[1:] -= p
    widths = np.diff(X)
    return (
        _least_of_cells(line, p, X, cap, box)
        - float(p @ widths)
        - 0.5 * float(residual @ _solve_mass(line, residual)) / modulus
        - a * (X[0] - box[0])
        - b * (box[1] - X[-1])
    )


def _least_of_cells(line, p: np.ndarray, X: np.ndarray, cap, box: tuple) -> float:
    """Σ inf over ΔX ≥ w/cap of ΔX U(w/ΔX) + pΔX, from below."""
    w, p, X_density = line.masses[line.held], p[line.held], line.density(X)[line.held]
    most = np.inf if cap is None else cap
    if line.internal is None:
        return 0.0 if cap is None else float(np.sum(w * p / cap))
    s = np.minimum(_density_at(line, p, np.minimum(X_density, most)), most)
    value = float(np.sum(w * (line.internal.density(s) + p) / s))
    # s solves P(s) = p to rounding; convexity in the width turns what is left into a bound.
    slack = np.where(
        s < most,
        np.abs(p - line.pressure(line.internal, s)),
        np.maximum(line.pressure(line.internal, s) - p, 0.0),
    )
    return value - float(slack.sum()) * (box[1] - box[0])


def _density_at(line, p: np.ndarray, s: np.ndarray):
    """s with sU′(s) − U(s) = p, by Newton in log s from a nearby density."""
    U = line.internal
    with np.errstate(all="ignore"):
        for _ in range(TOLERANCES.pressure_iterations):
            change = (line.pressure(U, s) - p) / (s * s * U.second_derivative(s))
            change = np.where(np.isfinite(change), np.clip(change, -1.0, 1.0), 0.0)
            s = s * np.exp(-change)
            if np.all(np.abs(change) < TOLERANCES.pressure_settled):
                break
    return s


def _solve_mass(line, r: np.ndarray):
    """M⁻¹r."""
    from scipy.linalg import solveh_banded

    diagonal, off = line.bands(np.stack([line.masses, line.masses]) / 2.0)
    scale = 1.0 / np.sqrt(diagonal)
    bands = np.stack([diagonal * scale**2, np.append(off * scale[:-1] * scale[1:], 0.0)])
    return scale * solveh_banded(bands, scale * r, lower=True)
