"""A moment held near a value by a spring."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.base import Functional
from functionals.numbers import finite, is_number, positive
from functionals.pointwise import describe
from functionals.registry import register
from functionals.time_dependence import without_time


@register("moment")
class Moment(Functional):
    """F(ρ) = (k/2)(∫φ dρ − c)²: holds the moment ∫φ dρ near c; δF/δρ = k(∫φ dρ − c)φ.

    `phi` is a jax function of a point `[d]`, `value` c and `strength` k: the penalty of the constraint ∫φ dρ
    = c, which holds as k → ∞ with the multiplier k(∫φ dρ − c). Linearly convex.
    """

    example = "fn.Moment(lambda x: x[0] ** 2, 1.0)"
    linearly_convex = True

    def __init__(self, phi: Callable, value: float, strength: float = 1.0):
        if not callable(phi):
            raise TypeError(f"phi must be a jax function of a point, got {phi!r}")
        if not is_number(value):
            raise ValueError(f"value must be a number, got {value!r}")
        self.phi, self.value = without_time("phi", phi), float(value)
        self.strength = positive("strength", strength)

    def energy(self, mu):
        return 0.5 * self.strength * (mu.integrate(self.phi) - self.value) ** 2

    def _force(self, mu):
        return self.strength * (mu.integrate(self.phi) - self.value)

    def first_variation(self, mu):
        return mu.at_points(self._force(mu) * pointwise.values(self.phi, mu.points))

    def first_variation_function(self, mu):
        """δF/δρ as a jax function of a point."""
        force, phi = self._force(mu), pointwise.scalar(self.phi)
        return lambda x: force * phi(x)

    def wasserstein_gradient(self, mu):
        return mu.at_points(self._force(mu) * pointwise.gradients(self.phi, mu.points))

    def __repr__(self):
        return f"Moment({describe(self.phi)}, {self.value:g}, strength={self.strength:g})"


@register("barycentre")
class Barycentre(Functional):
    """F(ρ) = (k/2)|∫x dρ − a|²: holds the mean near a; δF/δρ = k(m − a)·x, ∇_W F = k(m − a).

    `target` is a, a number or one an axis, `strength` k: the penalty of the constraint m = a. Convex along
    mixtures and along geodesics; m follows m′ = −k(m − a). Raises ValueError on a torus, which has no means.
    """

    example = "fn.Barycentre(1.0)"
    linearly_convex = True

    def __init__(self, target: float | np.ndarray = 0.0, strength: float = 1.0):
        self.target, self.strength = finite("target", target), positive("strength", strength)

    def _offset(self, mu):
        if self.target.ndim and self.target.shape != (mu.dimension,):
            raise ValueError(f"target: expected {mu.dimension} numbers, one an axis, got {self.target.size}")
        if mu.is_periodic:
            raise ValueError(
                f"measure: on a torus points have no mean for Barycentre to hold, got {mu!r}: "
                "take fn.Moment of a function that goes round, or a grid without periodic axes"
            )
        return mu.masses @ mu.points - self._wanted(mu) * mu.masses.sum()

    def _wanted(self, mu):
        return np.broadcast_to(self.target, (mu.dimension,)).astype(mu.points.dtype)

    def energy(self, mu):
        return 0.5 * self.strength * (self._offset(mu) ** 2).sum()

    def first_variation(self, mu):
        # the mass enters F where it changes: of perturbations without mass only x counts
        return mu.at_points((mu.points - self._wanted(mu)) @ (self.strength * self._offset(mu)))

    def first_variation_function(self, mu):
        """δF/δρ as a jax function of a point."""
        force = self.strength * self._offset(mu)
        return lambda x: jnp.dot(force, x)

    def wasserstein_gradient(self, mu):
        force = self.strength * self._offset(mu)
        return mu.at_points(np.broadcast_to(force, mu.points.shape).copy())

    def displacement_modulus(self, dimension: int):
        return 0.0

    def __repr__(self):
        return f"Barycentre({self.target.tolist()}, strength={self.strength:g})"
