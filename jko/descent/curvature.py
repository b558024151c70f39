"""The largest curvature of a drift at a cloud, by products with its derivative."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.programs import kept


def host_product(flow, x, w):
    """v ↦ the derivative of the flow's gradient along v, where its sums are taken outside jax; else None."""
    return (lambda v: flow.compiled_product(x, w, v)) if flow.native(x) else None


def largest_curvature(gradient, x, w, product=None, iterations: int = 12) -> float:
    """An estimate from below of the largest eigenvalue of the Hessian of F at x, 0 where none is positive.

    `gradient(x, w)` is ∇_W F; its derivative is symmetric in ⟨u, v⟩ = Σ w_i u_i·v_i, and Lanczos' method with
    `iterations` products finds the end of its spectrum [GolubVanLoan2013, section 10.1]. A `product` of the
    derivative with v `[n, d]`, on the host, stands in for jax's.
    """
    start = np.random.default_rng(0).normal(size=x.shape).astype(x.dtype)
    run = _lanczos(gradient, iterations) if product is None else partial(_host_lanczos, product, iterations)
    diagonal, off = (np.asarray(a, dtype=float) for a in run(x, w, start))
    if not np.all(np.isfinite(diagonal)):
        return float("inf")
    usable = len(diagonal)
    tiny = np.flatnonzero(off <= 1e-6 * max(abs(diagonal).max(), 1e-300))
    if tiny.size:
        usable = int(tiny[0]) + 1
    matrix = np.diag(diagonal[:usable]) + np.diag(off[: usable - 1], 1) + np.diag(off[: usable - 1], -1)
    return max(0.0, float(np.linalg.eigvalsh(matrix)[-1]))


def spectral_radius(velocity, x, w, iterations: int = 16) -> float:
    """An estimate of the largest |eigenvalue| of the derivative of velocity(x, w) in x, by powers.

    For velocities that are no gradients; exact in the limit of many iterations where one eigenvalue leads.
    """

    @jax.jit
    def run(x, w, start):
        def step(_, carry):
            v, _ = carry
            product = jax.jvp(lambda y: velocity(y, w), (x,), (v,))[1]
            size = jnp.sqrt(jnp.sum(product**2))
            return product / jnp.where(size > 0, size, 1), size

        first = start / jnp.sqrt(jnp.sum(start**2))
        return lax.fori_loop(0, iterations, step, (first, jnp.zeros((), x.dtype)))[1]

    size = float(run(x, w, np.random.default_rng(0).normal(size=x.shape).astype(x.dtype)))
    return size if np.isfinite(size) else float("inf")


@kept
def _lanczos(gradient, iterations):
    def run(x, w, start):
        def norm(v):
            return jnp.sqrt(jnp.sum(w[:, None] * v * v))

        def step(carry, _):
            before, now, beta = carry
            product = jax.jvp(partial(gradient, w=w), (x,), (now,))[1]
            alpha = jnp.sum(w[:, None] * product * now)
            rest = product - alpha * now - beta * before
            size = norm(rest)
            following = jnp.where(size > 0, rest / jnp.where(size > 0, size, 1), 0)
            return (now, following, size), (alpha, size)

        first = start / norm(start)
        return lax.scan(
            step, (jnp.zeros_like(first), first, jnp.zeros((), x.dtype)), None, length=iterations
        )[1]

    return jax.jit(run)


def _host_lanczos(product, iterations, x, w, start):
    def norm(v):
        return np.sqrt(np.sum(w[:, None] * v * v, dtype=float))

    now, before, beta = start / norm(start), np.zeros_like(start), 0.0
    diagonal, off = [], []
    for _ in range(iterations):
        image = product(now.astype(x.dtype))
        alpha = np.sum(w[:, None] * image * now, dtype=float)
        rest = image - alpha * now - beta * before
        beta = norm(rest)
        before, now = now, rest / beta if beta > 0 else np.zeros_like(rest)
        diagonal.append(alpha)
        off.append(beta)
    return diagonal, off
