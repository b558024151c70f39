"""The linearised step by Newton's method in φ and log ρ, along the path on which V is brought in."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from jko.loops.elliptic.factors import NotFinite, factored
from jko.loops.elliptic.room_flux import faces_between
from jko.steps.linearized.tolerances import TOLERANCES


class LogNewton:
    """U′(ρ) = φ + ½Ss(Dᵀφ)² − V, ρ + DsθDᵀφ = ρ_k in the cells inside, θ = Sᵀρ the mean of two, s = τ/h².

    The discrete step of the `LinearizedNewton` given, by elimination. At φ = 0, ρ = ρ_k the balance of mass
    holds and the other equation lacks U′(ρ_k) + V. Newton's direction for a share of that follows the path
    on which the lack shrinks to nothing [Deuflhard2011]: from a V at which ρ_k is at rest to the V given,
    and the steps on it, strictly convex all, have one answer each. An iteration takes the share with which
    no log ρ moves further than a tangent is to be trusted, none where the balance has to be corrected first.
    """

    def __init__(self, newton, turns: tuple):
        inside = np.ones(newton.shape, bool) if newton.inside is None else newton.inside
        held = np.flatnonzero(inside)
        place = np.full(inside.size, -1)
        place[held] = np.arange(held.size)
        low, high, axis = faces_between(inside, turns)
        low, high, number = place[low], place[high], np.arange(low.size)
        shape, ones = (held.size, low.size), np.ones(low.size)
        lower, upper = (sp.csr_array((ones, (cells, number)), shape) for cells in (low, high))
        self.divergence, self.mean = lower - upper, 0.5 * (lower + upper)
        self.newton, self.held, self.rate = newton, held, newton.scale[axis]
        self.before, self.potential = newton.before.flat[held], newton.potential.flat[held]
        self.iterations = 0

    def solve(self, tolerance: float, most: int) -> Any:
        """The Pair of φ once its gap is `tolerance` of (τ/2)∫|∇φ|²ρ; of what φ was last where it is not
        within `most` iterations."""
        phi, log, enough = np.zeros(self.held.size), np.log(self.before), False
        while not enough and self.iterations < most and np.all(np.isfinite(log)):
            self.iterations += 1
            with np.errstate(all="ignore"):
                phi, log = self._moved(phi, log)
                found = self._pair(phi)
            enough = found.gap <= tolerance * found.transport + self.newton.floor < np.inf
        return found

    def _pair(self, phi: np.ndarray) -> Any:
        everywhere = np.zeros(self.newton.shape)
        everywhere.flat[self.held] = phi
        return self.newton.at(everywhere)

    def _moved(self, phi: np.ndarray, log: np.ndarray) -> tuple:
        """(φ, log ρ) after an iteration: the imbalance is corrected, and a share of the mismatch."""
        D, S, internal, rho = self.divergence, self.mean, self.newton.internal, np.exp(log)
        speed, carried, K = D.T @ phi, self.rate * (S.T @ rho), 1.0 / internal.second_derivative(rho)
        imbalance = self.before - rho - D @ (carried * speed)
        asked = phi + 0.5 * (S @ (self.rate * speed**2)) - self.potential
        mismatch = internal.derivative(rho) - asked
        A = sp.eye_array(rho.size) + S @ (sp.diags_array(self.rate * speed) @ D.T)
        matrix = A.T @ (sp.diags_array(K) @ A) + D @ (sp.diags_array(carried) @ D.T)
        solve = _eliminated(matrix)
        if solve is None:
            return np.full_like(phi, np.nan), np.full_like(log, np.nan)
        balance, forward = solve(imbalance), solve(A.T @ (K * mismatch))
        corrects = K / rho * (A @ balance)
        follows = K / rho * (A @ forward - mismatch)
        part, share = _shares(float(np.abs(corrects).max()), float(np.abs(follows).max()))
        return phi + part * balance + share * forward, log + part * corrects + share * follows


def _eliminated(matrix: sp.csr_array):
    """r ↦ matrix⁻¹r, None where it has none; scaled, for tails hold e⁻¹⁰⁰ of what crowds do."""
    scale = matrix.diagonal() ** -0.5
    try:
        factors = factored(sp.diags_array(scale) @ matrix @ sp.diags_array(scale))
    except (NotFinite, RuntimeError):
        return None
    return lambda r: scale * factors.solve(scale * r)


def _shares(back: float, ahead: float) -> tuple[float, float]:
    """(of the correction of the balance, of the way ahead), the whole of which would change log ρ so much."""
    if back > TOLERANCES.near:
        return min(1.0, TOLERANCES.stride / back), 0.0
    return 1.0, min(1.0, (TOLERANCES.stride - back) / ahead) if ahead > 0.0 else 1.0
