"""Denoising score matching: a network learns ∇log pₜ from noised data."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jko.diffusion.arguments import moment, point
from jko.diffusion.coupling import pool, spread_times
from jko.diffusion.network import Network, spread_of_axes
from jko.diffusion.samplers import even_times
from jko.diffusion.schedule import Schedule
from jko.diffusion.tolerances import TOLERANCES
from jko.diffusion.training import Training


def score_matching(
    data,
    schedule: Schedule,
    *,
    start: float = 0.01,
    end: float = 1.0,
    training: Training | None = None,
    progress: bool | None = None,
) -> LearntScore:
    """∇log pₜ of xₜ = αx₀ + σε, x₀ from `data`, for t from `start` to `end`, learnt from draws [Vincent2011].

    The noise that is best predicted, argmin E|ε̂(xₜ, t) − ε|², is −σ∇log pₜ; the network adds to what a
    Gaussian of the data's mean and spread would predict, in units of what that leaves [KarrasEtAl2022], at
    times even in log(α/σ). Of a gradient, the default of `training`, it is conservative as a score is. `data`
    is Particles, a Density or a Gaussian. Raises TypeError or ValueError for data of a mass other than 1,
    times outside the schedule, or a training that diverges.
    """
    training = Training.given(training)
    points = pool("data", data, TOLERANCES.pool, training.seed + 1)
    times = even_times(schedule, end, start, TOLERANCES.time_nodes)[::-1]
    if times[0] > times[-1]:
        raise ValueError(f"start, end: expected start before end, got {start:g} and {end:g}")
    score = LearntScore(schedule, times, points)
    origin = np.zeros(points.shape[1])
    score.network = training.fit(score.draw, origin, 1.0, progress, "score matching")
    return score


class LearntScore:
    """∇log pₜ(x) as a jax function `score(x, t)` of a point `[d]` and a time; see `score_matching`.

    Outside the times of its training a known time is refused, and a traced one gives NaN. `network` holds
    its layers, and as `losses` `[steps]` those of its training, 1 for the Gaussian's guess.
    """

    network: Network

    def __init__(self, schedule: Schedule, times: np.ndarray, points: np.ndarray):
        self.schedule, self.times, self._points = schedule, times, points
        self._mean = points.mean(axis=0)
        self._variance = np.square(spread_of_axes(np.var(points, axis=0)))

    @property
    def known_times(self):
        """The first and the last time of the training."""
        return self.times[0], self.times[-1]

    def __call__(self, x, t):
        x = point("x", x, self._mean.size)
        t = moment(t, *self.known_times, known="a time")
        t = t.astype(x.dtype)
        a, s = self.schedule.alpha(t), self.schedule.sigma(t)
        variance = jnp.asarray(self._variance, x.dtype)
        size = (a**2 * variance + s**2) ** 0.5
        z = (x - a * jnp.asarray(self._mean, x.dtype)) / size
        times = jnp.asarray(self.times, x.dtype)
        clock = jnp.interp(t, times, jnp.linspace(0.0, 1.0, len(times), dtype=x.dtype))
        return -z / size - a * variance**0.5 / (size * s) * self.network(z, clock)

    def draw(self, generator, shape):
        """(z, clock, target): noised data, and its noise beyond the Gaussian's guess, in units of one."""
        clock = spread_times(generator, shape)
        t = np.interp(clock, np.linspace(0.0, 1.0, len(self.times)), self.times)
        a, s = (
            np.asarray(jax.vmap(f)(t.ravel())).reshape(*shape, 1)
            for f in (self.schedule.alpha, self.schedule.sigma)
        )
        points = self._points[generator.integers(len(self._points), size=shape)]
        noise, size = generator.normal(size=points.shape), np.sqrt(a**2 * self._variance + s**2)
        z = (a * (points - self._mean) + s * noise) / size
        return z, clock, (noise - s / size * z) * size / (a * self._variance**0.5)
