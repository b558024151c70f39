"""Divergences to a target measure."""

from __future__ import annotations

import copy
from functools import cached_property

from functionals.array import Array
from functionals.base import Functional
from functionals.entropies import Entropy
from functionals.pointwise import describe
from functionals.potential import Potential
from functionals.registry import register
from functionals.time_dependence import TimeDependent, with_time


@register("kl")
class KL(Functional):
    """F(ρ) = ∫ρ log(ρ/π), the Kullback–Leibler divergence to π = e^{−V}/Z; its flow is Fokker–Planck.

    `target` is a measure with a density (a `Gaussian`, or a positive `Density`), or log π as a jax function
    of a point `[d]`, or of a point and the time, where a missing normalisation shifts F by a constant. F
    dissolves into Entropy + Potential(−log π), so every scheme that takes those two takes it. λ is that of
    V = −log π: known for a Gaussian.
    """

    example = "fn.KL(jko.Gaussian.of(0.0, 1.0, dimension=1))"
    linearly_convex = True

    def __init__(self, target):
        log_density = getattr(target, "log_density_function", target)
        if not callable(log_density):
            raise TypeError(
                "target must be a measure with a density or a jax function log π(x), "
                f"got {type(target).__name__}"
            )
        self.target = target
        self._log_density = with_time(log_density)

    @cached_property
    def _terms(self):
        moves = isinstance(self._log_density, TimeDependent)
        log_density = self._log_density.function if moves else self._log_density
        modulus = getattr(self.target, "log_concavity", None)
        dimension = getattr(self.target, "dimension", None)

        def potential(x: Array, *time):
            if dimension is not None and x.shape != (dimension,):
                raise ValueError(
                    f"target: expected a measure in {x.shape[-1]}D like the one it is compared with, "
                    f"got {dimension}D"
                )
            return -log_density(x, *time)

        return Entropy(), Potential(TimeDependent(potential) if moves else potential, modulus=modulus)

    def at(self, t: float):
        if not self.depends_on_time:
            return self
        here = copy.copy(self)
        here._terms = tuple(term.at(t) for term in self._terms)
        return here

    @property
    def depends_on_time(self):
        return any(term.depends_on_time for term in self._terms)

    def primitives(self):
        return tuple((1.0, term) for term in self._terms)

    def energy(self, mu):
        return sum(term.energy(mu) for term in self._terms)

    def first_variation(self, mu):
        return sum(term.first_variation(mu) for term in self._terms)

    def wasserstein_gradient(self, mu):
        return sum(term.wasserstein_gradient(mu) for term in self._terms)

    def probe(self, mu):
        return self._terms[1].probe(mu)

    def displacement_modulus(self, dimension: int):
        return self._terms[1].displacement_modulus(dimension)

    def __repr__(self):
        named = hasattr(self.target, "log_density_function")
        return f"KL({self.target!r})" if named else f"KL({describe(self.target)})"
