"""Stein's kernelised velocity and discrepancy of a cloud, as sums over pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.programs import kept
from jko.descent.fields.program import Flow, program
from jko.loops.sums.pair_sums import radial_gradient_sum, radial_sum
from jko.measures import Particles


class Profile(NamedTuple):
    """A radial kernel k(x, y) = f(s), s = |x − y|²/h², with its first two derivatives."""

    value: object
    slope: object
    curvature: object


PROFILES = {
    "gaussian": Profile(
        lambda s: jnp.exp(-0.5 * s), lambda s: -0.5 * jnp.exp(-0.5 * s), lambda s: 0.25 * jnp.exp(-0.5 * s)
    ),
    "inverse multiquadric": Profile(
        lambda s: (1.0 + s) ** -0.5, lambda s: -0.5 * (1.0 + s) ** -1.5, lambda s: 0.75 * (1.0 + s) ** -2.5
    ),
}


@dataclass(frozen=True)
class SteinField(Flow):
    """The velocity of Stein variational gradient descent for F = θ∫ρ log ρ + G, and what it dissipates.

    v(x) = Σ_j w_j (−k(x, x_j) ∇_W G(x_j) + θ∇_{x_j}k(x, x_j)), the image of −∇_W F under the kernel,
    integrated by parts [LiuWang2016]. Along ẋ = v of a density dF/dt = −S, S = ∬k ∇_W F·∇_W F dρ dρ, θ²
    times the squared kernel Stein discrepancy [LiuLeeJordan2016]; on particles S = Σ w_i w_j (k g_i·g_j +
    θ(g_i − g_j)·∇ₓk − θ²Δk), g = ∇_W G, where the pairs i = j stand for a part of order 1/n.
    """

    drift: object  # a Field
    temperature: float
    kernel: str
    bandwidth: float

    @property
    def terms(self):
        """Those of the drift."""
        return self.drift.terms

    @property
    def settings(self):
        return self.drift.settings, self.temperature, self.kernel, self.bandwidth

    def with_terms(self, terms):
        return replace(self, drift=self.drift.with_terms(terms))

    def velocity(self, x: Array, w: Array):
        """v at the particles `[n, d]`, and S."""
        f, h, theta = PROFILES[self.kernel], self.bandwidth, self.temperature
        g, unit, d = self.drift.gradient(x, w), x / h, x.shape[1]
        smoothed = radial_sum(f.value, unit, unit, w[:, None] * g)
        # ∇ₓ of Σ_j w_j k(x, x_j), and the sum of the Laplacians
        push = radial_gradient_sum(_twice(f.slope), unit, unit, w) / h
        curvature = radial_sum(laplacian(self.kernel, d), unit, unit, w) / h**2
        stein = jnp.sum(w * (jnp.sum(g * (smoothed + 2.0 * theta * push), axis=1) - theta**2 * curvature))
        return (-smoothed - theta * push).astype(x.dtype), stein


@kept
def _twice(slope: Callable):
    return lambda s: 2.0 * slope(s)


@kept
def laplacian(kernel: str, d: int):
    """Δ of f(|z|²), z in R^d: 2d f′ + 4 s f″."""
    f = PROFILES[kernel]
    return lambda s: 2.0 * d * f.slope(s) + 4.0 * s * f.curvature(s)


@program
def compiled_velocity(flow: SteinField):
    """(x, w) → (v, S), compiled once."""
    return flow.velocity


def median_bandwidth(mu: Particles, most: int = 2000) -> float:
    """h = m/√(2 log n), m the median distance between particles, of at most so many [LiuWang2016, section 3].

    Then Σ_j k(x_i, x_j) is about 2 for the Gaussian kernel: a particle and its neighbours balance. Raises
    ValueError where there is no distance to go by.
    """
    if mu.n == 1:
        raise ValueError("bandwidth: one particle has no distances, so no rule gives one: give bandwidth=")
    from scipy.spatial.distance import pdist

    x = np.asarray(mu.positions, dtype=float)[:: -(-mu.n // most)]
    bandwidth = float(np.median(pdist(x)) / np.sqrt(2.0 * np.log(mu.n)))
    if not bandwidth > 0.0:
        raise ValueError(
            "bandwidth: half of the particles or more coincide, so no rule gives one: give bandwidth="
        )
    return bandwidth
