"""The linearised step as a minimisation over fluxes, by a damped Newton's method that cannot diverge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from jko.loops.elliptic.factors import NotFinite, factored
from jko.loops.elliptic.room_flux import RoomFaces
from jko.steps.linearized.tolerances import TOLERANCES


class Flow(NamedTuple):
    """Fluxes m, the densities ρ = ρ_k − Dm that they lead to, and what the step's objective is there."""

    flux: np.ndarray
    density: np.ndarray
    value: float


class Direction(NamedTuple):
    """Newton's direction in both, its slope < 0, and φ, the potential that it asks for."""

    flux: np.ndarray
    density: np.ndarray
    slope: float
    potential: np.ndarray


class FluxNewton:
    """min Σ m²/2sθ + Σ U(ρ) + Vρ over fluxes m through faces, ρ = ρ_k − Dm > 0, θ = Sρ the mean of two cells.

    The same discrete step as that of `LinearizedNewton`: φ is the multiplier of ρ = ρ_k − Dm, and at the
    minimum m = sθDᵀφ. No flux is admissible, the objective is convex and every iterate is a density of the
    mass of ρ_k, so that Newton's method with a line search on the objective itself goes down from there
    [NocedalWright2006]. With A = 1 + Sᵀ-weighted sDᵀ as in the other method its equations are
    (AᵀU″⁻¹A + DsθDᵀ)φ = Dm + AᵀU″⁻¹c, by elimination.
    """

    def __init__(self, internal, before: np.ndarray, potential: np.ndarray, scale, inside, turns: tuple):
        held = np.flatnonzero(inside)
        place = np.full(inside.size, -1)
        place[held] = np.arange(held.size)
        low, high, axis = RoomFaces(inside, turns).ends
        low, high, number = place[low], place[high], np.arange(low.size)
        shape, ones = (held.size, low.size), np.ones(low.size)
        lower, upper = (sp.csr_array((ones, (cells, number)), shape) for cells in (low, high))
        self.divergence, self.mean = lower - upper, 0.5 * (lower + upper)
        self.internal, self.held, self.rate = internal, held, scale[axis]
        self.before, self.potential = before.reshape(-1)[held], potential.reshape(-1)[held]
        self.iterations = 0

    def solve(self, tolerance: float, floor: float, most: int) -> np.ndarray | None:
        """φ in the cells inside once Newton's decrement is `tolerance` of the cost Σ m²/2sθ or `floor`; None
        where it is not by then."""
        now = self._at(np.zeros(self.rate.size), self.before)
        for _ in range(most):
            self.iterations += 1
            with np.errstate(all="ignore"):
                step = self._direction(now)
            if step is None:
                return None
            if -step.slope <= tolerance * self._cost(now.flux, now.density) + floor:
                return step.potential
            lower = self._searched(now, step, floor)
            if lower is None:
                return None
            now = lower
        return None

    def _at(self, flux: np.ndarray, density: np.ndarray) -> Flow:
        # ρ is carried along, not ρ_k − Dm, whose rounding is more than what a cell that empties holds
        return Flow(flux, density, self._value(flux, density))

    def _cost(self, flux: np.ndarray, density: np.ndarray) -> float:
        return 0.5 * float(np.sum(flux**2 / (self.rate * (self.mean.T @ density))))

    def _value(self, flux: np.ndarray, density: np.ndarray) -> float:
        energy = float(np.sum(self.internal.density(density))) + float(np.vdot(self.potential, density))
        return self._cost(flux, density) + energy

    def _direction(self, now: Flow) -> Direction | None:
        D, S, rho = self.divergence, self.mean, now.density
        carried = self.rate * (S.T @ rho)  # sθ
        speed = now.flux / carried  # Dᵀφ at the minimum
        inverse = 1.0 / self.internal.second_derivative(rho)
        A = sp.eye_array(rho.size) + S @ (sp.diags_array(self.rate * speed) @ D.T)
        asked = 0.5 * (S @ (self.rate * speed**2)) + self.internal.derivative(rho) + self.potential
        matrix = A.T @ (sp.diags_array(inverse) @ A) + D @ (sp.diags_array(carried) @ D.T)
        scale = matrix.diagonal() ** -0.5
        scaled = sp.diags_array(scale) @ matrix @ sp.diags_array(scale)
        right = D @ now.flux + A.T @ (inverse * asked)
        try:
            phi = scale * factored(scaled).solve(scale * right)
        except (NotFinite, RuntimeError):
            return None
        rise = inverse * (A @ phi - asked)
        bent = carried * (D.T @ phi - speed)
        flux = bent + self.rate * speed * (S.T @ rise)
        slope = -float(np.sum(rise**2 / inverse) + np.sum(bent**2 / carried))
        return Direction(flux, rise, slope, phi) if np.isfinite(slope) else None

    def _searched(self, now: Flow, step: Direction, floor: float) -> Flow | None:
        """The first of shares t = 1 or nearly to an empty cell, t/2, t/4, … at which the objective falls."""
        loses = -step.density / now.density
        empties = np.max(loses, where=now.density > TOLERANCES.empty * now.density.max(), initial=0.0)
        share = min(1.0, TOLERANCES.towards_empty / empties) if empties > 0.0 else 1.0
        for _ in range(TOLERANCES.flux_halvings):
            # what holds next to nothing holds no other cell up: it empties on its own
            left = np.maximum(1.0 - share * loses, 1.0 - TOLERANCES.towards_empty)
            new = self._at(now.flux + share * step.flux, left * now.density)
            if new.value <= now.value + TOLERANCES.sufficient * share * step.slope + floor:
                return new
            share *= 0.5
        return None
