"""The JKO steps of a Gaussian, exact whatever τ."""

from __future__ import annotations

import numpy as np

from functionals.array import Array
from jko.errors import positive_number
from jko.exact.base import ExactSolution, covariance_matrix, gaussian_formula, square_matrix, vector
from jko.measures import Gaussian


class GaussianJKO(ExactSolution):
    """The iterates of JKO from N(mean, std²) for F = θ ∫ρ log ρ + ∫ ½ xᵀ A x ρ, at t = k τ.

    The answer to a solver, not to the PDE: it separates a step's error from that of τ. Along a principal
    axis with stiffness λ: m' = m/(1 + λ τ), (1 + λ τ) s'² - s s' - θ τ = 0; in general see
    `gaussian_jko_step`.

    Arguments as for `OrnsteinUhlenbeck`, and τ > 0. Raises ValueError at times that are no multiple of τ.
    """

    def __init__(
        self,
        mean: float | np.ndarray = 1.5,
        std: float = 0.5,
        tau: float = 0.1,
        stiffness: float = 1.0,
        temperature: float = 1.0,
        *,
        covariance=None,
    ):
        initial = vector("mean", mean)
        self.dimension = initial.size
        self.tau = positive_number("tau", tau)
        self.stiffness = square_matrix("stiffness", stiffness, self.dimension)
        self.temperature = float(temperature)
        self._iterates = [(initial, covariance_matrix(std, covariance, self.dimension))]

    def at(self, t: float) -> Gaussian:
        """The iterate number t / τ."""
        return Gaussian(*self.moments(self._number(t)))

    def moments(self, k: int):
        """Mean `[d]` and covariance `[d, d]` of iterate k."""
        while len(self._iterates) <= k:
            mean, covariance = self._iterates[-1]
            step = gaussian_jko_step(mean, covariance, self.tau, self.stiffness, self.temperature)
            self._iterates.append(step)
        return self._iterates[k]

    def _values(self, t, x):
        return np.exp(self.at(t).log_density(x))

    def formula(self, t: Array, x: Array):
        return gaussian_formula(x, *self.moments(self._number(t)))

    def _number(self, t: float | Array):
        k = round(float(t) / self.tau)
        if k < 0 or abs(k * self.tau - float(t)) > 1e-6 * self.tau:
            raise ValueError(
                f"t: expected a multiple of tau = {self.tau:g}, got {float(t):g}; iterates exist only there"
            )
        return k


def gaussian_jko_step(
    mean: np.ndarray,
    covariance: np.ndarray,
    tau: float,
    stiffness: np.ndarray,
    temperature: float,
    slope=None,
    centred_stiffness=None,
):
    """Mean and covariance of argmin W₂²(N(m, S), .)/(2 τ) + θ ∫ρ log ρ + ∫ (½ xᵀ A x + b.x) ρ, any A and S.

    m' = (I + τ A)⁻¹ (m - τ b). With B = I + τ A the map S from the minimiser N(m', P) back to N(m, S) is
    B - τ θ P⁻¹, and its condition S P S = Sigma reads, for Q = B^½ P B^½,

        Q + (τ θ)² Q⁻¹ = B^{-1/2} Sigma B^{-1/2} + 2 τ θ I,

    whose right root is read off in the eigenbasis of the right-hand side; A and Sigma need not commute.
    `centred_stiffness`, where given, replaces A in the equation for P: an interaction ½ xᵀ K x acts on the
    centred part alone, there A + K. Raises ValueError unless I + τ A is positive definite, for then there
    is no minimiser.
    """
    identity = np.eye(len(mean))
    slope = np.zeros(len(mean)) if slope is None else slope
    centred = stiffness if centred_stiffness is None else centred_stiffness
    shifted, spread = identity + tau * stiffness, identity + tau * centred
    lowest = min(np.linalg.eigvalsh(shifted)[0], np.linalg.eigvalsh(spread)[0])
    if lowest <= 0.0:
        raise ValueError(
            f"tau: 1 + tau lambda = {lowest:g} must be positive for a step to exist; take tau smaller"
        )
    values, vectors = np.linalg.eigh(spread)
    inverse_root = (vectors / np.sqrt(values)) @ vectors.T
    c, axes = np.linalg.eigh(inverse_root @ covariance @ inverse_root)
    c = np.maximum(c, 0.0)
    q = 0.5 * (c + 2.0 * tau * temperature + np.sqrt(c * (c + 4.0 * tau * temperature)))
    root = inverse_root @ axes
    new = (root * q) @ root.T
    return np.linalg.solve(shifted, mean - tau * slope), 0.5 * (new + new.T)
