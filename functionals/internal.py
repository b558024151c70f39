"""The internal energy ∫U(ρ) dx of a user's convex U."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import jax
import numpy as np

from functionals.base import Functional
from functionals.conjugate import conjugate_at, invert_derivative
from functionals.pointwise import describe, elementwise, namespace
from functionals.programs import kept
from functionals.registry import register

_TINY = 1e-120


def _where_positive(f, s, at_zero: float):
    """f(s) for s > 0, and its limit at 0, where f itself may be 0 · log 0."""
    xp = namespace(s)
    positive = xp.asarray(s) > 0
    return xp.where(positive, f(xp.where(positive, s, 1.0)), at_zero)


@register("internal")
class InternalEnergy(Functional):
    """F(ρ) = ∫U(ρ) dx, U convex on [0, ∞) with U(0) = 0; δF/δρ = U′(ρ), ∇_W F = ∇U′(ρ).

    `U` is a jax function of a number s > 0; U′, U″ come by differentiation, U′(0) as the limit, and the
    conjugate U*(p) = sup_{s≥0} ps − U(s) by solving U′(s) = p. On particles ∫U(ρ) is infinite or undefined:
    refused. ∫U is displacement convex iff s ↦ s^d U(s^{−d}) is convex and non-increasing [McCann1997,
    Theorem 2.2]; declare it with `displacement_convex=True`. Raises ValueError where U does not tend to 0
    at 0.
    """

    kind = "internal"
    is_entropy: ClassVar[bool] = False
    linearly_convex = True

    def __init__(self, U: Callable, *, displacement_convex: bool | None = None):
        if not callable(U):
            raise TypeError(f"U must be a jax function of one number, got {U!r}")
        self.U = U
        self._displacement_convex = displacement_convex
        self._require_zero_at_zero()

    def _require_zero_at_zero(self):
        start = elementwise(self.U, np.array([_TINY]))[0]
        if not abs(start) < 1e-8:
            raise ValueError(
                f"U must tend to 0 at 0, got {start:g} for {describe(self.U)}: subtract that constant"
            )

    def energy(self, mu):
        return mu.integrate_internal(self)

    def first_variation(self, mu):
        return self.derivative(mu.density_values())

    def wasserstein_gradient(self, mu):
        return mu.internal_gradient(self)

    def displacement_modulus(self, dimension):
        return 0.0 if self._displacement_convex else None

    def probe(self, mu):
        return [self.derivative(np.array([0.01, 0.3, 1.0, 7.0]))]

    def density(self, s):
        """U(s), elementwise; 0 at 0."""
        return _where_positive(lambda t: elementwise(self.U, t), s, 0.0)

    def derivative(self, s):
        """U′(s), elementwise; its limit at 0."""
        return _where_positive(lambda t: elementwise(_derivative_of(self.U, 1), t), s, self._slope_at_zero)

    @cached_property
    def _slope_at_zero(self) -> float:
        near, nearer = elementwise(_derivative_of(self.U, 1), np.array([np.sqrt(_TINY), _TINY]))
        return float(-np.inf if nearer < near - 1.0 else nearer)

    def second_derivative(self, s):
        """U″(s), elementwise."""
        return elementwise(_derivative_of(self.U, 2), s)

    def conjugate_derivative(self, p):
        """(U*)′(p) ≥ 0, elementwise."""
        return invert_derivative(self.derivative, p)

    def conjugate(self, p):
        """U*(p), elementwise."""
        return conjugate_at(self.conjugate_derivative(p), p, self.density)

    def __repr__(self):
        return f"InternalEnergy({describe(self.U)})"


@kept
def _derivative_of(U: Callable, order: int) -> Callable:
    """d^k U/ds^k as one function object a U, so that jax compiles it once."""
    return jax.grad(U if order == 1 else _derivative_of(U, order - 1))
