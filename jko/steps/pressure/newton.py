"""Newton's method for the pressure of a JKO step on one grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.kernels.monge_ampere import TAIL, transported
from jko.kernels.multigrid import Multigrid
from jko.steps.dual.energy import DualEnergy

FOLD = TAIL  # least eigenvalue of DS that counts as a map; the logarithm goes on along its tangent below
_FADE = 15.0  # of log ρ, over which corrections fade out in the tails
_LEAST, _MOST = 1e-3, 0.1  # of a Newton equation's residual, what conjugate gradients may leave


@dataclass
class Iterate:
    """A pressure p with what it gives: log ρ̂, ρ̂, (DS)⁻¹'s diagonal, the residual U′(ρ̂) + V − p, κ = ρ̂U″(ρ̂),
    an estimate ½∫(ρ̂/κ)R² of the gap at the mass of ρ_k, (τ/2)∫|∇p|²ρ̂, the mass where S folds as a share."""

    p: np.ndarray
    log: np.ndarray
    density: np.ndarray
    diagonal: np.ndarray
    residual: np.ndarray
    stiffness: np.ndarray | float
    gap: float
    transport: float
    folded: float
    least: np.ndarray
    full: np.ndarray | None = None  # ρ̂ with the least eigenvalue of DS taken as positive


class PressureNewton:
    """U′(ρ̂) + V = p with ρ̂ = ρ_k(S)·det DS, S = id + τ∇p, on one grid.

    `free` says for each axis whether its lower and its upper wall lie so far in the tail that p is continued
    there instead of mirrored. `limit` bounds the residual that a correction answers, and corrections fade out
    where log ρ̂ is more than `tail` below its maximum: far tails weigh nothing and may be wild.
    """

    halvings = 4
    helps = 1.0

    def __init__(self, energy, tau, spacing, log_density, potential, free, limit, tail):
        self.energy, self.tau, self.spacing = energy, tau, spacing
        self.log_density, self.potential, self.free = log_density, potential, free
        self.limit, self.tail = limit, tail
        self.mass = float(np.exp(log_density).sum() * np.prod(spacing))
        self.linear_iterations = self.iterations = 0

    def at(self, p) -> Iterate:
        """The iterate of a pressure."""
        log, diagonal, least = transported(self.log_density, p, self.tau, self.spacing, self.free)
        with np.errstate(all="ignore"):
            density = np.exp(log)
            slope, stiffness = self.energy.slope(log, density)
            residual = slope
            residual += self.potential
            residual -= p
            square = residual * residual
            square *= density
            square /= stiffness
            mass = float(density.sum())
            gap = 0.5 * float(square.sum()) / mass * self.mass if 0.0 < mass < np.inf else np.inf
            transport = transport_cost(p, density, self.tau, self.spacing)
            folded = float(density[least < FOLD].sum() / np.float64(mass)) if least.min() < FOLD else 0.0
        return Iterate(p, log, density, diagonal, residual, stiffness, gap, transport, folded, least)

    def solve(self, p, tolerance, most) -> Iterate:
        """Iterates from p until the estimated gap is `tolerance` of (τ/2)∫|∇p|²ρ̂, or no step lowers it."""
        now = self.at(p)
        for _ in range(most):
            goal = tolerance * now.transport + 1e-14 * min(self.mass, 1.0)
            if not np.isfinite(now.gap) or now.gap <= goal:
                break
            new = self._improve(now, goal)
            if new is None:
                break
            slow = new.gap > self.helps * now.gap
            now = new
            if slow:
                break
        return now

    def _improve(self, now, goal):
        correction = self._correction(now, np.clip(0.5 * np.sqrt(goal / now.gap), _LEAST, _MOST))
        self.iterations += 1
        for halvings in range(self.halvings):
            new = self.at(now.p + 0.5**halvings * correction)
            if new.gap < now.gap:
                return new
        return None

    def _correction(self, now, reduction):
        mobility = [self.tau / h**2 * g for g, h in zip(now.diagonal, self.spacing, strict=True)]
        right = np.clip(now.residual, -self.limit, self.limit)
        correction, spent = Multigrid(now.log, now.stiffness, mobility).solve(right, reduction)
        self.linear_iterations += spent
        top = float(now.log.max()) - self.tail
        if now.log.min() < top:
            fade = (now.log.astype(np.float32) - np.float32(top - _FADE)) / np.float32(_FADE)
            np.clip(fade, 0.0, 1.0, out=fade)
            correction *= fade * fade * (3.0 - 2.0 * fade)
        return correction


class LogEnergy:
    """An internal energy as a function of log ρ; the entropy without exponentials."""

    def __init__(self, internal):
        self.internal, self.dual = internal, DualEnergy(internal)
        ((c, atom), *others) = internal.terms
        self.temperature = c if atom.is_entropy and not others else None

    def slope(self, log, density):
        """(U′(ρ), ρU″(ρ)), the second a number for the entropy."""
        if self.temperature is not None:
            return self.temperature * (log + 1.0), self.temperature
        stiffness = density * self.internal.second_derivative(density)
        return self.internal.derivative(density), np.clip(stiffness, 1e-20, 1e20)

    def gap(self, density, answer, pressure) -> float:
        """Σ U(ρ) + U*(p) − ρp over the cells, `answer` being U*′(p)."""
        own = float(self.internal.density(density).sum() - np.vdot(pressure, density))
        return own + self.dual.total_conjugate(pressure, answer)

    def log_of_pressure(self, p):
        """log U*′(p) for the entropy, else None."""
        return None if self.temperature is None else p / self.temperature - 1.0

    def total(self, log, density) -> float:
        """Σ U(ρ) over the cells."""
        if self.temperature is not None:
            return self.temperature * float(np.vdot(density, np.where(density > 0.0, log, 0.0)))
        return float(self.internal.density(density).sum())


def transport_cost(p, density, tau, spacing) -> float:
    """(τ/2)∫|∇p|²ρ, by the mean of the squared slopes at both faces of a cell."""
    total = 0.0
    for axis, h in enumerate(spacing):
        slope = np.diff(p, axis=axis)
        slope *= slope
        lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(p.ndim))
        upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(p.ndim))
        total += float(np.vdot(slope, density[lower]) + np.vdot(slope, density[upper])) / (2.0 * h * h)
    return 0.5 * tau * total * float(np.prod(spacing))
