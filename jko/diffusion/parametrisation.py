"""What a network may predict: noise, data, score or velocity; each determines the others."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jko.diffusion.arguments import instance, precision
from jko.diffusion.schedule import Schedule
from jko.errors import one_of, shown

PARAMETRISATIONS = ("noise", "data", "score", "velocity")


def convert(prediction, x, t, schedule: Schedule, source: str, target: str):
    """A prediction at xₜ = x `[..., d]` from one parametrisation into another, exactly.

    With xₜ = αx₀ + σε: score = −ε̂/σ, x̂₀ = (x + σ² score)/α, and the velocity of the probability flow
    v = (α′/α)x − ½g² score [SalimansHo2022]. The four are "noise" ε̂, "data" x̂₀, "score" and "velocity".
    At one time; numpy's float64 in and out, else jax in, jax out, in its precision (float32 loses digits
    where σ is small: α x̂₀ − x cancels). Raises ValueError for a prediction that has not the shape of x, and
    for a time at which α or σ is 0 and they do not determine each other.
    """
    one_of("source", source, PARAMETRISATIONS)
    one_of("target", target, PARAMETRISATIONS)
    instance("schedule", schedule, Schedule)
    if all(isinstance(a, np.ndarray) and a.dtype == np.float64 for a in (prediction, x)):
        with jax.enable_x64(True):
            return np.asarray(_converted(prediction, x, t, schedule, source, target))
    return _converted(prediction, x, t, schedule, source, target)


def _converted(prediction, x, t, schedule, source, target):
    prediction, x = _array("prediction", prediction), _array("x", x)
    if prediction.shape != x.shape:
        raise ValueError(f"prediction: expected the shape of x, {x.shape}, got {prediction.shape}")
    t = schedule.time(t)
    if source == target:
        return prediction
    a, s = schedule.alpha(t), schedule.sigma(t)
    if not isinstance(a * s, jax.core.Tracer) and not (a > 0 and s > 0):
        raise ValueError(
            f"t: expected α and σ to be positive, got {float(a):g} and {float(s):g} at t = {float(t):g}"
        )
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


def _array(name: str, value):
    try:
        array = jnp.asarray(value)
        if not jnp.issubdtype(array.dtype, jnp.complexfloating):
            return array.astype(precision(array))
    except (TypeError, ValueError):
        pass
    raise TypeError(f"{name}: expected an array of real numbers, got {shown(value)}")
