"""Potentials known by name, each with its modulus of convexity."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np


def quadratic(stiffness=1.0, center=0.0) -> tuple[Callable, float]:
    """V(x) = ½(x−c)ᵀA(x−c), A = `stiffness` a number, the diagonal `[d]` or a matrix `[d, d]`; λ its least eigenvalue."""
    a, c = _array("stiffness", stiffness), _array("center", center)
    if a.ndim > 2 or (a.ndim == 2 and not (a.shape[0] == a.shape[1] and np.allclose(a, a.T))):
        raise ValueError(f"stiffness must be a number, a vector or a symmetric matrix, got shape {a.shape}")

    def V(x):
        z = x - c
        return 0.5 * jnp.sum(z * (a @ z if a.ndim == 2 else a * z))

    return V, float(np.linalg.eigvalsh(a).min() if a.ndim == 2 else a.min())


def double_well(height=1.0, separation=2.0, stiffness=1.0) -> tuple[Callable, float]:
    """V(x) = h((2x₁/s)² − 1)² + (k/2)(x₂² + …): wells at x₁ = ±s/2, barrier h; λ = −16h/s² at the barrier."""
    h, s, k = _positive("height", height), _positive("separation", separation), _positive("stiffness", stiffness)

    def V(x):
        return h * ((2.0 * x[0] / s) ** 2 - 1.0) ** 2 + 0.5 * k * jnp.sum(x[1:] ** 2)

    return V, -16.0 * h / s**2


def quartic(strength=1.0, center=0.0) -> tuple[Callable, float]:
    """V(x) = (b/4)|x−c|⁴; convex, λ = 0."""
    b, c = _positive("strength", strength), _array("center", center)
    return (lambda x: 0.25 * b * jnp.sum((x - c) ** 2) ** 2), 0.0


def linear(slope=1.0) -> tuple[Callable, float]:
    """V(x) = g·x, `slope` g a number or `[d]`; λ = 0."""
    g = _array("slope", slope)
    return (lambda x: jnp.sum(g * x)), 0.0


def mexican_hat(height=1.0, radius=1.0) -> tuple[Callable, float]:
    """V(x) = h(|x|²/r² − 1)²: a circular valley of radius r; λ = −4h/r² at the top."""
    h, r = _positive("height", height), _positive("radius", radius)
    return (lambda x: h * (jnp.sum(x**2) / r**2 - 1.0) ** 2), -4.0 * h / r**2


NAMED_POTENTIALS: dict[str, Callable[..., tuple[Callable, float]]] = {
    function.__name__: function for function in (quadratic, double_well, quartic, linear, mexican_hat)
}


def _array(name, value) -> np.ndarray:
    array = np.asarray(value, dtype=float)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return array


def _positive(name, value) -> float:
    if not (np.ndim(value) == 0 and np.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(value)
