"""Guidance without training: a score bent by the gradient of a loss of the denoised point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from functionals.array import Array
from jko.diffusion.arguments import finite_number, instance, known_times, within
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.noised_mixture import NoisedMixture
from jko.diffusion.samplers import even_times
from jko.diffusion.schedule import Schedule
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import finite_array, positive_number, seed_number, whole_number
from jko.loops.random_keys import key_of
from jko.measures import Particles


class LinearObservation:
    """y = A x₀ + noise·η with η ~ N(0, I): what posterior sampling is told of the data x₀.

    `matrix` A `[m, d]`, `value` y `[m]`, `noise` > 0. Calling it with a point gives −log N(y; Ax₀, noise²I)
    up to a constant, a loss for `loss_guided`. Raises ValueError for shapes that do not fit.
    """

    def __init__(self, matrix: ArrayLike, value: ArrayLike, noise: float):
        self.matrix = np.atleast_2d(finite_array("matrix", matrix))
        self.value = np.atleast_1d(finite_array("value", value))
        self.noise = positive_number("noise", noise)
        if self.matrix.ndim != 2 or self.value.shape != self.matrix.shape[:1]:
            raise ValueError(
                "matrix, value: expected shapes [m, d] and [m], got "
                f"{self.matrix.shape} and {self.value.shape}"
            )

    def __call__(self, x: Array) -> Array:
        return self.spread(x, 0.0)

    def spread(self, x: Array, variance: float | Array) -> Array:
        """−log N(y; Ax, noise²I + variance·AAᵀ) up to a constant: of a point with an error of its own."""
        A = jnp.asarray(self.matrix, x.dtype)
        misfit = jnp.asarray(self.value, x.dtype) - A @ x
        total = self.noise**2 * jnp.eye(len(A), dtype=x.dtype) + variance * A @ A.T
        return 0.5 * misfit @ jnp.linalg.solve(total, misfit)

    def posterior(self, law: NoisedMixture) -> NoisedMixture:
        """The law of x₀ given y, again a mixture, under the same schedule: the exact answer.

        Each component is conditioned as a Gaussian, Kalman's gain K = SAᵀ(ASAᵀ + noise²I)⁻¹, and weighted
        by wᵢN(y; Amᵢ, ASᵢAᵀ + noise²I) [AndersonMoore1979]. Its `score` is the exact guidance.
        """
        instance("law", law, NoisedMixture)
        A = self.matrix
        if A.shape[1] != law.dimension:
            raise ValueError(f"law: expected {A.shape[1]} dimensions as the matrix has, got {law.dimension}")
        means, covariances, logs = [], [], []
        for w, m, axes, variances in zip(law.weights, law.means, law._axes, law._variances, strict=True):
            S = (axes * variances) @ axes.T
            total = A @ S @ A.T + self.noise**2 * np.eye(len(A))
            gain = np.linalg.solve(total, A @ S).T
            off, rest = self.value - A @ m, np.eye(len(m)) - gain @ A
            means.append(m + gain @ off)
            # Joseph's form keeps it symmetric and positive
            covariances.append(rest @ S @ rest.T + self.noise**2 * gain @ gain.T)
            logs.append(np.log(w) - 0.5 * (off @ np.linalg.solve(total, off) + np.linalg.slogdet(total)[1]))
        shares = np.exp(np.array(logs) - max(logs))
        kept = shares > TOLERANCES.least_share * shares.sum()
        symmetric = np.array([0.5 * (S + S.T) for S in covariances])
        return NoisedMixture(
            np.array(means)[kept], symmetric[kept], list(shares[kept]), schedule=law.schedule
        )


def denoiser(score: Callable, schedule: Schedule) -> Callable:
    """E[x₀ | xₜ = x] = (x + σ² score)/α as a jax function of (x, t) [Efron2011]."""
    score, schedule = checked_function("score", score), instance("schedule", schedule, Schedule)

    def denoised(x: Array, t: Array) -> Array:
        return (x + schedule.sigma(t) ** 2 * score(x, t)) / schedule.alpha(t)

    return denoised


def loss_guided(score: Callable, schedule: Schedule, loss: Callable, strength: float = 1.0) -> Callable:
    """∇log pₜ(x) − strength·∇ₓ loss(x̂₀(x, t)), x̂₀ the denoised point: guidance that needs no training.

    With the loss of a `LinearObservation` it is diffusion posterior sampling [ChungEtAl2023], with another
    loss guidance by it [SongEtAl2023LGD]. The exact guidance is ∇log E[e^{−loss(x₀)} | xₜ = x]; here the
    expectation stands inside, which is right only where x₀ given xₜ hardly spreads against the loss: the
    law that is sampled is not p₀e^{−loss}/Z. `twisted_sampler` takes that away.
    """
    known = known_times(score)
    score, denoised = checked_function("score", score), denoiser(score, schedule)
    loss, strength = checked_function("loss", loss, (), of="(x0)"), finite_number("strength", strength)

    def guided(x: Array, t: Array) -> Array:
        return score(x, t) - strength * jax.grad(lambda y: loss(denoised(y, t)))(x)

    return _known(guided, known)


def spread_guided(score: Callable, schedule: Schedule, observation: LinearObservation) -> Callable:
    """∇log pₜ(x) + ∇ₓlog N(y; Ax̂₀, noise²I + r²AAᵀ), r² = σ²/(α² + σ²): guidance with a spread of x₀.

    For data of unit covariance r² is the exact spread of x₀ given xₜ [SongEtAl2023PiGDM].
    """
    known = known_times(score)
    score, denoised = checked_function("score", score), denoiser(score, schedule)
    instance("observation", observation, LinearObservation)

    def guided(x: Array, t: Array) -> Array:
        spread = _spread(schedule, t)
        return score(x, t) - jax.grad(lambda y: observation.spread(denoised(y, t), spread))(x)

    return _known(guided, known)


def _known(score: Any, times: tuple | None) -> Callable:
    score.known_times = times
    return score


def _spread(schedule: Schedule, t: Array) -> Array:
    a, s = schedule.alpha(t), schedule.sigma(t)
    return s**2 / (a**2 + s**2)


class TwistedSample(NamedTuple):
    """Weighted particles at the end, the effective number of them at every step `[steps]`, and how many times
    they were resampled."""

    particles: Particles
    effective: np.ndarray
    resampled: int


def twisted_sampler(
    score: Callable,
    schedule: Schedule,
    loss: Callable,
    particles: Particles,
    start: float,
    end: float,
    *,
    steps: int,
    seed: int,
    spread: float = 1.0,
) -> TwistedSample:
    """Particles from p₀e^{−loss}/Z: the guided chain, reweighted and resampled on its way [WuEtAl2023].

    The chain from `start` to `end`, even in log(α/σ), has the Gaussian transitions q(x′ | x) of ancestral
    sampling with the score plus ∇log h, h(x, t) = e^{−loss(x̂₀)}. Its weights are
    p(x′ | x)h(x′)/(q(x′ | x)h(x)), p without guidance: with more particles the law is that of the chain p
    tilted by h at the end, whatever h is before; what the steps leave goes with their number. A
    `LinearObservation` has h with the `spread`·σ²/(α² + σ²) of x₀ in it, without which few particles count.
    Systematic resampling where fewer than half do. `particles` are draws of pₜ at `start`.
    """
    dimension = instance("particles", particles, Particles).dimension
    times = even_times(schedule, start, end, whole_number("steps", steps))
    within("start, end", times, known_times(score))
    score, given = checked_function("score", score), loss
    loss, denoised = checked_function("loss", loss, (), of="(x0)"), denoiser(score, schedule)
    last = float(times[-1])

    def log_h(x: Array, t: Array) -> Array:
        if not isinstance(given, LinearObservation):
            return -loss(denoised(x, t))
        error = jnp.where(t > last, spread * _spread(schedule, t), 0.0)
        return -given.spread(denoised(x, t), error)

    def bent_score(x: Array, t: Array) -> Array:
        return score(x, t) + jax.grad(log_h)(x, t)

    probe(bent_score, dimension)
    tilt, plain, bent = (jax.vmap(f, in_axes=(0, None)) for f in (log_h, score, bent_score))

    run = _twisted_chain(schedule, tilt, plain, bent)
    with jax.enable_x64(True):
        positions = jnp.asarray(particles.positions, jnp.float64)
        x, w, effective, resampled = run(positions, key_of(seed_number("seed", seed)), jnp.asarray(times))
    if not (np.all(np.isfinite(np.asarray(x))) and np.all(np.isfinite(np.asarray(w)))):
        raise ValueError("loss: NaN or infinite particles: is it finite everywhere? else take more steps")
    kept = np.asarray(w) > 0.0
    weights = np.asarray(w)[kept] / np.asarray(w)[kept].sum()
    return TwistedSample(Particles(np.asarray(x)[kept], weights), np.asarray(effective), int(resampled))


def _twisted_chain(schedule: Schedule, tilt: Callable, plain: Callable, bent: Callable) -> Callable:
    """(points, key, times) ↦ (points, weights, effective numbers, how many resamplings), compiled: log h, the
    score and the bent score of points `[n, d]` at a time."""

    @jax.jit
    def run(x, key, times):
        def one(carry, step):
            x, log_w, log_tilt, key = carry
            t, later = step
            key, noise_key, resample_key = jax.random.split(key, 3)
            free = _ancestral(schedule, x, plain(x, t), t, later)
            pulled, spread = _ancestral(schedule, x, bent(x, t), t, later)
            xi = jax.random.normal(noise_key, x.shape, x.dtype)
            moved = pulled + spread * xi
            ratio = 0.5 * jnp.sum(xi**2, axis=1) - 0.5 * jnp.sum((moved - free[0]) ** 2, axis=1) / spread**2
            new_tilt = tilt(moved, later)
            log_w = log_w + ratio + new_tilt - log_tilt
            w = jax.nn.softmax(log_w)
            effective = 1.0 / jnp.sum(w**2)
            few = (effective < TOLERANCES.effective * len(x)) & (later > times[-1])
            order = jnp.where(few, _systematic(resample_key, w), jnp.arange(len(x)))
            carry = moved[order], jnp.where(few, 0.0, log_w), new_tilt[order], key
            return carry, (effective, few)

        first = tilt(x, times[0])
        (x, log_w, _, _), (effective, few) = lax.scan(one, (x, first, first, key), (times[:-1], times[1:]))
        return x, jax.nn.softmax(log_w), effective, few.sum()

    return run


def _ancestral(schedule: Schedule, x: Array, score: Array, t: Array, later: Array):
    """Mean and deviation of x at a later step: the law of x given xₜ and x̂₀."""
    a, s, b, r = schedule.alpha(t), schedule.sigma(t), schedule.alpha(later), schedule.sigma(later)
    clean = (x + s**2 * score) / a
    kept = (a / b) ** 2 * r**2 / s**2  # of the noise at the later time, what is left of it at t
    spread = r * jnp.sqrt(1.0 - kept)
    return b * clean + kept * b / a * (x - a * clean), spread


def _systematic(key, w: Array) -> Array:
    places = (jnp.arange(w.size) + jax.random.uniform(key, (), w.dtype)) / w.size
    return jnp.minimum(jnp.searchsorted(jnp.cumsum(w), places), w.size - 1)
