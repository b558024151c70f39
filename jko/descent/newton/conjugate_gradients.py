"""The proximal step of a particle energy, by Newton's method with conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from functionals.array import Array
from jko.descent.fields.program import program
from jko.descent.tolerances import TOLERANCES


@program
def proximal_step(field, max_iterations: int, max_inner: int):
    """A compiled map (start, guess, w, tau, tolerance) → (x, relative residual, iterations, Φ) of a `Field`.

    Minimises Φ(x) = Σ w_i |x_i − start_i|²/(2τ) + F(x), whose stationary points are x = start − τ ∇_W F(x),
    from the guess on.
    Newton's directions come from conjugate gradients in ⟨u, v⟩ = Σ w_i u_i·v_i, cut at negative curvature
    [NocedalWright2006, Algorithm 7.1], with a backtracking line search on Φ. The residual |x − start + τ∇_W
    F(x)| is relative to |x − start|. Returns Φ as well.
    """

    def solve(start: Array, guess: Array, w: Array, tau: Array, tolerance: Array):
        def inner(u: Array, v: Array):
            return jnp.sum(w[:, None] * u * v)

        def objective(x: Array):
            return inner(x - start, x - start) / (2 * tau) + field.energy(x, w)

        def residual(x: Array):
            return x - start + tau * field.gradient(x, w)

        def relative(x: Array, r: Array):
            floor = 64 * jnp.finfo(x.dtype).eps * jnp.sqrt(inner(start, start))
            return jnp.sqrt(inner(r, r)) / (jnp.sqrt(inner(x - start, x - start)) + floor / tolerance)

        def iterate(state: tuple):
            x, r, value, error, count, _ = state
            forcing = jnp.minimum(0.1, jnp.sqrt(error))
            direction = _conjugate_gradients(
                lambda v: jax.jvp(residual, (x,), (v,))[1], -r, inner, forcing, max_inner
            )
            x, value, stuck = _line_search(objective, x, direction, value, inner(r, direction) / tau)
            r = residual(x)
            return x, r, value, relative(x, r), count + 1, stuck

        def unfinished(state: tuple):
            _, _, _, error, count, stuck = state
            return (error > tolerance) & (count < max_iterations) & ~stuck

        r = residual(guess)
        unsolved = jnp.where(inner(r, r) > 0, jnp.inf, 0.0).astype(start.dtype)
        first = (guess, r, objective(guess), unsolved, 0, False)
        x, _, value, error, count, _ = lax.while_loop(unfinished, iterate, first)
        return x, error, count, value

    return solve


def _conjugate_gradients(
    product: Callable, b: Array, inner: Callable, forcing: float | Array, max_inner: int
):
    """An inexact solution of A v = b, |b − Av| ≤ forcing |b|; stops at a direction of negative curvature."""
    target = forcing**2 * inner(b, b)

    def unfinished(state: tuple):
        _, _, _, rr, count, negative = state
        return (rr > target) & (count < max_inner) & ~negative

    def iterate(state: tuple):
        v, r, p, rr, count, _ = state
        image = product(p)
        curvature = inner(p, image)
        negative = curvature <= 0
        length = jnp.where(
            negative, jnp.where(count == 0, 1.0, 0.0), rr / jnp.where(negative, 1.0, curvature)
        )
        v, r = v + length * p, r - length * image
        new = inner(r, r)
        return v, r, r + (new / rr) * p, new, count + 1, negative

    return lax.while_loop(unfinished, iterate, (jnp.zeros_like(b), b, b, inner(b, b), 0, False))[0]


def _line_search(objective: Callable, x: Array, direction: Array, value: float | Array, slope: float | Array):
    """The first of x + direction/2^k that lowers the objective enough, up to its round-off."""
    slack = 8 * jnp.finfo(x.dtype).eps * jnp.abs(value)

    def accepted(length: Array, trial: Array):
        return trial <= value + TOLERANCES.sufficient_decrease * length * slope + slack

    def unfinished(state: tuple):
        length, trial, count = state
        return ~accepted(length, trial) & (count < TOLERANCES.halvings)

    def halve(state: tuple):
        length, _, count = state
        return length / 2, objective(x + length / 2 * direction), count + 1

    one = jnp.ones((), x.dtype)
    length, trial, _ = lax.while_loop(unfinished, halve, (one, objective(x + direction), 0))
    good = accepted(length, trial)
    return jnp.where(good, x + length * direction, x), jnp.where(good, trial, value), ~good
