"""Internal energies ∫U(ρ) dx: the entropy, the powers of slow and fast diffusion, and a user's convex U."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from functionals.base import Functional
from functionals.conjugate import conjugate_at, invert_derivative
from functionals.numbers import is_number
from functionals.pointwise import describe, elementwise
from functionals.registry import register

_TINY = 1e-120


def _namespace(s):
    return jnp if isinstance(s, jax.Array) else np


def _where_positive(f, s, at_zero: float):
    """f(s) for s > 0, and its limit at 0, where f itself may be 0 · log 0."""
    xp = _namespace(s)
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


_derivatives: dict[tuple[Callable, int], Callable] = {}


def _derivative_of(U: Callable, order: int) -> Callable:
    """d^k U/ds^k as one function object a U, so that jax compiles it once."""
    if (U, order) not in _derivatives:
        _derivatives[U, order] = jax.grad(U if order == 1 else _derivative_of(U, order - 1))
    return _derivatives[U, order]


@register("entropy")
class Entropy(InternalEnergy):
    """F(ρ) = ∫ρ log ρ, with δF/δρ = log ρ + 1 and ∇_W F = ∇log ρ, the score; its flow is the heat equation.

    [JordanKinderlehrerOtto1998]. Displacement convex in every dimension.
    """

    is_entropy = True

    def __init__(self):
        super().__init__(_entropy_density, displacement_convex=True)

    def _require_zero_at_zero(self):
        """It holds."""

    def density(self, s):
        xp = _namespace(s)
        s = xp.asarray(s)
        return xp.where(s > 0, s * xp.log(xp.where(s > 0, s, 1.0)), 0.0)

    def derivative(self, s):
        xp = _namespace(s)
        with np.errstate(divide="ignore"):
            return xp.log(s) + 1.0

    def second_derivative(self, s):
        with np.errstate(divide="ignore"):
            return 1.0 / _namespace(s).asarray(s)

    def conjugate_derivative(self, p):
        return _namespace(p).exp(p - 1.0)

    conjugate = conjugate_derivative

    def __eq__(self, other):
        return type(other) is Entropy

    def __hash__(self):
        return hash(Entropy)

    def __repr__(self):
        return "Entropy()"


def _entropy_density(s):
    positive = s > 0
    return jnp.where(positive, s * jnp.log(jnp.where(positive, s, 1.0)), 0.0)


@register("power")
class Power(InternalEnergy):
    """F(ρ) = ∫ρ^m/(m−1), m > 0, m ≠ 1; δF/δρ = mρ^{m−1}/(m−1) and the flow is ∂_tρ = Δρ^m [Otto2001].

    m > 1 is slow diffusion (porous medium, compact support), 0 < m < 1 fast diffusion. Displacement convex
    iff m ≥ 1 − 1/d. Raises ValueError for m ≤ 0 or m = 1, where the entropy takes its place.
    """

    def __init__(self, m: float):
        if not (is_number(m) and m > 0):
            raise ValueError(f"m must be a positive number other than 1, got {m!r}")
        if m == 1.0:
            raise ValueError("m must differ from 1, got 1: the limit m → 1 is Entropy()")
        self.m = m = float(m)
        super().__init__(lambda s: _power(jnp, s, m) / (m - 1.0))

    def _require_zero_at_zero(self):
        """It holds."""

    def displacement_modulus(self, dimension):
        return 0.0 if self.m >= 1.0 - 1.0 / dimension else None

    def density(self, s):
        return _power(_namespace(s), s, self.m) / (self.m - 1.0)

    def derivative(self, s):
        return self.m / (self.m - 1.0) * _power(_namespace(s), s, self.m - 1.0)

    def second_derivative(self, s):
        return self.m * _power(_namespace(s), s, self.m - 2.0)

    def conjugate_derivative(self, p):
        xp, m = _namespace(p), self.m
        base = (m - 1.0) / m * xp.asarray(p)
        with np.errstate(divide="ignore"):
            if m > 1:
                return xp.maximum(base, 0.0) ** (1.0 / (m - 1.0))
            # U′ is negative and increases to 0: a p ≥ 0 asks for infinite density.
            return xp.where(base > 0, xp.where(base > 0, base, 1.0) ** (1.0 / (m - 1.0)), xp.inf)

    def conjugate(self, p):
        # p = U′(s) gives ps − U(s) = s^m; for m > 1 and p ≤ 0 both sides vanish.
        return self.conjugate_derivative(p) ** self.m

    def __eq__(self, other):
        return type(other) is Power and other.m == self.m

    def __hash__(self):
        return hash((Power, self.m))

    def __repr__(self):
        return f"Power({self.m:g})"


def _power(xp, s, exponent):
    with np.errstate(divide="ignore"):
        if exponent == 2.0:
            return xp.asarray(s) * s
        if exponent == 1.0:
            return xp.asarray(s) * 1.0
        if exponent == 0.0:
            return xp.ones_like(xp.asarray(s) * 1.0)
        return xp.asarray(s) ** exponent
