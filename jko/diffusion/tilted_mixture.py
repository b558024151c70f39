"""A Gaussian mixture tilted by a reward, under noise: what a sampler guided by the reward has to follow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jko.diffusion.arguments import instance, point
from jko.diffusion.given_function import checked_function
from jko.diffusion.noised_mixture import NoisedMixture
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import positive_number, whole_number
from jko.measures import Density, Grid


class TiltedMixture:
    """The law p̃ₜ of xₜ = αₜx₀ + σₜε where x₀ has the density p₀ e^{r/β}/Z, p₀ that of a `NoisedMixture`.

    p̃ₜ(x) = pₜ(x) E[e^{r(x₀)/β} | xₜ = x]/Z, so that its score is that of pₜ and the guidance ∇log E, as in
    classifier guidance [DhariwalNichol2021]. Given xₜ, x₀ is a mixture of Gaussians, and the expectation is
    taken by Gauss–Hermite quadrature with `nodes` a coordinate about each, in at most 3 dimensions; twice as
    many tell its error, which for log Z must be below 10⁻³. `reward` is a jax function r of a
    point `[d]`, `strength` is β > 0.
    Raises TypeError or ValueError for a law that is no such mixture, a reward that returns no number and one
    too steep for the nodes, as any is at a small β.
    """

    def __init__(self, law: NoisedMixture, reward, strength: float = 1.0, *, nodes: int = 32):
        self.law = instance("law", law, NoisedMixture)
        if law.dimension > TOLERANCES.most_dimensions:
            raise ValueError(
                f"law: expected at most {TOLERANCES.most_dimensions} dimensions for the quadrature, got "
                f"{law.dimension}: take functionals.Reward with descent.Langevin"
            )
        self.reward, self.strength = (
            checked_function("reward", reward, (), of="(x)"),
            positive_number("strength", strength),
        )
        with jax.enable_x64(True):
            jax.eval_shape(self.reward, jax.ShapeDtypeStruct((law.dimension,), jnp.float64))
        nodes = whole_number("nodes", nodes, 2)
        self._nodes, self._log_weights = gauss_hermite(2 * nodes, law.dimension)
        finer = self._log_total()
        self._nodes, self._log_weights = gauss_hermite(nodes, law.dimension)
        self.log_normalisation = self._log_total()
        if not np.isfinite(self.log_normalisation):
            raise ValueError(
                f"reward: E exp(r/β) is not finite under the law, log Z = {self.log_normalisation:g}"
            )
        change = abs(finer - self.log_normalisation)
        if not change <= TOLERANCES.log_mass:
            raise ValueError(
                f"nodes: {nodes} do not resolve exp(r/β) at β = {self.strength:g}: twice as many change "
                f"log Z from {self.log_normalisation:.6g} to {finer:.6g}: more nodes or a larger strength"
            )

    @property
    def dimension(self) -> int:
        """The dimension of the points."""
        return self.law.dimension

    @property
    def known_times(self):
        """The first and the last time of the schedule."""
        return self.law.known_times

    def log_density(self, x, t):
        """log p̃ₜ(x), a jax function of a point `[d]` and a time."""
        law, x = self.law, point("x", x, self.dimension)
        t = law.schedule.time(t)
        a, s = law.schedule.alpha(t), law.schedule.sigma(t)
        axes, variances, means = (
            jnp.asarray(part, x.dtype) for part in (law._axes, law._variances, law.means)
        )
        total = a**2 * variances + s**2
        off = jnp.einsum("kab,ka->kb", axes, x - a * means)
        posterior = means + jnp.einsum("kab,kb->ka", axes, a * variances / total * off)
        return (
            self._log_mean(law._log_parts(x, t), posterior, variances * s**2 / total) - self.log_normalisation
        )

    def score(self, x, t):
        """∇log p̃ₜ(x) `[d]`."""
        return jax.grad(self.log_density)(point("x", x, self.dimension), t)

    def on(self, grid: Grid, t) -> Density:
        """The density on a grid, of mass 1."""
        if instance("grid", grid, Grid).dimension != self.dimension:
            raise ValueError(f"grid: expected {self.dimension} dimensions, got {grid.dimension}")
        self.law.schedule.at(t)
        return Density.from_function(grid, lambda x: jnp.exp(self.log_density(x, t)))

    def _log_total(self):
        """log Z by the present nodes."""
        law = self.law
        with jax.enable_x64(True):
            means, log_shares = jnp.asarray(law.means), jnp.log(jnp.asarray(law.weights))
            return float(jax.jit(self._log_mean)(log_shares, means, jnp.asarray(law._variances)))

    def _log_mean(self, log_shares, means, variances):
        """log Σᵢ e^{log_sharesᵢ} E e^{r/β} under N(meansᵢ, axesᵢ diag(variancesᵢ) axesᵢᵀ)."""
        dtype = means.dtype
        nodes = jnp.sqrt(variances)[:, None, :] * jnp.asarray(self._nodes, dtype)
        points = means[:, None, :] + jnp.einsum("kab,kqb->kqa", jnp.asarray(self.law._axes, dtype), nodes)
        rewards = jax.vmap(jax.vmap(self.reward))(points) / self.strength
        exponents = log_shares[:, None] + jnp.asarray(self._log_weights, dtype) + rewards
        return jax.scipy.special.logsumexp(exponents)


def gauss_hermite(nodes, dimension: int):
    """Nodes `[m, d]` and logarithms of weights `[m]` for the standard Gaussian, less what underflows."""
    from scipy.special import roots_hermitenorm

    x, w = roots_hermitenorm(nodes)
    x, log_w = x[w > 0.0], np.log(w[w > 0.0] / w.sum())
    meshes = np.meshgrid(*[x] * dimension, indexing="ij")
    log_weights = np.meshgrid(*[log_w] * dimension, indexing="ij")
    return np.stack([mesh.ravel() for mesh in meshes], axis=1), sum(log_weights).ravel()
