"""Overdamped Langevin dynamics of weak order 2 in τ: two drifts a step, one noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jko.descent.stochastic import StochasticDescent


@dataclass(frozen=True)
class StochasticHeun(StochasticDescent):
    """y = x − τ∇_W G(α)(x) + √(2θτ) ξ, x⁺ = x − (τ/2)(∇_W G(α)(x) + ∇_W G(β)(y)) + √(2θτ) ξ.

    β = Σ w_i δ_{y_i}. Of weak order 2 in τ at every time [KloedenPlaten1992, section 15.1], since the noise
    is additive and its increments have the moments of a Gaussian up to the fifth: E f(x) of a smooth f is
    wrong by O(τ²), at equilibrium too. θ is the coefficient of the entropy in F and G the rest. On λ|x|²/2 a
    step multiplies by 1 − z + z²/2, z = λτ, and adds the variance 2θτ(1 − z/2)²: stable for τ < 2/L as
    `Langevin` is.

    `seed`, `noise`, `neighbours` and `energy` are those of `Langevin`.
    """

    takes: ClassVar = frozenset({"entropy", "potential", "interaction", "rest"})
    order: ClassVar[int] = 2
    gradients_a_step: ClassVar[int] = 2

    @staticmethod
    def move(gradient, carried, coefficients, kicks):
        """One step of positions `[d, n]`."""
        (x,), (tau, amplitude) = carried, coefficients
        kick, slope = amplitude * kicks(0), gradient(x)
        return (x - 0.5 * tau * (slope + gradient(x - tau * slope + kick, 1)) + kick,)
