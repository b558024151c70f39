"""A Gaussian mixture under noise: everything in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from functionals.array import Array
from jko.diffusion.arguments import instance, point
from jko.diffusion.schedule import Schedule
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import finite_array, seed_number, shown, whole_number
from jko.measures import Density, Grid, Particles


class NoisedMixture:
    """The law pₜ = Σ wᵢ N(αₜmᵢ, αₜ²Sᵢ + σₜ²I) of xₜ = αₜx₀ + σₜε, x₀ a mixture of Gaussians.

    `means` `[k, d]`, or `[k]` on the line; `covariances` a number, one number for each, or symmetric matrices
    `[k, d, d]`; `weights` `[k]`, equal unless given, in proportion. Raises ValueError for shapes that do not
    fit, covariances that are not symmetric and positive definite, weights that are not positive, points of
    another dimension and times outside the schedule.
    """

    def __init__(
        self, means: ArrayLike, covariances: ArrayLike, weights: list | None = None, *, schedule: Schedule
    ):
        self.schedule = instance("schedule", schedule, Schedule, ": take Schedule.variance_preserving(), say")
        means = finite_array("means", means)
        self.means = means[:, None] if means.ndim == 1 else means
        if self.means.ndim != 2 or not self.means.size:
            raise ValueError(f"means: expected an array [k, d], got shape {means.shape}")
        k, self.dimension = self.means.shape
        self._variances, self._axes = np.linalg.eigh(_matrices(covariances, k, self.dimension))
        self.weights = np.full(k, 1.0 / k) if weights is None else finite_array("weights", weights)
        if self.weights.shape != (k,) or self.weights.min() <= 0:
            raise ValueError(f"weights: expected {k} positive numbers, got {shown(self.weights)}")
        self.weights = self.weights / self.weights.sum()

    @property
    def known_times(self):
        """The first and the last time of the schedule."""
        return 0.0, self.schedule.end

    def log_density(self, x: Array, t: float | Array):
        """log pₜ(x), a jax function of a point `[d]` and a time."""
        x, t = point("x", x, self.dimension), self.schedule.time(t)
        return jax.scipy.special.logsumexp(self._log_parts(x, t))

    def score(self, x: Array, t: float | Array):
        """∇log pₜ(x) `[d]`."""
        return jax.grad(self.log_density)(point("x", x, self.dimension), t)

    def denoised(self, x: Array, t: float | Array):
        """E[x₀ | xₜ = x] `[d]`, in closed form at every time of the schedule, where α is 0, too."""
        x, t = point("x", x, self.dimension), self.schedule.time(t)
        axes, variances, means = (
            jnp.asarray(part, x.dtype) for part in (self._axes, self._variances, self.means)
        )
        a, s = self.schedule.alpha(t), self.schedule.sigma(t)
        off = jnp.einsum("kab,ka->kb", axes, x - a * means)
        each = means + jnp.einsum("kab,kb->ka", axes, a * variances / (a**2 * variances + s**2) * off)
        return jax.nn.softmax(self._log_parts(x, t)) @ each

    def on(self, grid: Grid, t: float) -> Density:
        """The density on a grid, of mass 1."""
        if instance("grid", grid, Grid).dimension != self.dimension:
            raise ValueError(f"grid: expected {self.dimension} dimensions, got {grid.dimension}")
        self.schedule.at(t)
        return Density.from_function(grid, lambda x: jnp.exp(self.log_density(x, t)))

    def sample(self, n: int, t: float, seed: int) -> Particles:
        """n independent draws of xₜ."""
        (a, s), n = self.schedule.at(t), whole_number("n", n)
        generator = np.random.default_rng(seed_number("seed", seed))
        part = generator.choice(len(self.weights), size=n, p=self.weights)
        root = np.sqrt(a**2 * self._variances[part] + s**2) * generator.normal(size=(n, self.dimension))
        return Particles(a * self.means[part] + np.einsum("nab,nb->na", self._axes[part], root))

    def _log_parts(self, x: Array, t: Array):
        """log wᵢN(x; αmᵢ, αₜ²Sᵢ + σₜ²I) `[k]`."""
        # eager jax would find a compiled program of the other precision for arrays of numpy
        parts = self._variances, self._axes, self.means, np.log(self.weights)
        variances, axes, means, log_weights = (jnp.asarray(part, x.dtype) for part in parts)
        a, s = self.schedule.alpha(t), self.schedule.sigma(t)
        variances = a**2 * variances + s**2
        turned = jnp.einsum("kab,ka->kb", axes, x - a * means)
        return log_weights - 0.5 * jnp.sum(turned**2 / variances + jnp.log(2.0 * jnp.pi * variances), axis=1)


def _matrices(covariances: ArrayLike, k: int, d: int):
    S = finite_array("covariances", covariances)
    if S.ndim < 2 and S.size in (1, k):
        S = np.broadcast_to(S, (k,))[:, None, None] * np.eye(d)
    if S.shape != (k, d, d):
        raise ValueError(
            f"covariances: expected a number, {k} of them, or matrices [{k}, {d}, {d}], got shape {S.shape}"
        )
    if np.abs(S - S.transpose(0, 2, 1)).max() > TOLERANCES.asymmetry * np.abs(S).max():
        raise ValueError(
            "covariances: expected symmetric matrices: take (S + Sᵀ)/2 if rounding made them not"
        )
    least = np.linalg.eigvalsh(S).min()
    if least <= 0:
        raise ValueError(
            f"covariances: expected {k} positive definite matrices, got an eigenvalue {least:.3g}"
        )
    return S
