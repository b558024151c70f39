"""A Gaussian mixture under noise: everything in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jko.diffusion.schedule import Schedule
from jko.errors import finite_array, seed_number, whole_number
from jko.measures import Density, Particles


class NoisedMixture:
    """The law pₜ = Σ wᵢ N(αₜmᵢ, αₜ²Sᵢ + σₜ²I) of xₜ = αₜx₀ + σₜε, x₀ a mixture of Gaussians.

    `means` `[k, d]`; `covariances` a number, one number for each, or matrices `[k, d, d]`; `weights` `[k]`,
    equal unless given. Raises ValueError for shapes that do not fit.
    """

    def __init__(self, means, covariances, weights=None, *, schedule: Schedule):
        means = finite_array("means", means)
        self.means = means[:, None] if means.ndim == 1 else means
        if self.means.ndim != 2:
            raise ValueError(f"means: expected an array [k, d], got shape {means.shape}")
        k, d = self.means.shape
        self.dimension, self.schedule = d, schedule
        S = finite_array("covariances", covariances)
        if S.ndim < 2:
            S = np.broadcast_to(S, (k,))[:, None, None] * np.eye(d)
        if S.shape != (k, d, d) or np.linalg.eigvalsh(S).min() <= 0:
            raise ValueError(f"covariances: expected {k} positive definite matrices [{d}, {d}]")
        self.weights = np.full(k, 1.0 / k) if weights is None else finite_array("weights", weights)
        if self.weights.shape != (k,) or self.weights.min() <= 0:
            raise ValueError(f"weights: expected {k} positive numbers, got {self.weights.tolist()}")
        self.weights = self.weights / self.weights.sum()
        self._variances, self._axes = np.linalg.eigh(S)

    def log_density(self, x, t):
        """log pₜ(x), a jax function of a point `[d]` and a time."""
        a, s = self.schedule.alpha(t), self.schedule.sigma(t)
        variances = a**2 * self._variances + s**2
        turned = jnp.einsum("kab,ka->kb", self._axes, x - a * self.means)
        exponent = -0.5 * jnp.sum(turned**2 / variances + jnp.log(2.0 * jnp.pi * variances), axis=1)
        return jax.scipy.special.logsumexp(exponent + jnp.log(self.weights))

    def score(self, x, t):
        """∇log pₜ(x) `[d]`."""
        return jax.grad(self.log_density)(x, t)

    def on(self, grid, t) -> Density:
        """The density on a grid, of mass 1."""
        return Density.from_function(grid, lambda x: jnp.exp(self.log_density(x, t)))

    def sample(self, n: int, t, seed: int) -> Particles:
        """n independent draws of xₜ."""
        generator = np.random.default_rng(seed_number("seed", seed))
        part = generator.choice(len(self.weights), size=whole_number("n", n), p=self.weights)
        a, s = float(self.schedule.alpha(float(t))), float(self.schedule.sigma(float(t)))
        root = np.sqrt(a**2 * self._variances[part] + s**2) * generator.normal(size=(n, self.dimension))
        return Particles(a * self.means[part] + np.einsum("nab,nb->na", self._axes[part], root))
