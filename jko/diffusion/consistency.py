"""The consistency function of a probability flow: from any of its points to where its path begins."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from jko.diffusion.arguments import finite_outcome, known_times, within
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.noised_mixture import NoisedMixture
from jko.diffusion.schedule import Schedule
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import finite_array, positive_number


class ConsistencyFunction:
    """f(x, t), the point at time `end` of the path of the probability flow that passes x at t [SongEtAl2023].

    f(x_t, t) = f(x_s, s) along a path and f(x, end) = x; the image of p_t is p_end, so that f samples in one
    step. `law` is a `NoisedMixture`, or with its `schedule` any score(x, t), such as a learnt one. For one
    Gaussian f is affine, in closed form; else the ODE is solved, in steps of √t halved until they change no
    coordinate by more than `tolerance` times the largest.
    """

    def __init__(
        self,
        law: Callable | NoisedMixture,
        end: float,
        *,
        schedule: Schedule | None = None,
        tolerance: float = 1e-9,
    ):
        if isinstance(law, NoisedMixture):
            if schedule is not None and schedule is not law.schedule:
                raise ValueError("schedule: the law has its own, law.schedule: leave this out")
            score, schedule = law.score, law.schedule
        else:
            score = law
        score = checked_function("law", score)
        if not isinstance(schedule, Schedule):
            raise TypeError(f"schedule: a score needs its Schedule, got {type(schedule).__name__}")
        self.end, self.tolerance = positive_number("end", end), positive_number("tolerance", tolerance)
        self._last = schedule.end
        if self.end >= self._last:
            raise ValueError(
                f"end: expected a time before the last of the schedule, {self._last:g}, got {end:g}"
            )
        known = known_times(law)
        within("end", [self.end], known)
        self._last = self._last if known is None else min(self._last, max(known))
        self.closed_form = isinstance(law, NoisedMixture) and len(law.weights) == 1
        self._law, self._score = law, score
        solver = path_end(schedule.sde().probability_flow(score).velocity)
        self._solve = jax.jit(jax.vmap(solver, in_axes=(0, 0, None, None)))
        self.schedule, self.known_times = schedule, (self.end, self._last)

    def __call__(self, points: np.ndarray, t: float | np.ndarray) -> np.ndarray:
        """f at points `[n, d]` and a time, or one for each `[n]`, at least `end`, in float64."""
        points, t = finite_array("points", points), finite_array("t", t)
        if points.ndim != 2 or t.shape not in ((), (len(points),)):
            raise ValueError(
                f"points, t: expected points [n, d] and a time or [n], got shapes {points.shape}, {t.shape}"
            )
        if t.size and not self.end <= t.min() <= t.max() <= self._last:
            raise ValueError(
                f"t: expected times from end = {self.end:g} to {self._last:g}, got {t.min():g} to {t.max():g}"
            )
        d = getattr(self._law, "dimension", points.shape[1])
        if points.shape[1] != d:
            raise ValueError(f"points: expected {d} dimensions as the law has, got {points.shape[1]}")
        probe(self._score, d)
        t = np.broadcast_to(t, len(points))
        with jax.enable_x64(True):
            if self.closed_form:
                return np.asarray(jax.jit(jax.vmap(self._affine))(jnp.asarray(points), jnp.asarray(t)))
            return self._refined(jnp.asarray(points), jnp.asarray(t))

    def _affine(self, x, t):
        law, end = self._law, jnp.asarray(self.end)
        (a, s), (b, r) = ((law.schedule.alpha(u), law.schedule.sigma(u)) for u in (t, end))
        axes, variances, mean = law._axes[0], law._variances[0], law.means[0]
        stretch = jnp.sqrt((b**2 * variances + r**2) / (a**2 * variances + s**2))
        return b * mean + axes @ (stretch * (axes.T @ (x - a * mean)))

    def _refined(self, points: Array, t: Array):
        steps, coarse = (
            TOLERANCES.fewest_steps,
            np.asarray(self._solve(points, t, self.end, TOLERANCES.fewest_steps)),
        )
        while steps < TOLERANCES.most_steps:
            steps *= 2
            fine = np.asarray(self._solve(points, t, self.end, steps))
            finite_outcome("law", fine[None], [self.end], "else take a later end")
            change = np.abs(fine - coarse).max(initial=0.0) / 15.0
            if change <= self.tolerance * np.abs([fine, points]).max(initial=0.0):
                return fine + (fine - coarse) / 15.0
            coarse = fine
        raise ValueError(
            f"tolerance: {steps} steps change the points by {change:.1e}: take more than {self.tolerance:g}, "
            "or a later end"
        )


def path_end(velocity: Callable):
    """(x, t, end, steps) ↦ the point at the end by the classical Runge–Kutta method, in steps even in √t."""

    def one(x: Array, t: Array, end: Array, steps: Array):
        root = jnp.sqrt(t)
        length = (jnp.sqrt(end) - root) / steps

        def slope(x: Array, r: Array):
            return 2.0 * r * velocity(x, r**2)

        def step(k: Array, x: Array):
            r = root + k * length
            first = slope(x, r)
            second = slope(x + 0.5 * length * first, r + 0.5 * length)
            third = slope(x + 0.5 * length * second, r + 0.5 * length)
            fourth = slope(x + length * third, r + length)
            return x + length / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)

        return lax.fori_loop(0, steps, step, x)

    return one
