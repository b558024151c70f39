"""The coefficients of an SDE as jax functions, checked and derived from each other."""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from functionals.pointwise import describe


def covariance(diffusion):
    """(x, t) ↦ D = GGᵀ `[d, d]`."""

    def product(x, t):
        G = diffusion(x, t)
        return G @ G.T

    return product


def row_divergence(matrix):
    """(x, t) ↦ (∇·D)ᵢ = Σⱼ ∂ⱼDᵢⱼ `[d]` of a matrix field D(x, t)."""

    def divergence(x, t):
        return jnp.einsum("ijj->i", jax.jacfwd(matrix)(x, t))

    return divergence


def at_points(function, points, t) -> np.ndarray:
    """function(x, t) at numpy points `[n, d]`, in float64."""
    with jax.enable_x64(True):
        return np.array(_batched(function)(jnp.asarray(points, jnp.float64), jnp.asarray(float(t))))


@lru_cache(maxsize=64)
def _batched(function):
    return jax.jit(jax.vmap(function, in_axes=(0, None)))


def require_shape(name, function, dimension, expected):
    """Refuse a coefficient whose value at (x, t) has not the expected shape; None stands for any length."""
    with jax.enable_x64(True):
        point = jax.ShapeDtypeStruct((dimension,), jnp.float64)
        shape = jax.eval_shape(function, point, jax.ShapeDtypeStruct((), jnp.float64)).shape
    fits = len(shape) == len(expected) and all(
        want is None or want == got for got, want in zip(shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("k" if want is None else str(want) for want in expected)
        raise ValueError(
            f"{name}: expected {describe(function)}(x, t) of shape [{wanted}] for a point of shape "
            f"[{dimension}], got {list(shape)}"
        )
