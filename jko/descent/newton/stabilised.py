"""An explicit method of second order whose stable step grows with the square of its stages."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jax import lax

from jko.descent.fields.program import program

LEAST_STAGES = 2


def stages_for(step_times_curvature: float) -> int:
    """The least s with τL ≤ (s² + s − 2)/2, the real stability interval of `rkl2`."""
    return max(LEAST_STAGES, math.ceil(0.5 * (math.sqrt(9.0 + 8.0 * step_times_curvature) - 1.0) - 1e-9))


def stable_product(stages: int) -> float:
    """The largest τL that `stages` stages carry."""
    return 0.5 * (stages**2 + stages - 2)


@program
def rkl2(flow):
    """A compiled map (x, w, τ, stages) → (x⁺, F(α⁺)) of ẋ = −∇_W F(α)(x): RKL2 [MeyerBalsaraAslam2014]."""

    def step(x, w, tau: float, stages):
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

    return step


def rkl2_on_the_host(flow, x, w, tau: float, stages: int):
    """The same map (x, w, τ, stages) → (x⁺, F(α⁺)) for a flow of numpy arrays."""
    w1 = 4.0 / (stages * stages + stages - 2.0) if stages else 0.0
    before, now, speed = x, x, None
    for j in range(1, stages + 1):
        push = (-tau * flow.gradient(now, w)).astype(x.dtype)
        if j == 1:
            speed = push
            before, now = x, x + (w1 / 3.0) * push
            continue
        mu = (2.0 * j - 1.0) / j * _weight(j) / _weight(j - 1)
        nu = -(j - 1.0) / j * _weight(j) / _weight(j - 2)
        gain = mu * w1 * (push - (1.0 - _weight(j - 1)) * speed)
        before, now = now, (mu * now + nu * before + (1.0 - mu - nu) * x + gain).astype(x.dtype)
    finite = np.all(np.isfinite(now))
    return now, flow.energy(now, w) if finite else math.nan


def _weight(j: int) -> float:
    return 1.0 / 3.0 if j < 2 else (j * j + j - 2.0) / (2.0 * j * (j + 1.0))


def _b(j):
    return jnp.where(j < 2.0, 1.0 / 3.0, (j * j + j - 2.0) / (2.0 * j * (j + 1.0)))
