"""Langevin dynamics: the entropy as noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jko.descent.stochastic import StochasticDescent


@dataclass(frozen=True)
class Langevin(StochasticDescent):
    """x⁺ = x − τ∇_W G(α)(x) + √(2θτ) ξ for F = θ∫ρ log ρ + G: Euler–Maruyama, of weak order 1 in τ.

    θ is read off the functional (without an entropy it is 0 and the step is ForwardEuler's); G is potentials,
    interactions and functionals of particles. Steps are compiled in blocks, in memory that does not grow with
    their number, or taken on the host where an interaction sums outside jax; the noise of a step is a
    function of `seed`, the step's number and the particle's alone.
    `noise="three-point"` has the same weak order and is cheaper.

    `observables` names averages over the particles that are taken after every step without storing them:
    {"mean": "mean", "spread": "covariance", "radius": lambda x: ...}, a function of a point `[d]` of any
    shape, or one of those two words. They are columns of `trajectory.info`, one row a step.

    `energy` estimates the entropy from `neighbours` nearest neighbours (`entropy_estimate`), of at most
    `entropy_sample` of the particles; its uncertainty is one standard error of the whole energy. A τ beyond
    2/L is refused at the first step, L the mean over the particles of the largest curvature of potential and
    interaction (`jko.descent.stability`).
    """

    takes: ClassVar = frozenset({"entropy", "potential", "interaction", "rest"})
    order: ClassVar[int] = 1

    @staticmethod
    def move(gradient, carried, coefficients, kicks):
        """One step of positions `[d, n]`."""
        (x,), (tau, amplitude) = carried, coefficients
        return (x - tau * gradient(x) + amplitude * kicks(0),)
