"""Interaction kernels W known by name, functions of |z|², each with what is known of its two convexities."""

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
    a) for c|z|^a, ("exponential", c, ℓ) for c e^{−|z|/ℓ}, ("quadratic", s). `W.of_square` is f, elementwise,
    with W(z) = f(|z|²): sums over pairs in jax take it, and differences of coordinates one by one, at a tenth
    of the cost of W over vectors.
    """

    W: Callable
    linearly_convex: bool | None
    modulus: float | None


def quadratic(strength: float = 1.0) -> NamedKernel:
    """W(z) = (s/2)|z|²: attraction to the mean; concave in ρ, s-convex along geodesics of fixed mean."""
    s = positive("strength", strength)
    return NamedKernel(_radial(lambda square: 0.5 * s * square, ("quadratic", s)), False, s)


def gaussian(strength: float = 1.0, width: float = 1.0) -> NamedKernel:
    """W(z) = s exp(−|z|²/2w²): repulsive for s > 0, attractive for s < 0."""
    s, w = _number("strength", strength), positive("width", width)
    modulus = -abs(s) / w**2 if s > 0 else 2.0 * s * np.exp(-1.5) / w**2
    # D²W ≥ −s/w² at the origin for s > 0; for s < 0 its least value is radial, at |z| = √3 w.
    W = _radial(lambda square: s * jnp.exp(-0.5 * square / w**2), ("gaussian", s, w))
    return NamedKernel(W, s > 0, float(modulus))


def logarithmic(strength: float = 1.0) -> NamedKernel:
    """W(z) = −s log|z|: repulsive for s > 0, attractive (Keller–Segel) for s < 0; singular at 0."""
    s = _number("strength", strength)
    W = _radial(lambda square: -0.5 * s * jnp.log(square), ("logarithm", s))
    return NamedKernel(W, s > 0, None)


def quadratic_logarithmic() -> NamedKernel:
    """W(z) = |z|²/2 − log|z|: its minimiser is the semicircle law in 1D, the unit disk in 2D."""
    terms = (("quadratic", 1.0), ("logarithm", 1.0))
    W = _radial(lambda square: 0.5 * square - 0.5 * jnp.log(square), *terms)
    return NamedKernel(W, None, None)


def morse(repulsion: float = 2.0, range: float = 0.5) -> NamedKernel:
    """W(z) = C e^{−|z|/ℓ} − e^{−|z|}: swarms, with C `repulsion` and ℓ `range`."""
    c, length = positive("repulsion", repulsion), positive("range", range)

    def of_square(square: Array):
        r = _root(square)
        return c * jnp.exp(-r / length) - jnp.exp(-r)

    return NamedKernel(_radial(of_square, ("exponential", c, length), ("exponential", -1.0, 1.0)), None, None)


def power(exponent: float = 2.0, strength: float = 1.0) -> NamedKernel:
    """W(z) = s|z|^a/a, a ≠ 0: attractive for s > 0; singular at 0 for a < 0; the limit a → 0 is logarithmic.

    For 0 < a ≤ 2, −|z|^a is conditionally positive definite, as |z|^a is for −d < a < 0 [Wendland2005,
    chapter 8].
    """
    s, a = _number("strength", strength), _number("exponent", exponent)
    modulus = s if a == 2.0 else 0.0 if s > 0 and a >= 1 else None

    def of_square(square: Array):
        # the power of a zero norm has no derivative unless a ≥ 1, so it is taken where the norm is not 0
        away = square > 0
        powers = _power_of_root(jnp.where(away, square, 1.0), a)
        return s / a * jnp.where(away, powers, 0.0 if a > 0 else jnp.inf)

    return NamedKernel(_radial(of_square, ("power", s / a, a)), s < 0 if a <= 2 else None, modulus)


def cubic(strength: float = 1.0) -> NamedKernel:
    """W(z) = (s/3)|z|³: granular media, whose grains lose energy in every collision
    [BenedettoCagliotiCarrilloPulvirenti1998]; convex, not uniformly."""
    return power(3.0, positive("strength", strength))


def bounded_confidence(radius: float = 1.0, strength: float = 1.0) -> NamedKernel:
    """W(z) = (s/2) min(|z|², R²): opinions that draw near to those within R, and to no others
    [HegselmannKrause2002]."""
    s, R = positive("strength", strength), positive("radius", radius)
    return NamedKernel(_radial(lambda square: 0.5 * s * jnp.minimum(square, R**2)), None, None)


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


def _radial(of_square: Callable, *terms):
    """z ↦ f(|z|²), with f and with the terms that it is a sum of, if it is one."""

    def W(z: Array):
        return of_square(jnp.sum(z**2))

    W.of_square = of_square
    if terms:
        W.terms = terms
    return W


def _root(square: Array):
    """|z| of |z|², with derivative 0 at z = 0 in place of NaN."""
    away = square > 0
    return jnp.where(away, jnp.sqrt(jnp.where(away, square, 1.0)), 0.0)


def _power_of_root(square: Array, a: float):
    """|z|^a of |z|² > 0; of a whole a by a root and products, without exponentials."""
    if not a.is_integer():
        return square ** (0.5 * a)
    twos, odd = divmod(int(a), 2)
    return square**twos * jnp.sqrt(square) if odd else square**twos


def _number(name: str, value: float) -> float:
    if not (is_number(value) and value != 0):
        raise ValueError(f"{name} must be a finite number other than 0, got {value!r}")
    return float(value)
