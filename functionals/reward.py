"""The objective of preference optimisation: reward against staying close."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from functionals.algebra import Composite
from functionals.array import Array
from functionals.divergence import KL
from functionals.numbers import is_number
from functionals.pointwise import describe
from functionals.potential import Potential
from functionals.registry import register
from functionals.target import log_density_of
from functionals.time_dependence import TimeDependent, frozen, with_time


@register("reward")
class Reward(Composite):
    """F(ρ) = −∫r dρ + β KL(ρ‖ρ_ref), β > 0: its minimiser is ρ_ref e^{r/β}/Z [RafailovEtAl2023].

    `reward` is a jax function r of a point `[d]`, or of a point and the time, `reference` a measure with a
    density or log ρ_ref as such a function, as for `KL`, and `strength` β. F dissolves into β Entropy +
    Potential(−r − β log ρ_ref): its flow is Langevin at temperature β. λ is known where `modulus` declares
    that of −r and the reference knows its own. Raises TypeError for a reward that is no function and a
    reference without a density, ValueError for β ≤ 0.
    """

    example = "fn.Reward(lambda x: x[0], jko.Gaussian.of(0.0, 1.0, dimension=1))"
    linearly_convex = True

    def __init__(self, reward: Callable, reference, strength: float = 1.0, *, modulus: float | None = None):
        if not callable(reward):
            raise TypeError(f"reward: expected a jax function of a point, got {type(reward).__name__}")
        log_density_of("reference", reference)
        if not (is_number(strength) and strength > 0):
            shown = " ".join(repr(strength).split())
            raise ValueError(f"strength: expected a positive number, got {shown}")
        self.reward, self.reference, self.strength = reward, reference, float(strength)
        moves = isinstance(with_time(reward), TimeDependent)
        V = (lambda x, t: -reward(x, t)) if moves else (lambda x: -reward(x))
        self._terms = (1.0, Potential(V, modulus=modulus)), (self.strength, KL(reference))

    @cached_property
    def log_minimiser(self):
        """log ρ_ref + r/β up to the constant log Z, as a jax function of a point, and of the time where
        either depends on it."""
        log_reference = with_time(log_density_of("reference", self.reference))
        reward, strength = with_time(self.reward), self.strength

        def at(x: Array, *time):
            parts = (1.0, log_reference), (1.0 / strength, reward)
            return sum(c * (frozen(f, *time) if time else f)(x) for c, f in parts)

        return at

    def __repr__(self):
        return f"Reward({describe(self.reward)}, {self._terms[1][1]!r}, strength={self.strength:g})"
