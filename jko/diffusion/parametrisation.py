"""What a network may predict: noise, data, score or velocity; each determines the others."""

from __future__ import annotations

import jax.numpy as jnp

from jko.errors import one_of

PARAMETRISATIONS = ("noise", "data", "score", "velocity")


def convert(prediction, x, t, schedule, source: str, target: str):
    """A prediction at xₜ = x `[..., d]` from one parametrisation into another, exactly.

    With xₜ = αx₀ + σε: score = −ε̂/σ, x̂₀ = (x + σ² score)/α, and the velocity of the probability flow
    v = (α′/α)x − ½g² score [SalimansHo2022]. The four are "noise" ε̂, "data" x̂₀, "score" and "velocity".
    jax in, jax out; σ(t) > 0 and g(t) > 0 are needed where they divide.
    """
    one_of("source", source, PARAMETRISATIONS)
    one_of("target", target, PARAMETRISATIONS)
    if source == target:
        return prediction
    t = jnp.asarray(t, jnp.result_type(x, jnp.float32))
    a, s = schedule.alpha(t), schedule.sigma(t)
    rate, g2 = schedule.rate(t), schedule.squared_noise(t)
    to_score = {
        "noise": lambda: -prediction / s,
        "data": lambda: (a * prediction - x) / s**2,
        "score": lambda: prediction,
        "velocity": lambda: 2.0 * (rate * x - prediction) / g2,
    }
    score = to_score[source]()
    from_score = {
        "noise": lambda: -s * score,
        "data": lambda: (x + s**2 * score) / a,
        "score": lambda: score,
        "velocity": lambda: rate * x - 0.5 * g2 * score,
    }
    return from_score[target]()
