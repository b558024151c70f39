"""Overdamped Langevin dynamics, the entropy as noise: three integrators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from functionals.array import Array
from jko.descent.schemes.stochastic import StochasticDescent


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
    interaction (`jko.descent.fields.stability`).
    """

    takes: ClassVar = frozenset({"entropy", "potential", "interaction", "rest"})
    confined: ClassVar[bool] = True
    order: ClassVar[int] = 1

    @staticmethod
    def move(gradient: Callable, carried: tuple, coefficients: Array, kicks: Callable):
        """One step of positions `[d, n]`."""
        (x,), (tau, amplitude) = carried, coefficients
        return (x - tau * gradient(x) + amplitude * kicks(0),)


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

    def coefficients(self, temperature: float, tau: float):
        """τ and half the size of the noise."""
        tau, noise = super().coefficients(temperature, tau)
        return tau, 0.5 * noise

    @staticmethod
    def move(gradient: Callable, carried: tuple, coefficients: tuple, kicks: Callable):
        """One step of positions `[d, n]`."""
        (x,), (tau, half_amplitude) = carried, coefficients
        return (x - tau * gradient(x) + half_amplitude * (kicks(0) + kicks(1)),)


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
    confined: ClassVar[bool] = True
    order: ClassVar[int] = 2
    gradients_a_step: ClassVar[int] = 2

    @staticmethod
    def move(gradient: Callable, carried: tuple, coefficients: tuple | Array, kicks: Callable):
        """One step of positions `[d, n]`."""
        (x,), (tau, amplitude) = carried, coefficients
        kick, slope = amplitude * kicks(0), gradient(x)
        return (x - 0.5 * tau * (slope + gradient(x - tau * slope + kick, 1)) + kick,)
