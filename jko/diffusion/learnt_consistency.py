"""Consistency models: a network learns the consistency function of a probability flow."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.programs import kept
from jko.diffusion.arguments import cloud, finite_number, known_times, within
from jko.diffusion.consistency import ConsistencyFunction, path_end
from jko.diffusion.coupling import pool, spread_times
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.network import initial_layers, plain
from jko.diffusion.samplers import even_times
from jko.diffusion.schedule import Schedule
from jko.diffusion.tolerances import TOLERANCES
from jko.diffusion.training import Training
from jko.errors import finite_array, seed_number, shown, whole_number
from jko.measures import Measure, Particles


def consistency_distillation(
    teacher: Callable,
    data: Measure,
    schedule: Schedule,
    *,
    start: float = 1.0,
    end: float = 0.01,
    intervals: tuple[int, int] = (32, 32),
    training: Training | None = None,
    progress: bool | None = None,
) -> LearntConsistency:
    """The consistency function of the flow of a score, learnt along steps of its ODE [SongEtAl2023].

    `teacher(x, t)` is the score, exact or learnt, a jax function; the earlier of two neighbouring points of a
    path is made from the later one, xₜ of the `data`, by one Runge–Kutta step of order 4. The rest is as in
    `consistency_training`, without its error: what remains of the step is its fourth power.
    Raises TypeError or ValueError as that does, and for a teacher that is no score or not known at the times.
    """
    known, score = known_times(teacher), checked_function("teacher", teacher)
    model, training = _prepared(data, schedule, start, end, intervals, training)
    within("start, end", [start, end], known)
    probe(score, model.dimension)
    step = _teacher_step(score, schedule)

    def earlier(x: np.ndarray, late: np.ndarray, early: np.ndarray, origin: np.ndarray, generator):
        with jax.enable_x64(True):
            flat = x.reshape(-1, x.shape[-1]), late.ravel(), early.ravel()
            return np.asarray(step(*map(jnp.asarray, flat))).reshape(x.shape)

    return model.fitted(earlier, intervals, training, progress, "consistency distillation")


def consistency_training(
    data: Measure,
    schedule: Schedule,
    *,
    start: float = 1.0,
    end: float = 0.01,
    intervals: tuple[int, int] = (10, 640),
    training: Training | None = None,
    progress: bool | None = None,
) -> LearntConsistency:
    """The consistency function of the flow from noise to `data`, learnt from draws alone [SongEtAl2023].

    With α₀, σ₀ at `end` and t between it and `start`,

        f(x, t) = g(x, t) + c(t) F(x, t),    c = α₀s (σ/α − σ₀/α₀)/√(s² + (σ/α)²),

    F a plain network (`gradient` of `training` is not read) and g the consistency function of a Gaussian of
    the data's mean and spread s: f(x, end) = x whatever the weights. At neighbouring times τ < t, even in
    log(α/σ), it minimises E|f(xₜ, t) − f⁻(x_τ, τ)|²/c(t)², f⁻ not differentiated. With x̂₀ the mean of x₀
    given xₜ over the batch and 2048 further draws, x_τ = α_τx̂₀ + σ_τ(xₜ − αₜx̂₀)/σₜ; over one draw it is the
    same x₀ under the same noise, as first proposed, and the mean takes away most of its variance
    [XuTongJaakkola2023]. The error is of the order of the interval. The intervals are doubled in equal shares
    of the training from the first to the last of `intervals` [SongDhariwal2024]; f⁻ has the weights of f, not
    their average, as there.

    `data` is Particles, a Density or a Gaussian. Raises TypeError or ValueError for data of a mass other than
    1, times outside the schedule, intervals that are no two whole numbers in order, or a training that
    diverges.
    """
    model, training = _prepared(data, schedule, start, end, intervals, training)

    def earlier(x: np.ndarray, late: np.ndarray, early: np.ndarray, origin: np.ndarray, generator):
        (a, s), (b, r) = model.parts(late), model.parts(early)
        guess = model.posterior_mean(
            x, a, s, np.concatenate([origin, model.drawn(generator, (len(x), TOLERANCES.others))], axis=1)
        )
        return b * guess + r / s * (x - a * guess)

    return model.fitted(earlier, intervals, training, progress, "consistency training")


def consistency_sample(
    function: ConsistencyFunction | LearntConsistency,
    particles: Particles,
    times: float | tuple[float, ...],
    *,
    seed: int = 0,
) -> Particles:
    """Particles of xₜ at the first of `times`, carried to data by as many evaluations [SongEtAl2023].

    f(x, t₁), and for each further time, which must fall, noise anew from the law of the schedule,
    xₜ = α/α₀ x + √(σ² − (α/α₀)²σ₀²) ε with α₀, σ₀ at the function's end, and f(xₜ, t): with the exact f each
    has the law at the end. Raises ValueError for times that do not fall or at which f is not known.
    """
    if not isinstance(function, ConsistencyFunction | LearntConsistency):
        raise TypeError(
            f"function: expected a ConsistencyFunction or a learnt one, got {type(function).__name__}"
        )
    x, generator = cloud("particles", particles).positions, np.random.default_rng(seed_number("seed", seed))
    moments = np.atleast_1d(finite_array("times", times))
    if moments.ndim != 1 or not moments.size or np.any(np.diff(moments) >= 0.0):
        raise ValueError(f"times: expected one time or more that fall, got {shown(moments.tolist())}")
    alpha_end, sigma_end = function.schedule.at(function.end)
    x = function(x, moments[0])
    for t in moments[1:]:
        alpha, sigma = function.schedule.at(t)
        share = alpha / alpha_end
        spread = np.sqrt(max(sigma**2 - (share * sigma_end) ** 2, 0.0))
        x = function(share * x + spread * generator.normal(size=x.shape), t)
    return Particles(x, particles.weights)


class LearntConsistency:
    """A learnt f(x, t), the point at time `end` of the path through x at t; see `consistency_training`.

    `losses` `[steps]` are those of its training, and `known_times` the times at which it is known.
    """

    layers: tuple
    losses: np.ndarray

    def __init__(self, points: np.ndarray, schedule: Schedule, start: float, end: float):
        self.schedule, self.end = schedule, end
        self.known_times = (end, start)
        self._times = even_times(schedule, start, end, TOLERANCES.time_nodes)[::-1]
        self._points, self.dimension = points, points.shape[1]
        self._mean = points.mean(axis=0)
        self._spread = float(np.sqrt(np.var(points, axis=0).mean())) or 1.0
        self._end_parts = schedule.at(end)

    def __call__(self, points: np.ndarray, t: float | np.ndarray) -> np.ndarray:
        """f at points `[n, d]` and a time, or one for each `[n]`, between the known ones, in float64."""
        points, t = finite_array("points", points), finite_array("t", t)
        if points.ndim != 2 or points.shape[1] != self.dimension or t.shape not in ((), (len(points),)):
            raise ValueError(
                f"points, t: expected points [n, {self.dimension}] and a time or [n], got shapes "
                f"{points.shape}, {t.shape}"
            )
        within("t", t if t.size else [self.end], self.known_times)
        base, factor, z, clock = self.frame(points, np.broadcast_to(t, len(points)))
        return base + factor * np.asarray(_network(self.layers, z, clock), float)

    def source(self, n: int, seed: int) -> Particles:
        """n draws of the Gaussian of the data's mean and spread under the noise of the first time."""
        generator = np.random.default_rng(seed_number("seed", seed))
        alpha, sigma = self.schedule.at(self.known_times[1])
        noise = generator.normal(size=(whole_number("n", n), self.dimension))
        return Particles(alpha * self._mean + np.hypot(alpha * self._spread, sigma) * noise)

    def sample(self, n: int, seed: int, *, times: tuple[float, ...] = ()) -> Particles:
        """n samples by one evaluation at the first time, and one at each of further `times`, which fall."""
        times = (self.known_times[1], *times)
        return consistency_sample(self, self.source(n, seed), times, seed=seed + 1)

    def parts(self, t: np.ndarray) -> list[np.ndarray]:
        """α and σ `[…, 1]` at times `[…]`, in float64."""
        with jax.enable_x64(True):
            made = _parts(self.schedule)(jnp.asarray(t, float))
            return [np.asarray(part)[..., None] for part in made]

    def frame(self, x: np.ndarray, t: np.ndarray):
        """(g, c, z, clock) at points `[…, d]` and times `[…]`: f = g + c F(z, clock)."""
        alpha, sigma = self.parts(t)
        first, noise = self._end_parts
        ratio, end_ratio, spread = sigma / alpha, noise / first, self._spread
        size = np.hypot(alpha * spread, sigma)
        z = (x - alpha * self._mean) / size
        base = first * self._mean + np.hypot(first * spread, noise) * z
        factor = first * spread * (ratio - end_ratio) / np.hypot(spread, ratio)
        clock = np.interp(t, self._times, np.linspace(0.0, 1.0, len(self._times)))
        return base, factor, z, clock

    def pairs(self, generator, intervals: np.ndarray, batch: int, earlier: Callable):
        """(x, t, x before, t before) `[rows, batch, …]` at neighbours of so many intervals in each row."""
        shape = len(intervals), batch
        n = np.minimum(np.floor(spread_times(generator, shape) * intervals[:, None]), intervals[:, None] - 1)
        nodes = np.linspace(0.0, 1.0, len(self._times))
        late, early = (np.interp((n + k) / intervals[:, None], nodes, self._times) for k in (1, 0))
        origin = self.drawn(generator, shape)
        alpha, sigma = self.parts(late)
        x = alpha * origin + sigma * generator.normal(size=origin.shape)
        return x, late, earlier(x, late, early, origin, generator), early

    def drawn(self, generator, shape: tuple) -> np.ndarray:
        """Points of the data `[*shape, d]`, drawn with replacement."""
        return self._points[generator.integers(len(self._points), size=shape)]

    def posterior_mean(self, x: np.ndarray, alpha: np.ndarray, sigma: np.ndarray, data: np.ndarray):
        """E[x₀ | xₜ = x] over the data of each row: x `[rows, batch, d]`, data `[rows, n, d]`, in float64."""
        mean, spread = self._mean, self._spread
        parts = (x - alpha * mean) / spread, (data - mean) / spread, alpha, sigma / spread
        return mean + spread * np.asarray(
            _posterior_mean(*(np.asarray(part, np.float32) for part in parts)), float
        )

    def compared(self, x: np.ndarray, late: np.ndarray, before: np.ndarray, early: np.ndarray) -> tuple:
        """What the loss takes of pairs: both places, (g − g⁻)/c and c⁻/c."""
        base, factor, z, clock = self.frame(x, late)
        base_before, factor_before, z_before, clock_before = self.frame(before, early)
        return z, clock, z_before, clock_before, (base - base_before) / factor, factor_before / factor

    def fitted(self, earlier: Callable, intervals: tuple, training: Training, progress, label: str):
        """This function with layers that make it agree on pairs."""

        def draw(generator, shape: tuple, share: np.ndarray):
            return self.compared(*self.pairs(generator, doubled(intervals, share), shape[1], earlier))

        d = self.dimension
        layers = initial_layers(d, d, training.width, training.depth, training.seed)
        self.layers, self.losses = training.minimise(disagreement, draw, layers, progress, label)
        if np.median(self.losses[-TOLERANCES.block :]) > TOLERANCES.worse * max(1.0, self.losses[0]):
            raise ValueError(f"rate: the training diverged at {training.rate:g}: take a smaller one")
        return self


