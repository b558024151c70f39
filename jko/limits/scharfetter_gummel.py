"""Fokker–Planck along one axis: Scharfetter–Gummel fluxes, a linear M-matrix a line."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from jko.limits.line_solves import Resolvent, circulate, limit_around
from jko.limits.lines import Lines, jumps, leaving
from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.tridiagonal import advance, combine_conserving, limit_fluxes

GAMMA = 1.0 - math.sqrt(0.5)  # of the step: both stages of the L-stable Runge–Kutta method of order 2


class Bound(StrEnum):
    """What sets δ of a stage: the spacing, as h²/12θ, the largest rate, or the stage's own length."""

    SPACING = "spacing"
    RATE = "rate"
    LENGTH = "length"


class ScharfetterGummel:
    """Lines of ∂_tρ = ∂(θ∂ρ + ρ∂Ψ) with the flux θ/h·[B(ΔΨ/θ)ρ_i − B(−ΔΨ/θ)ρ_{i+1}], B(x) = x/(eˣ − 1).

    The generator Q keeps e^{−Ψ/θ} at the cell centres, to the last bit [ScharfetterGummel1969,
    ChangCooper1970]. It is used in its compact form Q(I + δQ)⁻¹, δ = h²/12θ, which takes off the leading
    error (h²/12)θ∂⁴ of the three-point Laplacian and keeps mass and equilibrium. A stage of length s is (I
    − (s − δ)Q)⁻¹(I + δQ): for δ ≤ s a positive stochastic matrix with the invariant measure e^{−Ψ/θ}, so
    that implicit Euler (where δ is cut to s/2) keeps ρ positive and lowers Σ θρ log ρ + Ψρ by Jensen's
    inequality, for any τ.

    A door is an absorbing state at its face: ρ = 0 half a cell away, a rate of twice that over half the jump,
    and none back.

    On a line with edges of its own Q moves the mass in cells, keeps |c|e^{−Ψ/θ}, and δ = 0.

    Order 2 is by the two-stage L-stable SDIRK method [Alexander1977]; where it undershoots, its fluxes are
    limited to the positive ones of implicit Euler.
    """

    def __init__(self, temperature: float):
        self.temperature = temperature

    def prepare(self, lines: Lines, psi: np.ndarray, tau: float, second_order: bool):
        """The stages of one sweep of lines for a fixed Ψ `[*cells]`."""
        theta, turns = self.temperature, lines.closes
        right, left = lines.a_cell(*_absorbed(jumps(lines.of(psi), turns), lines, theta))
        compact = 1.0 / (12.0 * theta * lines.conductance) if lines.volumes is None else 0.0
        euler = _Stage(right, left, tau, compact, turns)
        return (
            (_Stage(right, left, GAMMA * tau, compact, turns, positive=False), euler)
            if second_order
            else (None, euler)
        )

    def sweep(self, rho: np.ndarray, stages: tuple) -> np.ndarray:
        """One step of every line of `[n, lines]`: positive, of the line's mass."""
        fine, euler = stages
        mass = rho.sum(axis=0)
        out = np.empty_like(rho)
        if fine is not None:
            one = fine(rho)
            if combine_conserving(mass, 1.0 / GAMMA - 1.0, one, fine(one), out) > 0.0:
                return out
        low = np.empty_like(rho)
        one = euler(rho)
        combine_conserving(mass, 0.0, one, one, low)
        if fine is None:
            return low
        limited = np.empty_like(rho)
        (limit_around if euler.periodic else limit_fluxes)(low, out, TOLERANCES.kept, limited)
        return limited


class _Stage:
    """ρ ↦ (I − (s − δ)Q)⁻¹(I + δQ)ρ; factored when first used."""

    def __init__(
        self,
        right: np.ndarray,
        left: np.ndarray,
        length: float,
        compact: float,
        periodic: bool,
        positive: bool = True,
    ):
        self.periodic, self.positive = periodic, positive
        # I + δQ stays diagonally dominant, also where Ψ jumps by many θ from cell to cell.
        bounds = {
            Bound.SPACING: compact,
            Bound.RATE: 0.4 / max(float(leaving(right, left, periodic).max()), np.finfo(float).tiny),
            Bound.LENGTH: 0.5 * length if positive else math.inf,
        }
        self.bound = min(bounds, key=bounds.__getitem__)
        self.compact = bounds[self.bound]
        self.right, self.left, self.step = right, left, length - self.compact
        self.resolvent = None

    def __call__(self, rho: np.ndarray):
        if self.resolvent is None:
            self.resolvent = Resolvent(self.step * self.right, self.step * self.left, self.periodic)
        out, rates = np.empty_like(rho), (self.right, self.left)
        if self.periodic:
            circulate(*rates, self.compact, rho, out)
            return self.resolvent(out, self.positive)
        factors = self.resolvent.multiplier, self.resolvent.inverse
        advance(*factors, *rates, self.step, self.compact, rho, out, np.zeros(rho.shape[1]))
        return out


def _absorbed(jump: np.ndarray, lines: Lines, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """`rates`, into doors over half a cell, and none out of them."""
    right, left = rates(jump, theta, lines.conductance)
    if lines.beside_doors is None:
        return right, left
    low, high = lines.beside_doors
    into_high, into_low = rates(0.5 * jump, theta, lines.conductance)
    right = np.where(low, 0.0, np.where(high, 2.0 * into_high, right))
    return right, np.where(high, 0.0, np.where(low, 2.0 * into_low, left))


def rates(jump: np.ndarray, theta: float, conductance: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates (i → i+1, i+1 → i) of the Scharfetter–Gummel flux through faces over which Ψ jumps so."""
    jump = jump / theta
    magnitude = np.abs(jump)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        small = np.where(magnitude > 1e-5, magnitude / np.expm1(magnitude), 1.0 - 0.5 * magnitude)
    small = np.where(magnitude > 700.0, 0.0, small)
    large = small + magnitude
    scale = theta * conductance
    return scale * np.where(jump > 0, small, large), scale * np.where(jump > 0, large, small)
