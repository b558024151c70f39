"""The self-similar solutions of porous media, of fast and of doubly nonlinear diffusion."""

from __future__ import annotations

import math

import jax.numpy as jnp

from functionals.array import Array
from jko.errors import positive_number, whole_number
from jko.exact.base import ExactSolution


class Barenblatt(ExactSolution):
    """∂ₜρ = Δρ^m, the flow of ∫ρ^m/(m-1) [Vazquez2007], and with a `cost_exponent` p ≠ 2, q = p/(p-1),

        ∂ₜρ = ∇·(ρ|∇ξ|^{q-2}∇ξ), ξ = mρ^{m-1}/(m-1),
        ρ = T^{-dβ} (C - k|x|^p T^{-pβ})_+^{1/(m-1)}, T = start_time + t,

    its flow in W_p: doubly nonlinear diffusion [Agueh2005], at m = 3 - p that of the q-Laplacian,
    ∂ₜρ = m^{q-1} ∇·(|∇ρ|^{q-2}∇ρ).

    β = (p-1)/(d(m-1) + p), k = β^{p-1}(m-1)/(pm), C set by the mass. m > 1 has a front at `radius(t)`; m = 1,
    the entropy at p ≠ 2, is exp(C - (β^{p-1}/p)|x|^p T^{-pβ}); 1 - p/d < m < 1 has tails |x|^{-p/(1-m)}
    (their moment of order p, hence W_p, is finite for m > d/(d+p) alone). The family is invariant under a JKO
    step, whatever τ: `jko_step` gives the exact iterate.

    Raises ValueError for m = 1 at p = 2 (use `Heat`), for m ≤ 1 - p/d, where the solution has no finite mass,
    and for p ≤ 1.
    """

    def __init__(
        self,
        exponent: float = 2.0,
        dimension: int = 1,
        mass: float = 1.0,
        start_time: float = 0.1,
        cost_exponent: float = 2.0,
    ):
        self.exponent = positive_number("exponent", exponent)
        self.dimension = whole_number("dimension", dimension)
        self.mass = positive_number("mass", mass)
        self.start_time = positive_number("start_time", start_time)
        self.cost_exponent = positive_number("cost_exponent", cost_exponent)
        m, d, p = self.exponent, self.dimension, self.cost_exponent
        if p <= 1.0:
            raise ValueError(f"cost_exponent: expected a number above 1, got {p:g}; 2 is the usual cost")
        if m == 1.0 and p == 2.0:
            raise ValueError("exponent: expected a number other than 1, got 1; the entropy's flow is Heat")
        if m <= 1.0 - p / d:
            raise ValueError(
                f"exponent: expected more than 1 - {p:g}/d = {1 - p / d:g}, got {m:g}; less loses mass"
            )
        self.beta = (p - 1.0) / (d * (m - 1.0) + p)
        self.k = self.beta ** (p - 1.0) / p * ((m - 1.0) / m if m != 1.0 else 1.0)
        self.C = self._constant()

    def _constant(self):
        # ∫(C ∓ |k||y|^p)^r dy = C^{r + d/p} |k|^{-d/p} I, I that of (1 ∓ |z|^p)^r: Euler's integrals in |z|^p
        m, d, p = self.exponent, self.dimension, self.cost_exponent
        log_integral = math.lgamma(d / p) - math.lgamma(0.5 * d) + math.log(2.0 / p)
        log_integral += 0.5 * d * math.log(math.pi) - d / p * math.log(abs(self.k))
        if m == 1.0:
            return math.log(self.mass) - log_integral
        r = 1.0 / (m - 1.0)
        if m > 1.0:
            log_integral += math.lgamma(r + 1.0) - math.lgamma(r + 1.0 + d / p)
        else:
            log_integral += math.lgamma(-r - d / p) - math.lgamma(-r)
        return math.exp((math.log(self.mass) - log_integral) / (r + d / p))

    def formula(self, t: float | Array, x: Array):
        time, p = self.start_time + t, self.cost_exponent
        size = jnp.sum(x**2, axis=-1)
        size = size if p == 2.0 else jnp.where(size > 0.0, size, 1.0) ** (0.5 * p) * (size > 0.0)
        profile = self.C - self.k * size * time ** (-p * self.beta)
        if self.exponent == 1.0:
            return time ** (-self.dimension * self.beta) * jnp.exp(profile)
        inside = profile > 0.0
        power = jnp.where(inside, profile, 1.0) ** (1.0 / (self.exponent - 1.0))
        return time ** (-self.dimension * self.beta) * jnp.where(inside, power, 0.0)

    def mass_at(self, t: float) -> float:
        return self.mass

    def radius(self, t: float = 0.0) -> float:
        """Where the front is, (C/k)^{1/p} T^β; infinity for m ≤ 1."""
        if self.exponent <= 1.0:
            return math.inf
        return (self.C / self.k) ** (1.0 / self.cost_exponent) * (self.start_time + t) ** self.beta

    def jko_step(self, tau: float) -> Barenblatt:
        """The exact JKO iterate from the state at t = 0: the Barenblatt solution whose scale s = T^β obeys

        (s' - s)/τ = β s'^{1 - 1/β}, the power being -d(m-1) - 1 at p = 2.
        """
        tau, start = positive_number("tau", tau), self.start_time**self.beta
        scale = _implicit_scale(start, tau * self.beta, 1.0 / self.beta - 1.0)
        time = scale ** (1.0 / self.beta)
        return Barenblatt(self.exponent, self.dimension, self.mass, time, self.cost_exponent)


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
