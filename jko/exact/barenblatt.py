"""The self-similar solution of the porous medium equation and of fast diffusion."""

from __future__ import annotations

import math

import jax.numpy as jnp

from functionals.array import Array
from jko.errors import positive_number, whole_number
from jko.exact.base import ExactSolution


class Barenblatt(ExactSolution):
    """∂ₜ ρ = Δ ρ^m, the flow of ∫ρ^m/(m-1) [Vazquez2007]: ρ = T^{-d β} (C - k |x|² T^{-2 β})_+^{1/(m-1)}, T
    = start_time + t.

    β = 1/(d(m-1) + 2), k = β (m-1)/(2m), C set by the mass. m > 1 is slow diffusion, with a front at
    `radius(t)`; 1 - 2/d < m < 1 fast diffusion, with tails |x|^{-2/(1-m)} (their second moment, hence W₂,
    is finite for m > d/(d+2) alone). The family is invariant under a JKO step, whatever τ: `jko_step` gives
    the exact iterate.

    Raises ValueError for m = 1 (use `Heat`) and for m ≤ 1 - 2/d, where the solution has no finite mass.
    """

    def __init__(self, exponent: float = 2.0, dimension: int = 1, mass: float = 1.0, start_time: float = 0.1):
        self.exponent = positive_number("exponent", exponent)
        self.dimension = whole_number("dimension", dimension)
        self.mass = positive_number("mass", mass)
        self.start_time = positive_number("start_time", start_time)
        m, d = self.exponent, self.dimension
        if m == 1.0:
            raise ValueError("exponent: expected a number other than 1, got 1; the entropy's flow is Heat")
        if m <= 1.0 - 2.0 / d:
            raise ValueError(
                f"exponent: expected more than 1 - 2/d = {1 - 2 / d:g}, got {m:g}; less loses mass"
            )
        self.beta = 1.0 / (d * (m - 1.0) + 2.0)
        self.k = self.beta * (m - 1.0) / (2.0 * m)
        self.C = self._constant()

    def _constant(self):
        # int (C -+ |k||y|^2)^p dy = C^{p + d/2} |k|^{-d/2} I with I the integral of (1 -+ |z|^2)^p
        m, d = self.exponent, self.dimension
        p = 1.0 / (m - 1.0)
        if m > 1.0:
            log_integral = math.lgamma(p + 1.0) - math.lgamma(p + 1.0 + 0.5 * d)
        else:
            log_integral = math.lgamma(-p - 0.5 * d) - math.lgamma(-p)
        log_integral += 0.5 * d * math.log(math.pi / abs(self.k))
        return math.exp((math.log(self.mass) - log_integral) / (p + 0.5 * d))

    def formula(self, t: float | Array, x: Array):
        time = self.start_time + t
        profile = self.C - self.k * jnp.sum(x**2, axis=-1) * time ** (-2.0 * self.beta)
        inside = profile > 0.0
        power = jnp.where(inside, profile, 1.0) ** (1.0 / (self.exponent - 1.0))
        return time ** (-self.dimension * self.beta) * jnp.where(inside, power, 0.0)

    def mass_at(self, t: float) -> float:
        return self.mass

    def radius(self, t: float = 0.0) -> float:
        """Where the front is, (C/k)^½ T^β; infinity for fast diffusion."""
        if self.exponent < 1.0:
            return math.inf
        return math.sqrt(self.C / self.k) * (self.start_time + t) ** self.beta

    def jko_step(self, tau: float) -> Barenblatt:
        """The exact JKO iterate from the state at t = 0: the Barenblatt solution whose scale s = T^β obeys

        (s' - s)/τ = β s'^{-d(m-1) - 1}.
        """
        tau = positive_number("tau", tau)
        scale = _implicit_scale(
            self.start_time**self.beta, tau * self.beta, self.dimension * (self.exponent - 1.0) + 1.0
        )
        return Barenblatt(self.exponent, self.dimension, self.mass, scale ** (1.0 / self.beta))


def _implicit_scale(s: float, rate: float, power: float):
    """The root s' > s of s' - s = rate s'^{-power}, by Newton in log s', from the left where it is
    monotone."""
    u = math.log(s)
    for _ in range(200):
        value = math.exp(u) - s - rate * math.exp(-power * u)
        step = value / (math.exp(u) + power * rate * math.exp(-power * u))
        u -= step
        if abs(step) < 1e-15:
            break
    return math.exp(u)
