"""Potentials known by name, each with its modulus of convexity."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from functionals.array import Array
from functionals.numbers import finite, matching, positive


def quadratic(stiffness: float = 1.0, center: float = 0.0) -> tuple[Callable, float]:
    """V(x) = ½(x−c)ᵀA(x−c), A = `stiffness`: a number, `[d]` or `[d, d]`; λ its least eigenvalue."""
    a, c = finite("stiffness", stiffness), finite("center", center)
    traced = isinstance(a, jax.core.Tracer)
    if a.ndim > 2 or (a.ndim == 2 and not (a.shape[0] == a.shape[1] and (traced or np.allclose(a, a.T)))):
        raise ValueError(f"stiffness must be a number, a vector or a symmetric matrix, got shape {a.shape}")

    def V(x: Array):
        z = x - matching("center", c, x)
        A = matching("stiffness", a, x)
        return 0.5 * jnp.sum(z * (A @ z if a.ndim == 2 else A * z))

    if traced:
        return V, None
    return V, float(np.linalg.eigvalsh(a).min() if a.ndim == 2 else a.min())


def double_well(
    height: float = 1.0, separation: float = 2.0, stiffness: float = 1.0
) -> tuple[Callable, float]:
    """V(x) = h((2x₁/s)² − 1)² + (k/2)(x₂² + …): wells at x₁ = ±s/2, barrier h; λ = −16h/s² at the barrier."""
    h, s, k = positive("height", height), positive("separation", separation), positive("stiffness", stiffness)

    def V(x: Array):
        return h * ((2.0 * x[0] / s) ** 2 - 1.0) ** 2 + 0.5 * k * jnp.sum(x[1:] ** 2)

    return V, -16.0 * h / s**2


def quartic(strength: float = 1.0, center: float = 0.0) -> tuple[Callable, float]:
    """V(x) = (b/4)|x−c|⁴; convex, λ = 0."""
    b, c = positive("strength", strength), finite("center", center)
    return (lambda x: 0.25 * b * jnp.sum((x - matching("center", c, x)) ** 2) ** 2), 0.0


def linear(slope: ArrayLike = 1.0) -> tuple[Callable, float]:
    """V(x) = g·x, `slope` g a number or `[d]`; λ = 0."""
    g = finite("slope", slope)
    return (lambda x: jnp.sum(matching("slope", g, x) * x)), 0.0


def mexican_hat(height: float = 1.0, radius: float = 1.0) -> tuple[Callable, float]:
    """V(x) = h(|x|²/r² − 1)²: a circular valley of radius r; λ = −4h/r² at the top."""
    h, r = positive("height", height), positive("radius", radius)
    return (lambda x: h * (jnp.sum(x**2) / r**2 - 1.0) ** 2), -4.0 * h / r**2


NAMED_POTENTIALS: dict[str, Callable[..., tuple[Callable, float]]] = {
    function.__name__: function for function in (quadratic, double_well, quartic, linear, mexican_hat)
}
