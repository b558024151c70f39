"""Fokker-Planck with a quadratic potential, from a Gaussian."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from jko.errors import finite_array
from jko.exact.base import (
    ExactSolution,
    covariance_matrix,
    gaussian_formula,
    square_matrix,
    time_since_start,
    vector,
)
from jko.measures import Gaussian


class OrnsteinUhlenbeck(ExactSolution):
    """The flow of F = θ ∫ρ log ρ + ∫ ½ xᵀ A x ρ from N(mean, std²) [Pavliotis2014].

    ∂ₜ ρ = θ Δ ρ + ∇·(A x ρ) stays Gaussian: m(t) = e^{-At} m_0 and
    S(t) = e^{-At} S_0 e^{-At} + θ ∫₀ᵗ e^{-2As} ds; with A = λ: s²(t) = θ/λ + (s_0² - θ/λ) e^{-2 λ t}.

    `mean` is a number or `[d]`; `std` a number or `[d]`, or `covariance` `[d, d]` in its place; `stiffness`
    A a number, a diagonal `[d]` or a symmetric matrix, of any sign; `temperature` θ >= 0. Raises ValueError
    for shapes that do not fit.
    """

    def __init__(
        self,
        mean: float | list = 1.5,
        std: float = 0.5,
        stiffness: float = 1.0,
        temperature: float = 1.0,
        *,
        covariance=None,
    ):
        self.initial_mean = vector("mean", mean)
        self.dimension = self.initial_mean.size
        self.initial_covariance = covariance_matrix(std, covariance, self.dimension)
        self.stiffness = square_matrix("stiffness", stiffness, self.dimension)
        self.temperature = float(finite_array("temperature", temperature))
        if self.temperature < 0.0:
            raise ValueError(f"temperature: expected a number >= 0, got {self.temperature:g}")
        self._rates, self._axes = np.linalg.eigh(self.stiffness)

    def at(self, t: float) -> Gaussian:
        """N(m(t), S(t)); raises ValueError for a time before the start."""
        return Gaussian(*(np.asarray(part) for part in self._moments(time_since_start(t), np)))

    def _values(self, t, x):
        return np.exp(self.at(t).log_density(x))

    def formula(self, t: Array, x: Array):
        return gaussian_formula(x, *self._moments(t, jnp))

    def _moments(self, t: float | Array, xp):
        rates, axes = self._rates, self._axes
        decay = xp.exp(-rates * t)
        mean = axes @ (decay * (axes.T @ self.initial_mean))
        spread = (axes.T @ self.initial_covariance @ axes) * decay[:, None] * decay[None, :]
        diffused = 2.0 * self.temperature * t * _exprel(-2.0 * rates * t, xp)
        return mean, axes @ (spread + xp.diag(diffused)) @ axes.T


def _exprel(z: Array, xp):
    """(e^z - 1)/z, 1 at 0."""
    small = xp.abs(z) < 1e-5
    safe = xp.where(small, 1.0, z)
    return xp.where(small, 1.0 + 0.5 * z + z * z / 6.0, xp.expm1(safe) / safe)
