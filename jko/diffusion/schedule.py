"""Noise schedules xₜ = αₜx₀ + σₜε."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from jko.diffusion.arguments import moment
from jko.diffusion.given_function import checked_function
from jko.diffusion.sde import SDE
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import positive_number


class Schedule:
    """xₜ = α(t)x₀ + σ(t)ε with ε ~ N(0, I); α and σ jax functions of t, α > 0, α/σ decreasing, t in [0, end].

    It is the law of dx = (α′/α)x dt + g dB, g² = (σ²)′ − 2(α′/α)σ² [KingmaEtAl2021]. Raises TypeError for
    what is no function, ValueError for times outside [0, end] and, where an SDE or samples are asked for, for
    α/σ that rises somewhere.
    """

    def __init__(self, alpha: Callable, sigma: Callable, end: float = 1.0):
        self.alpha = checked_function("alpha", alpha, None, of="(t)")
        self.sigma = checked_function("sigma", sigma, None, of="(t)")
        self.end = positive_number("end", end)

    @classmethod
    def variance_preserving(cls, least: float = 0.1, most: float = 20.0) -> Schedule:
        """α = exp(−½∫β), σ² = 1 − α², β from `least` to `most` on [0, 1]: that of `variance_preserving`."""
        least, most = positive_number("least", least), positive_number("most", most)

        def integral(t: Array):
            return least * t + 0.5 * (most - least) * t**2

        return cls(lambda t: jnp.exp(-0.5 * integral(t)), lambda t: jnp.sqrt(-jnp.expm1(-integral(t))))

    @classmethod
    def variance_exploding(cls, least: float = 0.01, most: float = 10.0) -> Schedule:
        """α = 1, σ = least·(most/least)ᵗ."""
        least, most = positive_number("least", least), positive_number("most", most)
        if most <= least:
            raise ValueError(f"most: expected more than least = {least:g}, got {most:g}")
        return cls(lambda t: jnp.ones_like(t), lambda t: least * (most / least) ** t)

    @classmethod
    def straight(cls) -> Schedule:
        """α = 1 − t, σ = t: the straight paths of flow matching [LipmanEtAl2023]."""
        return cls(lambda t: 1.0 - t, lambda t: t)

    def rate(self, t: Array):
        """α′/α."""
        return jax.grad(lambda s: jnp.log(self.alpha(s)))(self.time(t))

    def squared_noise(self, t: Array):
        """g²."""
        # where σ is a root of t, as at 0, its derivative has no value, and g² has
        t = jnp.maximum(self.time(t), TOLERANCES.first_time * self.end)
        return jax.grad(lambda s: self.sigma(s) ** 2)(t) - 2.0 * self.rate(t) * self.sigma(t) ** 2

    def log_signal_to_noise(self, t: Array):
        """λ = log(α/σ)."""
        t = self.time(t)
        return jnp.log(self.alpha(t)) - jnp.log(self.sigma(t))

    def time(self, t: float | Array):
        """t as a jax number; one that is known is refused outside [0, end]."""
        if isinstance(t, jax.core.Tracer):
            return moment(t)
        return moment(t, 0.0, self.end, known="a time of the schedule,")

    def at(self, t: float) -> tuple[float, float]:
        """α and σ at a known time, in float64."""
        with jax.enable_x64(True):
            t = self.time(t)
            return float(self.alpha(t)), float(self.sigma(t))

    def require_falling(self, start: float, end: float):
        """Refuse α/σ that is not finite and falling at 257 even times strictly between two."""
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):
            times = np.linspace(start, end, TOLERANCES.times_looked_at + 2)[1:-1]
            values = np.asarray(jax.vmap(self.log_signal_to_noise)(jnp.asarray(times)))
        if not np.all(np.isfinite(values)):
            t = times[~np.isfinite(values)][0]
            raise ValueError(
                f"schedule: α and σ must be positive inside ({start:g}, {end:g}), not so at t = {t:g}"
            )
        rise = np.diff(values)
        if rise.max() > TOLERANCES.rise:
            k = int(rise.argmax())
            raise ValueError(
                "schedule: α/σ must fall with time, but log(α/σ) rises from "
                f"{values[k]:.4g} at t = {times[k]:.4g} to {values[k + 1]:.4g} at t = {times[k + 1]:.4g}"
            )

    def sde(self) -> SDE:
        """The SDE that has this law, for t in [0, end]."""
        self.require_falling(0.0, self.end)
        sde = SDE(
            lambda x, t: self.rate(t) * x, lambda x, t: jnp.sqrt(self.squared_noise(t)) * jnp.eye(x.size)
        )
        sde.known_times = 0.0, self.end
        return sde
