"""SDEs with names."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from jko.diffusion.coefficients import covariance, row_divergence
from jko.diffusion.given_function import checked_function
from jko.diffusion.sde import SDE
from jko.errors import positive_number


def ornstein_uhlenbeck(stiffness: float = 1.0, temperature: float = 1.0) -> SDE:
    """dx = −λx dt + √(2θ) dB: the Wasserstein gradient flow of θ∫ρ log ρ + ½λ∫|x|²ρ."""
    stiffness = positive_number("stiffness", stiffness)
    noise = (2.0 * positive_number("temperature", temperature)) ** 0.5
    return SDE(lambda x, t: -stiffness * x, lambda x, t: noise * jnp.eye(x.size))


def variance_preserving(least: float = 0.1, most: float = 20.0) -> SDE:
    """dx = −½β(t)x dt + √β(t) dB with β from `least` at t = 0 linearly to `most` at t = 1 [SongEtAl2021]."""
    least, most = positive_number("least", least), positive_number("most", most)

    def rate(t):
        return least + (most - least) * t

    return SDE(lambda x, t: -0.5 * rate(t) * x, lambda x, t: jnp.sqrt(rate(t)) * jnp.eye(x.size))


def variance_exploding(least: float = 0.01, most: float = 10.0) -> SDE:
    """dx = √(dσ²/dt) dB with σ(t) = least·(most/least)ᵗ, t from 0 to 1 [SongEtAl2021]."""
    least, most = positive_number("least", least), positive_number("most", most)
    growth = math.log(most / least)
    if growth <= 0.0:
        raise ValueError(f"most: expected more than least = {least:g}, got {most:g}")

    def noise(x, t):
        return least * jnp.exp(growth * t) * (2.0 * growth) ** 0.5 * jnp.eye(x.size)

    return SDE(lambda x, t: jnp.zeros_like(x), noise)


def reversible(log_target, diffusion) -> SDE:
    """The SDE with noise G(x, t) that is at equilibrium in π ∝ exp(log_target), for any G.

    f = ½D∇log π + ½∇·D, D = GGᵀ: the current ½D(p∇log π − ∇p) vanishes at p = π [Pavliotis2014,
    section 4.6]. `log_target(x)` is a jax function of a point.
    """
    log_target = checked_function("log_target", log_target, (), of="(x)")
    D = covariance(checked_function("diffusion", diffusion, ("d", None)))
    divergence = row_divergence(D)

    def drift(x, t):
        return 0.5 * (D(x, t) @ jax.grad(log_target)(x) + divergence(x, t))

    return SDE(drift, diffusion)
