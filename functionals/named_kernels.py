"""Interaction kernels W known by name, each with what is known of its two convexities."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.numbers import is_number, positive


class NamedKernel(NamedTuple):
    """W with its facts: Ŵ ≥ 0 on zero-mass perturbations (linear convexity), and λ of W (None: none).

    `W.terms` says what W is a sum of, for compiled loops: ("gaussian", s, w), ("logarithm", s), ("power", c,
    a) for c|z|^a, ("exponential", c, ℓ) for c e^{−|z|/ℓ}, ("quadratic", s).
    """

    W: Callable
    linearly_convex: bool | None
    modulus: float | None


def quadratic(strength: float = 1.0) -> NamedKernel:
    """W(z) = (s/2)|z|²: attraction to the mean; concave in ρ, s-convex along geodesics of fixed mean."""
    s = positive("strength", strength)
    return NamedKernel(_with_terms(lambda z: 0.5 * s * jnp.sum(z**2), ("quadratic", s)), False, s)


def gaussian(strength: float = 1.0, width: float = 1.0) -> NamedKernel:
    """W(z) = s exp(−|z|²/2w²): repulsive for s > 0, attractive for s < 0."""
    s, w = _number("strength", strength), positive("width", width)
    modulus = -abs(s) / w**2 if s > 0 else 2.0 * s * np.exp(-1.5) / w**2
    # D²W ≥ −s/w² at the origin for s > 0; for s < 0 its least value is radial, at |z| = √3 w.
    W = _with_terms(lambda z: s * jnp.exp(-0.5 * jnp.sum(z**2) / w**2), ("gaussian", s, w))
    return NamedKernel(W, s > 0, float(modulus))


def logarithmic(strength: float = 1.0) -> NamedKernel:
    """W(z) = −s log|z|: repulsive for s > 0, attractive (Keller–Segel) for s < 0; singular at 0."""
    s = _number("strength", strength)
    W = _with_terms(lambda z: -0.5 * s * jnp.log(jnp.sum(z**2)), ("logarithm", s))
    return NamedKernel(W, s > 0, None)


def quadratic_logarithmic() -> NamedKernel:
    """W(z) = |z|²/2 − log|z|: its minimiser is the semicircle law in 1D, the unit disk in 2D."""
    terms = (("quadratic", 1.0), ("logarithm", 1.0))
    W = _with_terms(lambda z: 0.5 * jnp.sum(z**2) - 0.5 * jnp.log(jnp.sum(z**2)), *terms)
    return NamedKernel(W, None, None)


def morse(repulsion: float = 2.0, range: float = 0.5) -> NamedKernel:
    """W(z) = C e^{−|z|/ℓ} − e^{−|z|}: swarms, with C `repulsion` and ℓ `range`."""
    c, length = positive("repulsion", repulsion), positive("range", range)

    def W(z: Array):
        r = _norm(z)
        return c * jnp.exp(-r / length) - jnp.exp(-r)

    return NamedKernel(_with_terms(W, ("exponential", c, length), ("exponential", -1.0, 1.0)), None, None)


def power(exponent: float = 2.0, strength: float = 1.0) -> NamedKernel:
    """W(z) = s|z|^a/a, a ≠ 0: attractive for s > 0; singular at 0 for a < 0; the limit a → 0 is logarithmic.

    For 0 < a ≤ 2, −|z|^a is conditionally positive definite, as |z|^a is for −d < a < 0 [Wendland2005,
    chapter 8].
    """
    s, a = _number("strength", strength), _number("exponent", exponent)
    modulus = s if a == 2.0 else 0.0 if s > 0 and a >= 1 else None

    def W(z: Array):
        # the power of a zero norm has no derivative unless a ≥ 1, so it is taken where the norm is not 0
        r = _norm(z)
        return s / a * jnp.where(r > 0, jnp.where(r > 0, r, 1.0) ** a, 0.0 if a > 0 else jnp.inf)

    return NamedKernel(_with_terms(W, ("power", s / a, a)), s < 0 if a <= 2 else None, modulus)


def cubic(strength: float = 1.0) -> NamedKernel:
    """W(z) = (s/3)|z|³: granular media, whose grains lose energy in every collision
    [BenedettoCagliotiCarrilloPulvirenti1998]; convex, not uniformly."""
    return power(3.0, positive("strength", strength))


def bounded_confidence(radius: float = 1.0, strength: float = 1.0) -> NamedKernel:
    """W(z) = (s/2) min(|z|², R²): opinions that draw near to those within R, and to no others
    [HegselmannKrause2002]."""
    s, R = positive("strength", strength), positive("radius", radius)
    return NamedKernel(lambda z: 0.5 * s * jnp.minimum(jnp.sum(z**2), R**2), None, None)


NAMED_KERNELS: dict[str, Callable[..., NamedKernel]] = {
    function.__name__: function
    for function in (
        quadratic,
        gaussian,
        logarithmic,
        quadratic_logarithmic,
        morse,
        power,
        cubic,
        bounded_confidence,
    )
}


def _with_terms(W: Callable, *terms):
    W.terms = terms
    return W


def _norm(z: Array):
    """|z|, with gradient 0 at z = 0 in place of NaN."""
    squared = jnp.sum(z**2)
    away = squared > 0
    return jnp.where(away, jnp.sqrt(jnp.where(away, squared, 1.0)), 0.0)


def _number(name: str, value: float) -> float:
    if not (is_number(value) and value != 0):
        raise ValueError(f"{name} must be a finite number other than 0, got {value!r}")
    return float(value)
