"""Constraints on the density."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.base import Functional
from functionals.numbers import is_number
from functionals.registry import register
from functionals.time_dependence import without_time

# fraction of the cap by which a density may exceed it: solvers of many cells end within less
EXCESS = 1e-6  # over a cap, relative: what quotients of masses and sizes, and solvers, leave


@register("cap")
class Cap(Functional):
    """F(ρ) = 0 where ρ ≤ cap everywhere, else +∞: crowd motion [MauryRoudneffChupinSantambrogio2010].

    `cap` is a positive number or a jax function of a point `[d]`. The first variation is the pressure p ≥ 0,
    p(cap − ρ) = 0, which only a step or a flow determines; at a density alone it is 0, its smallest value.
    A density counts as admissible up to a relative excess of 1e-6.
    """

    example = "fn.Cap(2.0)"
    kind = "constraint"
    linearly_convex = True

    def __init__(self, cap: Callable | float):
        if not callable(cap) and not (is_number(cap) and cap > 0):
            raise ValueError(f"cap must be a positive number or a function of a point, got {cap!r}")
        self.cap = without_time("cap", cap) if callable(cap) else float(cap)

    def values(self, points: np.ndarray) -> np.ndarray:
        """The cap at points `[n, d]`."""
        points = np.asarray(points, dtype=float)
        return pointwise.values(self.cap, points) if callable(self.cap) else np.full(len(points), self.cap)

    def energy(self, mu):
        density = mu.density_values()
        cap = self.values(mu.points).reshape(np.shape(density))
        return jnp.where((density <= cap * (1.0 + EXCESS)).all(), 0.0, jnp.inf)

    def first_variation(self, mu):
        return np.zeros(np.shape(mu.density_values()))

    def wasserstein_gradient(self, mu):
        shape = np.shape(mu.density_values())
        return np.zeros((*shape, mu.dimension))

    def probe(self, mu):
        return [self.values(np.asarray(mu.points)[:512])]

    def displacement_modulus(self, dimension: int):
        return None if callable(self.cap) else 0.0

    def __repr__(self):
        return f"Cap({pointwise.describe(self.cap) if callable(self.cap) else format(self.cap, 'g')})"
