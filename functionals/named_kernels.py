"""Interaction kernels W known by name, each with what is known of its two convexities."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np


class NamedKernel(NamedTuple):
    """W with its facts: Ŵ ≥ 0 on zero-mass perturbations (linear convexity), and λ of W (None: none)."""

    W: Callable
    linearly_convex: bool | None
    modulus: float | None


def quadratic(strength=1.0) -> NamedKernel:
    """W(z) = (s/2)|z|²: attraction to the mean; concave in ρ, s-convex along geodesics of fixed mean."""
    s = _positive("strength", strength)
    return NamedKernel(lambda z: 0.5 * s * jnp.sum(z**2), False, s)


def gaussian(strength=1.0, width=1.0) -> NamedKernel:
    """W(z) = s exp(−|z|²/2w²): repulsive for s > 0, attractive for s < 0."""
    s, w = _number("strength", strength), _positive("width", width)
    modulus = -abs(s) / w**2 if s > 0 else 2.0 * s * np.exp(-1.5) / w**2
    # D²W ≥ −s/w² at the origin for s > 0; for s < 0 its least value is radial, at |z| = √3 w.
    return NamedKernel(lambda z: s * jnp.exp(-0.5 * jnp.sum(z**2) / w**2), s > 0, float(modulus))


def logarithmic(strength=1.0) -> NamedKernel:
    """W(z) = −s log|z|: repulsive for s > 0, attractive (Keller–Segel) for s < 0; singular at 0."""
    s = _number("strength", strength)
    return NamedKernel(lambda z: -0.5 * s * jnp.log(jnp.sum(z**2)), s > 0, None)


def quadratic_logarithmic() -> NamedKernel:
    """W(z) = |z|²/2 − log|z|: its minimiser is the semicircle law in 1D, the unit disk in 2D."""
    return NamedKernel(lambda z: 0.5 * jnp.sum(z**2) - 0.5 * jnp.log(jnp.sum(z**2)), None, None)


def morse(repulsion=2.0, range=0.5) -> NamedKernel:
    """W(z) = C e^{−|z|/ℓ} − e^{−|z|}: swarms, with C `repulsion` and ℓ `range`."""
    c, length = _positive("repulsion", repulsion), _positive("range", range)

    def W(z):
        r = _norm(z)
        return c * jnp.exp(-r / length) - jnp.exp(-r)

    return NamedKernel(W, None, None)


def power(exponent=2.0, strength=1.0) -> NamedKernel:
    """W(z) = s|z|^a/a, a ≠ 0: attractive for s > 0; singular at 0 for a < 0."""
    s, a = _number("strength", strength), _number("exponent", exponent)
    if a == 0:
        raise ValueError("exponent must differ from 0: the limit is the logarithmic kernel")
    convex = s > 0 and a >= 1
    return NamedKernel(lambda z: s * _norm(z) ** a / a, None, 0.0 if convex else None)


NAMED_KERNELS: dict[str, Callable[..., NamedKernel]] = {
    function.__name__: function
    for function in (quadratic, gaussian, logarithmic, quadratic_logarithmic, morse, power)
}


def _norm(z):
    return jnp.sqrt(jnp.sum(z**2))


def _number(name, value) -> float:
    if not (np.ndim(value) == 0 and np.isfinite(value) and value != 0 or name == "exponent"):
        raise ValueError(f"{name} must be a finite number other than 0, got {value!r}")
    return float(value)


def _positive(name, value) -> float:
    if not (np.ndim(value) == 0 and np.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(value)
