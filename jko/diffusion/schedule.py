"""Noise schedules xₜ = αₜx₀ + σₜε."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jko.diffusion.sde import SDE
from jko.errors import positive_number


class Schedule:
    """xₜ = α(t)x₀ + σ(t)ε with ε ~ N(0, I); α and σ jax functions of t, α > 0, α/σ decreasing.

    It is the law of dx = (α′/α)x dt + g dB, g² = (σ²)′ − 2(α′/α)σ² [KingmaEtAl2021].
    """

    def __init__(self, alpha, sigma):
        for name, function in (("alpha", alpha), ("sigma", sigma)):
            if not callable(function):
                raise TypeError(f"{name}: expected a jax function of t, got {type(function).__name__}")
        self.alpha, self.sigma = alpha, sigma

    @classmethod
    def variance_preserving(cls, least: float = 0.1, most: float = 20.0) -> Schedule:
        """α = exp(−½∫β), σ² = 1 − α², β from `least` to `most` on [0, 1]: that of `variance_preserving`."""
        least, most = positive_number("least", least), positive_number("most", most)

        def integral(t):
            return least * t + 0.5 * (most - least) * t**2

        return cls(lambda t: jnp.exp(-0.5 * integral(t)), lambda t: jnp.sqrt(-jnp.expm1(-integral(t))))

    @classmethod
    def variance_exploding(cls, least: float = 0.01, most: float = 10.0) -> Schedule:
        """α = 1, σ = least·(most/least)ᵗ."""
        least, most = positive_number("least", least), positive_number("most", most)
        return cls(lambda t: jnp.ones_like(t), lambda t: least * (most / least) ** t)

    @classmethod
    def straight(cls) -> Schedule:
        """α = 1 − t, σ = t: the straight paths of flow matching [LipmanEtAl2023]."""
        return cls(lambda t: 1.0 - t, lambda t: t)

    def rate(self, t):
        """α′/α."""
        return jax.grad(lambda s: jnp.log(self.alpha(s)))(t)

    def squared_noise(self, t):
        """g²."""
        return jax.grad(lambda s: self.sigma(s) ** 2)(t) - 2.0 * self.rate(t) * self.sigma(t) ** 2

    def log_signal_to_noise(self, t):
        """λ = log(α/σ)."""
        return jnp.log(self.alpha(t)) - jnp.log(self.sigma(t))

    def sde(self) -> SDE:
        """The SDE that has this law; start it where t > 0 if σ(0) = 0 is not wanted."""
        return SDE(
            lambda x, t: self.rate(t) * x, lambda x, t: jnp.sqrt(self.squared_noise(t)) * jnp.eye(x.size)
        )
