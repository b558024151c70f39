"""The coefficients of an SDE as jax functions, derived from each other and evaluated."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.by_numpy import evaluated
from functionals.programs import kept
from functionals.reading import as_it_reads_now


def covariance(diffusion: Callable):
    """(x, t) ↦ D = GGᵀ `[d, d]`."""

    def product(x: Array, t: Array):
        G = diffusion(x, t)
        return G @ G.T

    return product


def row_divergence(matrix: Callable):
    """(x, t) ↦ (∇·D)ᵢ = Σⱼ ∂ⱼDᵢⱼ `[d]` of a matrix field D(x, t)."""

    def divergence(x: Array, t: Array):
        return jnp.einsum("ijj->i", jax.jacfwd(matrix)(x, t))

    return divergence


def at_points(function: Callable, points: np.ndarray, t: float) -> np.ndarray:
    """function(x, t) at numpy points `[n, d]`, in float64."""
    with jax.enable_x64(True):
        batched = _batched(as_it_reads_now(function))
        return evaluated(batched, np.asarray(points, np.float64), np.asarray(float(t)))


@kept
def _batched(function: Callable):
    return jax.jit(jax.vmap(function, in_axes=(0, None)))
