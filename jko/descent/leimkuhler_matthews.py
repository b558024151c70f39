"""Overdamped Langevin dynamics whose equilibrium is right to order 2 in τ, for one drift a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jko.descent.stochastic import StochasticDescent


@dataclass(frozen=True)
class LeimkuhlerMatthews(StochasticDescent):
    """x⁺ = x − τ∇_W G(α)(x) + √(2θτ) (ξ_k + ξ_{k+1})/2: averages at equilibrium wrong by O(τ²).

    The noise of a step is the mean of two neighbours in one sequence, and nothing else differs from
    `Langevin` [LeimkuhlerMatthews2013]: of weak order 1 in τ at a fixed time, where the error of first order
    decays exponentially as equilibrium is approached [LeimkuhlerMatthewsTretyakov2014]. On λ|x|²/2 the
    variance at equilibrium is θ/λ exactly, for every τ < 2/λ. θ is the coefficient of the entropy in F, G
    the rest.

    `seed`, `noise`, `neighbours` and `energy` are those of `Langevin`.
    """

    takes: ClassVar = frozenset({"entropy", "potential", "interaction", "rest"})
    order: ClassVar[int] = 1

    def coefficients(self, temperature, tau):
        """τ and half the size of the noise."""
        tau, noise = super().coefficients(temperature, tau)
        return tau, 0.5 * noise

    @staticmethod
    def move(gradient, carried, coefficients, kicks):
        """One step of positions `[d, n]`."""
        (x,), (tau, half_amplitude) = carried, coefficients
        return (x - tau * gradient(x) + half_amplitude * (kicks(0) + kicks(1)),)
