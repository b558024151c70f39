"""Exponential multistep methods in λ = log(α/σ), for the probability flow and for reverse SDEs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from functionals.programs import kept
from jko.diffusion.tolerances import TOLERANCES

HISTORY = 3


@dataclass(frozen=True)
class Multistep:
    """A method of one evaluation a step for dx = [(α′/α)x − ½(1 + η²)g² score] dt + ηg dB̄, η = `noise`.

    With c = 1 + η² and the predicted data x̂₀ = (x + σ² score)/α, from λ to λ + h exactly

        x⁺ = (σ⁺/σ) e^{−η²h} x + α⁺ ∫₀ʰ c e^{−c(h−u)} x̂₀(λ + u) du + σ⁺ √(1 − e^{−2η²h}) z

    for the flow, η = 0, and the reverse SDE, η = 1 [LuEtAl2025]. x̂₀ is the polynomial
    through its last `order` values, integrated, or with `middle` taken in the middle of the step. A
    `corrected` step is done again, at no evaluation more, by the polynomial that takes in the value at its
    end [ZhaoEtAl2023], and is of one order more.
    """

    order: int
    middle: bool = False
    corrected: bool = False
    noise: float = 0.0


MULTISTEP = {
    "dpm-solver-1": Multistep(1),
    "dpm-solver++2m": Multistep(2, middle=True),
    "dpm-solver++3m": Multistep(3),
    "unipc-1": Multistep(1, corrected=True),
    "unipc-2": Multistep(2, corrected=True),
    "sde-dpm-solver++1": Multistep(1, noise=1.0),
    "sde-dpm-solver++2m": Multistep(2, middle=True, noise=1.0),
}


class Rows(NamedTuple):
    """What each of K steps multiplies: `predict`, `correct` `[K, 3]` the values of x̂₀ from the latest on."""

    time: Array
    alpha: Array
    sigma: Array
    carry: Array
    predict: Array
    noise: Array
    corrected: Array  # whether x at the beginning of this step is made anew, from x at that of the last one
    correct: Array
    carry_before: Array


def rows(
    method: Multistep, times: np.ndarray, ratios: np.ndarray, alpha: np.ndarray, sigma: np.ndarray
) -> Rows:
    """The coefficients of a method at nodes: times, λ, α and σ, `[K + 1]` each, in numpy's float64."""
    decay, rate = method.noise**2, 1.0 + method.noise**2
    steps = np.diff(ratios)
    carry = sigma[1:] / sigma[:-1] * np.exp(-decay * steps)
    predict = alpha[1:, None] * _weights(ratios, method.order, rate, method.middle, ahead=0)
    correct, corrected = np.zeros_like(predict), np.zeros(len(steps), bool)
    # the first step of a third-order method knows one value, and is of second order if it is corrected
    last = len(steps) if method.corrected else min(len(steps), 2 if method.order == HISTORY else 1)
    order = method.order if method.corrected else 1
    if last > 1:
        made = alpha[1:, None] * _weights(ratios, order, rate, False, ahead=1)
        correct[1:last], corrected[1:last] = made[: last - 1], True
    return Rows(
        times[:-1],
        alpha[:-1],
        sigma[:-1],
        carry,
        predict,
        sigma[1:] * np.sqrt(-np.expm1(-2.0 * decay * steps)),
        corrected,
        correct,
        np.append(0.0, carry[:-1]),
    )


def _weights(ratios: np.ndarray, order: int, rate: float, middle: bool, ahead: int) -> np.ndarray:
    """∫₀ʰ c e^{−c(h−u)} ℓⱼ(u) du `[K, 3]`, ℓⱼ = 1 at the j-th of a step's nodes and 0 at its others.

    The nodes are the step's beginning, or with `ahead` its end, and those before, `order + ahead` in all or
    as many as there are.
    """
    found = np.zeros((len(ratios) - 1, HISTORY))
    gauss, share = np.polynomial.legendre.leggauss(TOLERANCES.step_nodes)
    first = np.arange(len(ratios) - 1)
    for count in range(1, order + 1):
        chosen = first[first + 1 == count] if count < order else first[first + 1 >= count]
        if not chosen.size:
            continue
        start, end = ratios[chosen, None], ratios[chosen + 1, None]
        nodes = ratios[chosen[:, None] + ahead - np.arange(count + ahead)]
        if middle:
            places, mass = 0.5 * (start + end), -np.expm1(-rate * (end - start))
        else:
            places = 0.5 * (start + end) + 0.5 * (end - start) * gauss
            mass = 0.5 * (end - start) * share * rate * np.exp(-rate * (end - places))
        for j in range(count + ahead):
            others = np.delete(nodes, j, axis=1)
            shares = (places[:, :, None] - others[:, None]) / (nodes[:, j, None] - others)[:, None]
            found[chosen, j] = np.sum(mass * np.prod(shares, axis=2), axis=1)
    return found


@kept
def program(score: Callable, noisy: bool):
    """(x, rows, number of steps, key) ↦ x at the end, compiled once for all methods and numbers of steps."""
    batched = jax.vmap(score, in_axes=(0, None))

    def run(x: Array, rows: Rows, steps: Array, key: Array):
        def one(k: Array, state: tuple):
            guess, before, *earlier = state
            row = jax.tree.map(lambda part: part[k], rows)
            data = (guess + row.sigma**2 * batched(guess, row.time)) / row.alpha
            past = jnp.stack([data, *earlier])
            again = row.carry_before * before + jnp.tensordot(row.correct, past, 1)
            x = jnp.where(row.corrected, again, guess)
            guess = row.carry * x + jnp.tensordot(row.predict, past, 1)
            if noisy:
                guess += row.noise * jax.random.normal(jax.random.fold_in(key, k), x.shape, x.dtype)
            return guess, x, data, *earlier[:-1]

        zero = jnp.zeros_like(x)
        return lax.fori_loop(0, steps, one, (x, x, *[zero] * (HISTORY - 1)))[0]

    return jax.jit(run)
