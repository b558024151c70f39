"""The discrete chain of denoising diffusion: its marginals, its posterior, ancestral draws and its bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from functionals.array import Array
from functionals.programs import kept
from jko.diffusion.arguments import cloud, finite_outcome, known_times, within
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.schedule import Schedule
from jko.diffusion.score_matching import LearntScore, score_matching
from jko.diffusion.tolerances import TOLERANCES
from jko.diffusion.training import Training
from jko.errors import finite_array, one_of, positive_number, seed_number, shown, whole_number
from jko.loops.random_keys import key_of
from jko.measures import Particles
from jko.progress import progress_bar

VARIANCES = ("forward", "posterior")


class DDPM:
    """xₜ = √(1 − βₜ) xₜ₋₁ + √βₜ ε, t = 1 … T, and its reverse by a denoiser [HoJainAbbeel2020].

    Given x₀, xₜ ~ N(√ᾱₜ x₀, (1 − ᾱₜ)I) with ᾱₜ = Π(1 − β). The reverse chain starts from x_T ~ N(0, I) and
    draws xₜ₋₁ ~ N(μ(xₜ, x̂₀), v), μ the mean of q(xₜ₋₁ | xₜ, x₀) at the denoiser's x̂₀, with the `variance`
    v = βₜ ("forward") or β̃ₜ ("posterior"), that of q; β̃₁ = 0 is replaced by β̃₂ [NicholDhariwal2021].
    `schedule` has these laws at the times t = 0, 1 … T, log ᾱ linear between them, so that a score is
    `NoisedMixture(…, schedule=chain.schedule).score`, or `learn(data)`. `betas` `[T]` are in (0, 1).
    """

    def __init__(self, betas: ArrayLike):
        self.betas = finite_array("betas", betas)
        if (
            self.betas.ndim != 1
            or not self.betas.size
            or not 0.0 < self.betas.min() <= self.betas.max() < 1.0
        ):
            raise ValueError(f"betas: expected numbers [T] between 0 and 1, got {shown(self.betas)}")
        self._log_kept = np.append(0.0, np.cumsum(np.log1p(-self.betas)))
        self.kept = np.exp(self._log_kept)
        noise = -np.expm1(self._log_kept)
        self.posterior_variances = self.betas * noise[:-1] / noise[1:]
        alpha, sigma = _interpolated(self._log_kept)
        self.schedule = Schedule(alpha, sigma, float(self.steps))

    @classmethod
    def linear(cls, steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> DDPM:
        """β from `first` to `last` evenly, times 1000/steps: the same noise in any number of steps."""
        steps = whole_number("steps", steps)
        scale = 1000.0 / steps
        first, last = scale * positive_number("first", first), scale * positive_number("last", last)
        if max(first, last) >= 1.0:
            raise ValueError(
                f"steps: expected more than {steps * max(first, last):.0f} for these first and last, got "
                f"{steps}: β would reach {max(first, last):.3g}"
            )
        return cls(np.linspace(first, last, steps))

    @classmethod
    def cosine(cls, steps: int = 1000, offset: float = 0.008) -> DDPM:
        """ᾱₜ ∝ cos²(½π(t/T + s)/(1 + s)), s = `offset`, and β at most 0.999 [NicholDhariwal2021]."""
        share = np.arange(whole_number("steps", steps) + 1) / steps
        offset = positive_number("offset", offset)
        kept = np.cos(0.5 * math.pi * (share + offset) / (1.0 + offset)) ** 2
        return cls(np.minimum(1.0 - kept[1:] / kept[:-1], TOLERANCES.largest_beta))

    @property
    def steps(self) -> int:
        """T."""
        return len(self.betas)

    def marginal(self, t: int) -> tuple[float, float]:
        """√ᾱₜ and the variance 1 − ᾱₜ of xₜ given x₀."""
        t = self._step(t, 0)
        return math.sqrt(self.kept[t]), -math.expm1(self._log_kept[t])

    def posterior(self, x: np.ndarray, x0: np.ndarray, t: int) -> tuple[np.ndarray, float]:
        """The mean `[…, d]` and the variance β̃ₜ of q(xₜ₋₁ | xₜ = x, x₀)."""
        t = self._step(t, 1)
        of_data, of_point = self._mean_weights()
        x, x0 = finite_array("x", x), finite_array("x0", x0)
        return of_data[t - 1] * x0 + of_point[t - 1] * x, float(self.posterior_variances[t - 1])

    def variances(self, variance: str) -> np.ndarray:
        """v `[T]` of the reverse steps to x₀ … x_{T−1}."""
        if one_of("variance", variance, VARIANCES) == "forward":
            return self.betas
        if self.steps == 1:
            raise ValueError("variance: a chain of one step has no posterior variance: take 'forward'")
        return np.append(self.posterior_variances[1], self.posterior_variances[1:])

    def learn(self, data, *, training: Training | None = None, progress: bool | None = None) -> LearntScore:
        """The score by predicting the noise, argmin E|ε̂(xₜ, t) − ε|², t from 1 to T: `score_matching`."""
        return score_matching(
            data, self.schedule, start=1.0, end=float(self.steps), training=training, progress=progress
        )

    def sample(
        self,
        score: Callable,
        n: int,
        dimension: int,
        seed: int,
        *,
        variance: str = "forward",
        progress: bool | None = None,
    ) -> Particles:
        """n ancestral draws of x₀, in float64; the last step is drawn with its noise, as the bound has it.

        `score(x, t)` is ∇log pₜ at t = 1 … T, a jax function. Raises ValueError for one that is not finite.
        """
        n, dimension = whole_number("n", n), whole_number("dimension", dimension)
        key = key_of(seed_number("seed", seed))
        score = self._ready(score, dimension)
        with jax.enable_x64(True):
            rows = tuple(part[::-1] for part in self._rows(variance))
            final = jax.random.normal(jax.random.fold_in(key, 0), (n, dimension), jnp.float64)
            with progress_bar(progress, self.steps, "ancestral sampling", "step") as tick:
                for k in range(0, self.steps, TOLERANCES.block):
                    block = tuple(part[k : k + TOLERANCES.block] for part in rows)
                    final = _ancestral(score)(final, block, key).block_until_ready()
                    tick(len(block[0]))
        finite_outcome("score", np.asarray(final)[None], [0.0], "else take more steps")
        return Particles(np.asarray(final))

    def bound(
        self, score: Callable, particles: Particles, seed: int, *, variance: str = "forward"
    ) -> EvidenceBound:
        """−log p(x₀) ≤ L₀ + … + L_T at each particle, in nats [HoJainAbbeel2020, equation 5].

        L₀ = E −log p(x₀ | x₁), Lₜ₋₁ = E KL(q(xₜ₋₁ | xₜ, x₀) ‖ p(xₜ₋₁ | xₜ)), L_T = KL(q(x_T | x₀) ‖ N(0, I)),
        the divergences in closed form, and one draw of each xₜ a particle: of its noise in every coordinate
        one in each of n equal quantiles, in random order [McKayEtAl1979]. `score` as for `sample`.
        """
        d, key = cloud("particles", particles).dimension, key_of(seed_number("seed", seed))
        score = self._ready(score, d)
        with jax.enable_x64(True):
            x0 = jnp.asarray(particles.positions, jnp.float64)
            rows = *self._rows(variance), np.append(0.0, self.posterior_variances[1:])
            weights = finite_array("weights", particles.weights)
            terms, values = map(np.asarray, _terms(score)(x0, jnp.asarray(weights), rows, key))
        finite_outcome("score", terms[:, None], np.arange(1, self.steps + 1))
        share, noise = self.kept[-1], -math.expm1(self._log_kept[-1])
        prior = 0.5 * (share * np.sum(np.asarray(x0) ** 2, axis=1) + d * (noise - 1.0 - math.log(noise)))
        return EvidenceBound(np.append(terms, weights @ prior), values + prior, weights)

    def _ready(self, score, dimension):
        within("score", [1.0, float(self.steps)], known_times(score))
        score = checked_function("score", score)
        probe(score, dimension)
        return score

    def _step(self, t: int, least: int) -> int:
        t = whole_number("t", t, least)
        if t > self.steps:
            raise ValueError(f"t: the chain has {self.steps} steps, got {t}")
        return t

    def _mean_weights(self):
        """Of x₀ and of xₜ in the mean of q(xₜ₋₁ | xₜ, x₀), `[T]` each."""
        noise = -np.expm1(self._log_kept)
        of_data = np.sqrt(self.kept[:-1]) * self.betas / noise[1:]
        return of_data, np.sqrt(1.0 - self.betas) * noise[:-1] / noise[1:]

    def _rows(self, variance):
        """t, √ᾱₜ, 1 − ᾱₜ, the weights of the mean, and v, for t = 1 … T."""
        noise = -np.expm1(self._log_kept[1:])
        times = np.arange(1.0, self.steps + 1.0)
        return times, np.sqrt(self.kept[1:]), noise, *self._mean_weights(), self.variances(variance)


@dataclass(frozen=True)
class EvidenceBound:
    """`terms` `[T + 1]`: L₀ … L_T in nats, means over the particles; `values` `[n]`: their sum at each."""

    terms: np.ndarray
    values: np.ndarray
    weights: np.ndarray

    @property
    def total(self) -> float:
        """The bound on −E log p(x₀)."""
        return float(self.terms.sum())

    @property
    def standard_error(self) -> float:
        """That of `total`, over independent particles; an upper one, as the noise is stratified."""
        return self._error(self.values)

    def gap(self, log_density: np.ndarray) -> tuple[float, float]:
        """How far the bound is above −E log p₀ on the same particles, and the standard error of this.

        `log_density` `[n]` is the exact log p₀ at each particle.
        """
        log_density = finite_array("log_density", log_density)
        if log_density.shape != self.values.shape:
            raise ValueError(
                f"log_density: expected {self.values.size} numbers, got shape {log_density.shape}"
            )
        apart = self.values + log_density
        return float(self.weights @ apart), self._error(apart)

    def _error(self, values):
        mean = self.weights @ values
        return float(np.sqrt(np.sum(self.weights**2 * (values - mean) ** 2)))


def _interpolated(log_kept: np.ndarray):
    """√ᾱ and √(1 − ᾱ) as jax functions of a time from 0 to T."""

    def logarithm(t: Array):
        t = jnp.asarray(t)
        dtype = t.dtype if jnp.issubdtype(t.dtype, jnp.floating) else jnp.zeros(()).dtype
        return jnp.interp(t, jnp.arange(len(log_kept), dtype=dtype), jnp.asarray(log_kept, dtype))

    return lambda t: jnp.exp(0.5 * logarithm(t)), lambda t: jnp.sqrt(-jnp.expm1(logarithm(t)))


def _denoised(score, x, row):
    """x̂₀, and the mean of the reverse step."""
    t, share, noise, of_data, of_point, _ = row[:6]
    data = (x + noise * score(x, t)) / share
    return data, of_data * data + of_point * x


@kept
def _ancestral(score: Callable):
    batched = jax.vmap(score, in_axes=(0, None))

    def run(start: Array, rows: tuple, key: Array):
        def one(x: Array, row: tuple):
            _, mean = _denoised(batched, x, row)
            noise = jax.random.normal(jax.random.fold_in(key, row[0].astype(int)), x.shape, x.dtype)
            return mean + jnp.sqrt(row[5]) * noise, None

        return lax.scan(one, start, rows)[0]

    return jax.jit(run)


def _stratified(key: Array, shape: tuple, dtype):
    """Standard normal numbers, in each column one of each of n equal quantiles."""
    inside, order = jax.random.split(key)
    places = jnp.arange(shape[0])[:, None] + jax.random.uniform(inside, shape, dtype)
    shuffled = jax.random.permutation(order, places, axis=0, independent=True)
    return jax.scipy.special.ndtri(jnp.clip(shuffled / shape[0], jnp.finfo(dtype).tiny, 1.0 - 1e-16))


@kept
def _terms(score: Callable):
    """(x₀, weights, rows, key) ↦ the means L₀ … L_{T−1} `[T]`, and their sums at each point `[n]`."""
    batched = jax.vmap(score, in_axes=(0, None))

    def run(x0: Array, weights: Array, rows: tuple, key: Array):
        d = x0.shape[1]

        def one(total: Array, row: tuple):
            t, share, noise, of_data, _, v, posterior = row
            drawn = _stratified(jax.random.fold_in(key, t.astype(int)), x0.shape, x0.dtype)
            x = share * x0 + jnp.sqrt(noise) * drawn
            data, mean = _denoised(batched, x, row)
            last = 0.5 * (jnp.sum((x0 - mean) ** 2, axis=1) / v + d * jnp.log(2.0 * jnp.pi * v))
            ratio = posterior / v
            apart = of_data**2 * jnp.sum((data - x0) ** 2, axis=1) / v
            # log of the ratio, which has no value in the row of t = 1
            spread = ratio - 1.0 - jnp.log(jnp.where(ratio > 0.0, ratio, 1.0))
            term = jnp.where(t == 1.0, last, 0.5 * (apart + d * spread))
            return total + term, weights @ term

        total, terms = lax.scan(one, jnp.zeros(len(x0), x0.dtype), rows)
        return terms, total

    return jax.jit(run)