def doubled(intervals: tuple[int, int], share: np.ndarray) -> np.ndarray:
    """The number of intervals after these parts of a training: doubled in equal shares up to the last."""
    first, last = intervals
    stages = np.ceil(np.log2(last / first) - 1e-9) + 1.0
    stage = np.minimum(np.floor(share * stages), stages - 1.0)
    return np.minimum(first * 2.0**stage, last)


def disagreement(
    layers: tuple, z: Array, clock: Array, before: Array, clock_before: Array, step: Array, ratio: Array
):
    """The mean of |f(xₜ, t) − f⁻(x_τ, τ)|²/c(t)², f⁻ not differentiated."""
    each = jax.vmap(plain, in_axes=(None, 0, 0))
    held = jax.lax.stop_gradient(each(layers, before, clock_before))
    return jnp.mean(jnp.sum((each(layers, z, clock) - ratio * held + step) ** 2, axis=1))


def _prepared(data: Measure, schedule: Schedule, start: float, end: float, intervals, training):
    """The function to be learnt, and the settings of its training."""
    training = Training(steps=TOLERANCES.consistency_steps) if training is None else Training.given(training)
    start, end = finite_number("start", start), finite_number("end", end)
    if not isinstance(intervals, tuple | list) or len(intervals) != 2:
        raise TypeError(f"intervals: expected two whole numbers, got {shown(intervals)}")
    first, last = (whole_number("intervals", count) for count in intervals)
    if first > last:
        raise ValueError(f"intervals: expected the first at most the last, got {first} and {last}")
    points = pool("data", data, TOLERANCES.pool, training.seed + 1)
    if start <= end:
        raise ValueError(
            f"start, end: expected the end, of data, before the start, got {start:g} and {end:g}"
        )
    return LearntConsistency(points, schedule, start, end), training


