"""Heun's method with noise that is added before each step and taken out by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jax import lax

from functionals.array import Array
from functionals.programs import kept
from jko.diffusion.arguments import finite_number
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import positive_number


@dataclass(frozen=True)
class Churn:
    """Noise for the steps of "karras-heun" [KarrasEtAl2022, algorithm 2], by the noise level s = σ/α.

    Where `least` ≤ s ≤ `most` a step begins with x/α ← x/α + `inflation`·√(ŝ² − s²) z at the level
    ŝ = (1 + γ)s, γ = min(`amount`/steps, √2 − 1), and leads from ŝ to the next level. No point is taken back
    beyond the level at which the sampling starts. Raises TypeError or ValueError for what is no such number.
    """

    amount: float = 40.0
    least: float = 0.0
    most: float = math.inf
    inflation: float = 1.0

    def __post_init__(self):
        positive_number("amount", self.amount)
        positive_number("inflation", self.inflation)
        if finite_number("least", self.least) < 0.0:
            raise ValueError(f"least: expected a noise level of at least 0, got {self.least:g}")
        if self.most != math.inf and positive_number("most", self.most) <= self.least:
            raise ValueError(f"most: expected more than least = {self.least:g}, got {self.most:g}")

    def levels(self, levels: np.ndarray) -> np.ndarray:
        """ŝ `[K]` before each of the K steps between falling noise levels `[K + 1]`."""
        start = levels[:-1]
        share = min(self.amount / len(start), TOLERANCES.churn_share)
        churned = np.where((start >= self.least) & (start <= self.most), (1.0 + share) * start, start)
        return np.minimum(churned, np.maximum(start, levels[0]))


class Rows(NamedTuple):
    """Of each step: times, σ and α after the noise and at the end, and the noise added to x/α."""

    times: Array
    sigma: Array
    alpha: Array
    added: Array


@kept
def program(score: Callable, noisy: bool):
    """(x/α, rows, number of steps, key) ↦ x/α at the end by Heun's method in s = σ/α, d(x/α)/ds = ε̂."""
    batched = jax.vmap(score, in_axes=(0, None))

    def run(y: Array, rows: Rows, steps: Array, key: Array):
        def one(k: Array, y: Array):
            row = jax.tree.map(lambda part: part[k], rows)
            if noisy:
                y += row.added * jax.random.normal(jax.random.fold_in(key, k), y.shape, y.dtype)

            def slope(y: Array, end: int):
                return -row.sigma[end] * batched(row.alpha[end] * y, row.times[end])

            first = slope(y, 0)
            length = row.sigma[1] / row.alpha[1] - row.sigma[0] / row.alpha[0]
            return y + 0.5 * length * (first + slope(y + length * first, 1))

        return lax.fori_loop(0, steps, one, y)

    return jax.jit(run)
