"""From noise to data along the probability flow of a schedule, by few steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.programs import kept
from jko.diffusion.arguments import (
    cloud,
    common_times,
    finite_number,
    finite_outcome,
    instance,
    known_times,
    within,
)
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.parametrisation import convert
from jko.diffusion.schedule import Schedule
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import one_of, whole_number
from jko.measures import Particles

METHODS = ("euler", "heun", "dpm-solver-1", "dpm-solver-2")


def sample(
    score, schedule: Schedule, particles: Particles, start: float, end: float, *, steps: int, method: str
) -> Particles:
    """Particles at time `start` carried by the probability flow of the schedule to time `end`, in float64.

    The steps are even in λ = log(α/σ). "euler" and "heun" integrate dx/dt = (α′/α)x − ½g² score, orders 1
    and 2; "dpm-solver-1" (DDIM) and "dpm-solver-2" solve its linear part exactly, and the noise ε̂ = −σ score
    in e^{−λ}dλ to orders 1 and 2 [LuEtAl2022]. Raises ValueError for times outside the schedule or at which
    λ is not finite and falling or the score is not known, and for a score that is not finite.
    """
    one_of("method", method, METHODS)
    dimension, known = cloud("particles", particles).dimension, known_times(score)
    score = checked_function("score", score)
    probe(score, dimension)
    half = 2 * whole_number("steps", steps)
    with jax.enable_x64(True):
        # every other time is the middle of a step in λ
        times = even_times(schedule, start, end, half)
        within("start, end", times, known)
        nodes = _padded(np.stack([times[:-1:2], times[1::2], times[2::2]], axis=1))
        start_positions = jnp.asarray(particles.positions, jnp.float64)
        final = _compiled(score, schedule, method)(start_positions, nodes, half // 2)
        finite_outcome("score", np.asarray(final)[None], times[-1:], "else take more steps")
        return Particles(np.asarray(final), particles.weights)


def even_times(schedule: Schedule, start: float, end: float, steps: int) -> np.ndarray:
    """Times `[steps + 1]` from start to end, even in λ = log(α/σ), by bisection.

    Raises ValueError for times outside the schedule, or at which λ is not finite and falling.
    """
    instance("schedule", schedule, Schedule)
    start, end = finite_number("start", start), finite_number("end", end)
    for name, t in (("start", start), ("end", end)):
        if not 0.0 <= t <= schedule.end:
            raise ValueError(f"{name}: the schedule runs from t = 0 to {schedule.end:g}, got {t:g}")
    if start == end:
        raise ValueError(f"start, end: expected two times, got {start:g} twice")
    with jax.enable_x64(True):
        ends = _signal(schedule, np.array([start, end]))
        if not (np.all(np.isfinite(ends)) and (ends[1] - ends[0]) * (start - end) > 0):
            raise ValueError(
                f"start, end: log(α/σ) must be finite and fall with time, got {ends[0]:g} at {start:g} and "
                f"{ends[1]:g} at {end:g}: stay inside (0, {schedule.end:g})"
            )
        schedule.require_falling(min(start, end), max(start, end))
        wanted = np.linspace(ends[0], ends[1], whole_number("steps", steps) + 1)
        low, high = np.full(wanted.shape, min(start, end)), np.full(wanted.shape, max(start, end))
        for _ in range(TOLERANCES.time_halvings):
            middle = 0.5 * (low + high)
            early = _signal(schedule, middle) > wanted
            low, high = np.where(early, middle, low), np.where(early, high, middle)
    times = 0.5 * (low + high)
    times[0], times[-1] = start, end
    return times


def guided(conditional, unconditional, weight: float):
    """Classifier-free guidance: (1 − w)·unconditional + w·conditional [HoSalimans2021].

    w = 0 and w = 1 give the two laws. Another w does not sample p₀^{1−w}q₀^w, since the noised product is
    not the product of the noised: between Gaussians the guided law is known, and the tests hold this to it.
    """
    weight = finite_number("weight", weight)
    known = common_times(known_times(conditional), known_times(unconditional))
    towards, away = (
        checked_function("conditional", conditional),
        checked_function("unconditional", unconditional),
    )

    def score(x, t):
        return (1.0 - weight) * away(x, t) + weight * towards(x, t)

    score.known_times = known
    return score


@kept
def _compiled(score, schedule, method):
    step = _STEPS[method]
    batched = jax.vmap(score, in_axes=(0, None))

    def run(x, nodes, steps):
        return lax.fori_loop(0, steps, lambda k, x: step(batched, schedule, x, *nodes[k]), x)

    return jax.jit(run)


def _signal(schedule, times):
    return np.asarray(_compiled_signal(schedule)(_padded(times)))[: len(times)]


@kept
def _compiled_signal(schedule):
    return jax.jit(jax.vmap(schedule.log_signal_to_noise))


def _padded(rows):
    """The rows, and the last again up to a multiple of 512: one program serves any number of steps."""
    missing = -len(rows) % TOLERANCES.rows_at_once
    return jnp.asarray(np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]))


def _euler(score, schedule, x, start, middle, end):
    return x + (end - start) * convert(score(x, start), x, start, schedule, "score", "velocity")


def _heun(score, schedule, x, start, middle, end):
    first = convert(score(x, start), x, start, schedule, "score", "velocity")
    there = x + (end - start) * first
    second = convert(score(there, end), there, end, schedule, "score", "velocity")
    return x + 0.5 * (end - start) * (first + second)


def _exponential(schedule, x, noise, start, end):
    """x(end) where the predicted noise stays what it is."""
    jump = schedule.log_signal_to_noise(end) - schedule.log_signal_to_noise(start)
    carried = schedule.alpha(end) / schedule.alpha(start) * x
    return carried - schedule.sigma(end) * jnp.expm1(jump) * noise


def _first(score, schedule, x, start, middle, end):
    return _exponential(schedule, x, -schedule.sigma(start) * score(x, start), start, end)


def _second(score, schedule, x, start, middle, end):
    there = _exponential(schedule, x, -schedule.sigma(start) * score(x, start), start, middle)
    return _exponential(schedule, x, -schedule.sigma(middle) * score(there, middle), start, end)


_STEPS = dict(zip(METHODS, (_euler, _heun, _first, _second), strict=True))
