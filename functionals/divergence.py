"""Divergences to a target measure."""

from __future__ import annotations

from functools import cached_property

from functionals.algebra import Composite
from functionals.array import Array
from functionals.entropies import Entropy
from functionals.potential import Potential
from functionals.registry import register
from functionals.target import log_density_of, require_dimension, target_text
from functionals.time_dependence import TimeDependent, with_time


@register("kl")
class KL(Composite):
    """F(ρ) = ∫ρ log(ρ/π), the Kullback–Leibler divergence to π = e^{−V}/Z; its flow is Fokker–Planck.

    `target` is a measure with a density (a `Gaussian`, or a positive `Density`), or log π as a jax function
    of a point `[d]`, or of a point and the time, where a missing normalisation shifts F by a constant. F
    dissolves into Entropy + Potential(−log π), so every scheme that takes those two takes it. λ is that of
    V = −log π: known for a Gaussian.
    """

    example = "fn.KL(jko.Gaussian.of(0.0, 1.0, dimension=1))"
    linearly_convex = True

    def __init__(self, target):
        self.target = target
        self._log_density = with_time(log_density_of("target", target))

    @cached_property
    def _terms(self):
        moves = isinstance(self._log_density, TimeDependent)
        log_density = self._log_density.function if moves else self._log_density
        modulus = getattr(self.target, "log_concavity", None)
        target = self.target

        def potential(x: Array, *time):
            require_dimension(target, x.shape[-1])
            return -log_density(x, *time)

        V = Potential(TimeDependent(potential) if moves else potential, modulus=modulus)
        return (1.0, Entropy()), (1.0, V)

    def __repr__(self):
        return f"KL({target_text(self.target)})"
