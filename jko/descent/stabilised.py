"""An explicit method of second order whose stable step grows with the square of its stages."""

from __future__ import annotations

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
from jax import lax

LEAST_STAGES = 2


def stages_for(step_times_curvature: float) -> int:
    """The least s with τL ≤ (s² + s − 2)/2, the real stability interval of `rkl2`."""
    return max(LEAST_STAGES, math.ceil(0.5 * (math.sqrt(9.0 + 8.0 * step_times_curvature) - 1.0) - 1e-9))


def stable_product(stages: int) -> float:
    """The largest τL that `stages` stages carry."""
    return 0.5 * (stages**2 + stages - 2)


@lru_cache(maxsize=64)
def rkl2(flow):
    """A compiled map (x, w, τ, stages) → (x⁺, F(α⁺)) of ẋ = −∇_W F(α)(x): RKL2 [MeyerBalsaraAslam2014]."""

    def step(x, w, tau, stages):
        s = stages.astype(x.dtype)
        w1 = 4.0 / (s * s + s - 2.0)

        def stage(j, carry):
            before, now, speed = carry
            push = -tau * flow.gradient(now, w)
            k, first = j.astype(x.dtype), j == 1
            speed = jnp.where(first, push, speed)
            mu = jnp.where(first, 1.0, (2.0 * k - 1.0) / k * _b(k) / _b(k - 1.0))
            nu = jnp.where(first, 0.0, -(k - 1.0) / k * _b(k) / _b(k - 2.0))
            weight = jnp.where(first, w1 / 3.0, mu * w1)
            past = jnp.where(first, 0.0, 1.0 - _b(k - 1.0))
            return now, mu * now + nu * before + (1.0 - mu - nu) * x + weight * (push - past * speed), speed

        moved = lax.fori_loop(1, stages + 1, stage, (x, x, jnp.zeros_like(x)))[1]
        return moved, flow.energy(moved, w)

    return jax.jit(step)


def _b(j):
    return jnp.where(j < 2.0, 1.0 / 3.0, (j * j + j - 2.0) / (2.0 * j * (j + 1.0)))
