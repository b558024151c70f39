"""The objective of preference optimisation: reward against staying close."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property

from functionals.array import Array
from functionals.base import Functional
from functionals.divergence import KL
from functionals.numbers import is_number
from functionals.pointwise import describe
from functionals.potential import Potential
from functionals.registry import register
from functionals.time_dependence import TimeDependent, frozen, with_time


@register("reward")
class Reward(Functional):
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
        if not (callable(reference) or hasattr(reference, "log_density_function")):
            raise TypeError(
                "reference: expected a measure with a density or log ρ_ref as a jax function of a point, got "
                f"{type(reference).__name__}"
            )
        if not (is_number(strength) and strength > 0):
            shown = " ".join(repr(strength).split())
            raise ValueError(f"strength: expected a positive number, got {shown}")
        self.reward, self.reference, self.strength = reward, reference, float(strength)
        moves = isinstance(with_time(reward), TimeDependent)
        V = (lambda x, t: -reward(x, t)) if moves else (lambda x: -reward(x))
        self._terms = (1.0, Potential(V, modulus=modulus)), (self.strength, KL(reference))

    def at(self, t: float):
        if not self.depends_on_time:
            return self
        here = copy.copy(self)
        here._terms = tuple((weight, term.at(t)) for weight, term in self._terms)
        return here

    @property
    def depends_on_time(self):
        return any(term.depends_on_time for _, term in self._terms)

    @cached_property
    def log_minimiser(self):
        """log ρ_ref + r/β up to the constant log Z, as a jax function of a point, and of the time where
        either depends on it."""
        log_reference = with_time(getattr(self.reference, "log_density_function", self.reference))
        reward, strength = with_time(self.reward), self.strength

        def at(x: Array, *time):
            parts = (1.0, log_reference), (1.0 / strength, reward)
            return sum(c * (frozen(f, *time) if time else f)(x) for c, f in parts)

        return at

    def primitives(self):
        return tuple(
            (weight * inner, atom) for weight, term in self._terms for inner, atom in term.primitives()
        )

    def energy(self, mu):
        return sum(weight * term.energy(mu) for weight, term in self._terms)

    def first_variation(self, mu):
        return sum(weight * term.first_variation(mu) for weight, term in self._terms)

    def wasserstein_gradient(self, mu):
        return sum(weight * term.wasserstein_gradient(mu) for weight, term in self._terms)

    def probe(self, mu):
        return [number for _, term in self._terms for number in term.probe(mu)]

    def displacement_modulus(self, dimension: int):
        moduli = [term.displacement_modulus(dimension) for _, term in self._terms]
        return None if None in moduli else moduli[0] + self.strength * moduli[1]

    def __repr__(self):
        return f"Reward({describe(self.reward)}, {self._terms[1][1]!r}, strength={self.strength:g})"