@kept
def _parts(schedule: Schedule):
    return jax.jit(
        lambda t: tuple(jax.vmap(f)(t.ravel()).reshape(t.shape) for f in (schedule.alpha, schedule.sigma))
    )


@jax.jit
def _posterior_mean(x: Array, data: Array, alpha: Array, sigma: Array):
    """E[x₀ | xₜ = x] over data `[rows, n, d]`: x `[rows, batch, d]`, α and σ `[rows, batch, 1]`."""

    def row(x: Array, data: Array, alpha: Array, sigma: Array):
        ratio = alpha / sigma
        # −|x − αd|²/2σ² but for |x|²/2σ², which is the same for all data
        exponent = (ratio / sigma * x) @ data.T - 0.5 * ratio**2 * jnp.sum(data**2, axis=1)
        return jax.nn.softmax(exponent, axis=1) @ data

    return jax.lax.map(lambda args: row(*args), (x, data, alpha, sigma))


@kept
def _teacher_step(score: Callable, schedule: Schedule):
    one = path_end(schedule.sde().probability_flow(score).velocity)
    return jax.jit(jax.vmap(lambda x, t, end: one(x, t, end, 1)))


@jax.jit
def _network(layers: tuple, z: Array, clock: Array):
    return jax.vmap(plain, in_axes=(None, 0, 0))(layers, z, clock)
