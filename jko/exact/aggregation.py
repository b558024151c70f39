"""The steady state of aggregation with logarithmic repulsion."""

from __future__ import annotations

import math

import jax.numpy as jnp

from jko.errors import one_of
from jko.exact.base import ExactSolution


class AggregationSteadyState(ExactSolution):
    """The minimiser of ½ ∬ W d ρ d ρ, W = |z|²/2 - log|z|, of unit mass, centred: the same at every t
    [SaffTotik1997].

    On the line the semicircle ρ = (2 - x²)^½/π on |x| < 2^½; in the plane the disk of radius 1 and density
    1/π. `dimension` is 1 or 2.
    """

    def __init__(self, dimension: int = 1):
        self.dimension = one_of("dimension", dimension, (1, 2))

    @property
    def radius(self) -> float:
        """The radius of the support."""
        return math.sqrt(2.0) if self.dimension == 1 else 1.0

    def formula(self, t, x):
        inside = self.radius**2 - jnp.sum(x**2, axis=-1)
        if self.dimension == 1:
            return jnp.sqrt(jnp.maximum(inside, 0.0)) / math.pi
        return jnp.where(inside > 0.0, 1.0 / math.pi, 0.0)
