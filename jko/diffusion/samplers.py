"""From noise to data along the probability flow of a schedule, or its reverse SDE, by few steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.programs import kept
from jko.diffusion import churn as churning
from jko.diffusion import multistep
from jko.diffusion.arguments import (
    cloud,
    common_times,
    finite_number,
    finite_outcome,
    instance,
    known_times,
    within,
)
from jko.diffusion.churn import Churn
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.multistep import MULTISTEP, Multistep
from jko.diffusion.parametrisation import convert
from jko.diffusion.schedule import Schedule
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import one_of, seed_number, whole_number
from jko.loops.random_keys import key_of
from jko.measures import Particles

METHODS = (
    "euler",
    "heun",
    "karras-heun",
    "dpm-solver-1",
    "dpm-solver-2",
    "dpm-solver++2m",
    "dpm-solver++3m",
    "unipc-1",
    "unipc-2",
    "sde-dpm-solver++1",
    "sde-dpm-solver++2m",
)
TWO_EVALUATIONS = ("heun", "karras-heun", "dpm-solver-2")


def sample(
    score,
    schedule: Schedule,
    particles: Particles,
    start: float,
    end: float,
    *,
    steps: int,
    method: str,
    seed: int = 0,
    churn: Churn | None = None,
) -> Particles:
    """Particles at time `start` carried from noise to data to time `end`, in float64.

    The steps are even in λ = log(α/σ). Along the probability flow: "euler" and "heun" integrate
    dx/dt = (α′/α)x − ½g² score, orders 1 and 2, and "karras-heun" d(x/α)/d(σ/α) = ε̂, order 2
    [KarrasEtAl2022]; "dpm-solver-1" (DDIM) and "dpm-solver-2" solve the linear part exactly, and the noise
    ε̂ = −σ score in e^{−λ}dλ to orders 1 and 2 [LuEtAl2022]; "dpm-solver++2m" and "dpm-solver++3m" the data
    x̂₀, from its last values, to orders 2 and 3 [LuEtAl2025]; "unipc-1" and "unipc-2" with a corrector, orders
    2 and 3 [ZhaoEtAl2023]. Along the reverse SDE, with noise of the `seed`: "sde-dpm-solver++1" and
    "sde-dpm-solver++2m", of weak orders 1 and 2; "karras-heun" with `churn`. `evaluations` says what each
    costs.

    Raises ValueError for times outside the schedule or at which λ is not finite and falling or the score is
    not known, and for a score that is not finite.
    """
    one_of("method", method, METHODS)
    dimension, known = cloud("particles", particles).dimension, known_times(score)
    score, key = checked_function("score", score), key_of(seed_number("seed", seed))
    if churn is not None and method != "karras-heun":
        raise ValueError(f'churn: expected with method="karras-heun" alone, got {method!r}: leave it out')
    if churn is not None:
        instance("churn", churn, Churn, ": take diffusion.Churn(amount=40), say")
    probe(score, dimension)
    steps = whole_number("steps", steps)
    if (churn or (method in MULTISTEP and MULTISTEP[method].noise)) and end > start:
        raise ValueError(
            f"start, end: noise is added on the way to earlier times alone, got {start:g} and {end:g}: take "
            "a method of the probability flow"
        )
    with jax.enable_x64(True):
        # every other time is the middle of a step in λ
        times = even_times(schedule, start, end, 2 * steps)
        within("start, end", times, known)
        x = jnp.asarray(particles.positions, jnp.float64)
        if method in MULTISTEP:
            final = _multistep(score, schedule, MULTISTEP[method], x, times[::2], key)
        elif method == "karras-heun":
            final = _churned(score, schedule, churn, x, times[::2], key)
        else:
            nodes = _padded(np.stack([times[:-1:2], times[1::2], times[2::2]], axis=1))
            final = _compiled(score, schedule, method)(x, nodes, steps)
        finite_outcome("score", np.asarray(final)[None], times[-1:], "else take more steps")
        return Particles(np.asarray(final), particles.weights)


def evaluations(method: str, steps: int) -> int:
    """How often `sample` evaluates the score at every particle: once or twice a step."""
    one_of("method", method, METHODS)
    return whole_number("steps", steps) * (2 if method in TWO_EVALUATIONS else 1)


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
        times = _times_of(schedule, wanted, start, end)
    times[0], times[-1] = start, end
    return times


def _times_of(schedule: Schedule, ratios: np.ndarray, start: float, end: float) -> np.ndarray:
    """The times between two at which λ is as wanted."""
    low, high = np.full(ratios.shape, min(start, end)), np.full(ratios.shape, max(start, end))
    for _ in range(TOLERANCES.time_halvings):
        middle = 0.5 * (low + high)
        early = _signal(schedule, middle) > ratios
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    return 0.5 * (low + high)


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


def _multistep(score, schedule, method: Multistep, x, times, key):
    """By the rows of an exponential multistep method at these times."""
    made = multistep.rows(method, times, _signal(schedule, times), *_parts(schedule, times))
    return multistep.program(score, method.noise > 0.0)(x, _padded_rows(made), len(times) - 1, key)


def _churned(score, schedule, setting: Churn | None, x, times, key):
    """By Heun's method in σ/α, with noise before each step where churn is asked for."""
    alpha, sigma = _parts(schedule, times)
    levels = sigma / alpha
    begin, inflation = levels[:-1] if setting is None else setting.levels(levels), 1.0
    if setting is not None:
        raised, inflation = begin > levels[:-1], setting.inflation
        earlier = _times_of(schedule, -np.log(begin), times[0], times[-1])
        begin_times = np.where(raised, np.where(begin >= levels[0], times[0], earlier), times[:-1])
    else:
        begin_times = times[:-1]
    first_alpha, first_sigma = _parts(schedule, begin_times)
    begin = first_sigma / first_alpha
    made = churning.Rows(
        np.stack([begin_times, times[1:]], axis=1),
        np.stack([first_sigma, sigma[1:]], axis=1),
        np.stack([first_alpha, alpha[1:]], axis=1),
        inflation * np.sqrt(np.maximum(begin**2 - levels[:-1] ** 2, 0.0)),
    )
    noisy = setting is not None
    final = churning.program(score, noisy)(x / alpha[0], _padded_rows(made), len(times) - 1, key)
    return alpha[-1] * final


def _signal(schedule, times):
    return np.asarray(_compiled_signal(schedule)(_padded(times)))[: len(times)]


@kept
def _compiled_signal(schedule):
    return jax.jit(jax.vmap(schedule.log_signal_to_noise))


def _parts(schedule, times):
    """α and σ at times `[m]`."""
    parts = _compiled_parts(schedule)(_padded(times))
    return [np.asarray(part)[: len(times)] for part in parts]


@kept
def _compiled_parts(schedule):
    return jax.jit(jax.vmap(lambda t: (schedule.alpha(t), schedule.sigma(t))))


def _padded_rows(rows):
    return type(rows)(*map(_padded, rows))


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


def _second(score, schedule, x, start, middle, end):
    there = _exponential(schedule, x, -schedule.sigma(start) * score(x, start), start, middle)
    return _exponential(schedule, x, -schedule.sigma(middle) * score(there, middle), start, end)


_STEPS = {"euler": _euler, "heun": _heun, "dpm-solver-2": _second}
