"""Fokker-Planck in a box whose wall balances drift and diffusion."""

from __future__ import annotations

import math

import jax.numpy as jnp

from functionals.array import Array
from jko.errors import finite_array, positive_number, whole_number
from jko.exact.base import ExactSolution


class FokkerPlanckBoundary(ExactSolution):
    """∂ₜ u = Δ u + ∇·(u ∇ V) on (0, 1)^d, V = -g x_1, no flux through the walls
    [CancesGallouetTodeschi2020]:

    u = e^{-a t + g x_1/2} (π cos π x_1 + (g/2) sin π x_1) + π e^{g (x_1 - 1/2)}, a = π² + g²/4.

    The flow of ∫u log u + ∫V u. Its mass is (2 π/g) sinh(g/2), unless `mass` asks for another multiple of
    it. `drift` is g != 0.
    """

    def __init__(self, drift: float = 1.0, dimension: int = 2, mass: float | None = None):
        self.drift = float(finite_array("drift", drift))
        if self.drift == 0.0:
            raise ValueError(
                "drift: expected a number other than 0, got 0; without drift the solution is a cosine"
            )
        self.dimension = whole_number("dimension", dimension)
        natural = 2.0 * math.pi * math.sinh(0.5 * self.drift) / self.drift
        self.mass = natural if mass is None else positive_number("mass", mass)
        self._scale = self.mass / natural

    def formula(self, t: Array, x: Array):
        g, first = self.drift, x[..., 0]
        rate = math.pi**2 + 0.25 * g * g
        wave = math.pi * jnp.cos(math.pi * first) + 0.5 * g * jnp.sin(math.pi * first)
        moving = jnp.exp(-rate * t + 0.5 * g * first) * wave
        return self._scale * jnp.maximum(moving + math.pi * jnp.exp(g * (first - 0.5)), 0.0)

    def mass_at(self, t: float) -> float:
        return self.mass
