"""The classical Runge–Kutta step."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax

from functionals.array import Array


def classical_step(
    field: Callable, x: Array, t: Array | float, dt: Array | float, *, unroll: bool = False
) -> tuple[Array, Array]:
    """(x(t + dt), field(x, t)) of dx/dt = field(x, t), of fourth order in dt, which may be negative.

    A loop over the stages, so that a field, which may be a network with its derivatives, is compiled once; or
    `unroll`: a gradient through the steps then takes three quarters of the time.
    """

    def stage(carry: tuple, node: Array):
        k, total = carry
        k = field(x + dt * node * k, t + dt * node)
        return (k, total + jnp.where(node == 0.5, 2.0, 1.0) * k), k

    zero, nodes = jnp.zeros_like(x), jnp.array([0.0, 0.5, 0.5, 1.0], x.dtype)
    (_, total), slopes = lax.scan(stage, (zero, zero), nodes, unroll=unroll)
    return x + dt / 6.0 * total, slopes[0]
