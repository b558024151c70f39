"""Newton's directions of a proximal step on the line from the whole matrix.

Particles that repel each other on a line cannot pass, and the closer they stand the stiffer they are: with
−log|z| conjugate gradients take hundreds of products where a factorisation takes one.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.array import Array
from jko.descent.fields.program import Field, program

LEAST, MOST = 200, 2048  # particles between which a matrix is worth its factors


def has_dense_newton(flow: Field, x: np.ndarray) -> bool:
    """Whether the particles are on a line, of a number for it, and every term twice differentiable."""
    n, d = x.shape
    if not isinstance(flow, Field) or flow.mesh is not None or d > 1 or not LEAST <= n <= MOST:
        return False
    pairs = [atom for _, atom in flow.terms if atom.kind == "interaction"]
    plain = all(not atom.general and atom.summation.method in ("auto", "direct") for atom in pairs)
    return bool(pairs) and plain and all(atom.kind in ("potential", "interaction") for _, atom in flow.terms)


def dense_direction(flow: Field, x: np.ndarray, w: np.ndarray, tau: float, r: np.ndarray):
    """−(I + τ∂∇_W F)⁻¹ r at x, `[n, d]`; None where I + τ∂∇_W F is not positive in ⟨u, v⟩ = Σ w_i u_i·v_i."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    root = np.sqrt(np.repeat(np.asarray(w, float), x.shape[1]))
    matrix = np.array(_derivative(flow)(x, w), dtype=float).reshape(x.size, x.size)
    matrix *= tau * root[:, None] / root
    matrix[np.diag_indices(x.size)] += 1.0
    try:
        factors = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    solved = cho_solve(factors, -root * np.asarray(r, float).ravel(), check_finite=False)
    direction = (solved / root).reshape(x.shape).astype(x.dtype)
    return direction if np.all(np.isfinite(direction)) else None


@program
def _derivative(flow: Field):
    """(x, w) → ∂(∇_W F)_i/∂x_j as `[n, d, n, d]`, compiled."""

    def derivative(x: Array, w: Array):
        n, d = x.shape
        own, others = jnp.zeros((n, d, d), x.dtype), jnp.zeros((n, n, d, d), x.dtype)
        for c, atom in flow.terms:
            if atom.kind == "potential":
                own += c * jax.vmap(jax.hessian(pointwise.scalar(atom.V)))(x)
            else:
                pair = _pair_hessian(pointwise.scalar(atom.W))
                others += c * jax.vmap(jax.vmap(pair, (None, 0)), (0, None))(x, x)
        others *= w[None, :, None, None]
        own += jnp.sum(others, axis=1)
        return (-others).at[jnp.arange(n), jnp.arange(n)].add(own).transpose(0, 2, 1, 3)

    return derivative


def _pair_hessian(W: Callable):
    hessian = jax.hessian(W)

    def pair(x: Array, y: Array):
        coincident = jnp.all(x == y)
        value = hessian(jnp.where(coincident, jnp.ones_like(x), x - y))
        return jnp.where(coincident, jnp.zeros_like(value), value)

    return pair
