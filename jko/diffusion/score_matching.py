"""Denoising score matching: a network learns ∇log pₜ from noised data."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jko.diffusion.coupling import pool, spread_times
from jko.diffusion.network import Network
from jko.diffusion.regression import Fit
from jko.diffusion.samplers import even_times
from jko.diffusion.schedule import Schedule
from jko.errors import seed_number

_POOL, _NODES = 50_000, 400


def score_matching(
    data,
    schedule: Schedule,
    *,
    start: float = 0.01,
    end: float = 1.0,
    gradient: bool = True,
    steps: int = 4000,
    batch: int = 256,
    width: int = 64,
    depth: int = 3,
    rate: float = 5e-3,
    seed: int = 0,
    progress: bool | None = None,
) -> LearntScore:
    """∇log pₜ of xₜ = αx₀ + σε, x₀ from `data`, for t from `start` to `end`, learnt from draws [Vincent2011].

    The noise that is best predicted, argmin E|ε̂(xₜ, t) − ε|², is −σ∇log pₜ; the network adds to what a
    Gaussian of the data's mean and spread would predict, in units of what that leaves [KarrasEtAl2022], at
    times even in log(α/σ). With `gradient` it is the gradient of a function, as a score is. `data` is
    Particles, a Density or a Gaussian; the rest as for `flow_matching`.
    """
    if not isinstance(schedule, Schedule):
        raise TypeError(f"schedule: expected a Schedule, got {type(schedule).__name__}")
    seed = seed_number("seed", seed)
    fit = Fit(gradient=gradient, width=width, depth=depth, steps=steps, batch=batch, rate=rate, seed=seed)
    points = pool("data", data, _POOL, seed + 1)
    score = LearntScore(schedule, even_times(schedule, end, start, _NODES)[::-1], points)
    origin = np.zeros(points.shape[1])
    score.network = fit.run(score.draw, origin, 1.0, progress, "score matching")
    return score


class LearntScore:
    """∇log pₜ(x) as a jax function `score(x, t)` of a point `[d]` and a time; see `score_matching`.

    `network` holds its layers, and as `losses` `[steps]` those of its training, 1 for the Gaussian's guess.
    """

    network: Network

    def __init__(self, schedule: Schedule, times: np.ndarray, points: np.ndarray):
        self.schedule, self.times, self._points = schedule, times, points
        self._mean = points.mean(axis=0)
        self._variance = float(np.mean(np.var(points, axis=0))) or 1.0

    def __call__(self, x, t):
        if np.shape(x) != self._mean.shape:
            raise ValueError(f"x: expected a point of shape [{self._mean.size}], got {list(np.shape(x))}")
        first, last = self.times[[0, -1]]
        if not isinstance(t, jax.core.Tracer) and not first <= t <= last:
            raise ValueError(f"t: expected a time from {first:g} to {last:g}, got {t:g}")
        x = jnp.asarray(x)
        t = jnp.asarray(t, x.dtype)
        a, s = self.schedule.alpha(t), self.schedule.sigma(t)
        size = self._size(a, s)
        z = (x - a * jnp.asarray(self._mean, x.dtype)) / size
        times = jnp.asarray(self.times, x.dtype)
        clock = jnp.interp(t, times, jnp.linspace(0.0, 1.0, len(times), dtype=x.dtype))
        return -z / size - a * self._variance**0.5 / (size * s) * self.network(z, clock)

    def draw(self, generator, shape):
        """(z, clock, target): noised data, and its noise beyond the Gaussian's guess, in units of one."""
        clock = spread_times(generator, shape)
        t = np.interp(clock, np.linspace(0.0, 1.0, len(self.times)), self.times)
        a, s = (
            np.asarray(jax.vmap(f)(t.ravel())).reshape(*shape, 1)
            for f in (self.schedule.alpha, self.schedule.sigma)
        )
        points = self._points[generator.integers(len(self._points), size=shape)]
        noise, size = generator.normal(size=points.shape), self._size(a, s)
        z = (a * (points - self._mean) + s * noise) / size
        return z, clock, (noise - s / size * z) * size / (a * self._variance**0.5)

    def _size(self, a, s):
        """The spread of a coordinate of xₜ."""
        return (a**2 * self._variance + s**2) ** 0.5
