"""Implicit gradient descent of particles: the JKO step of a cloud under the identity coupling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jko.bounds import Space, gap_from_residual
from jko.descent.fields.sharded import energy_at
from jko.descent.newton.proximal import proximal_point
from jko.descent.schemes.energy_descent import EnergyDescent, transport_cost
from jko.errors import positive_number, whole_number
from jko.loops.sums.pair_sums import precision
from jko.measures import Measure
from jko.modulus import declared_modulus
from jko.scheme import Problem, State, Status, StepInfo


@dataclass(frozen=True)
class BackwardEuler(EnergyDescent):
    """x⁺ = x − τ ∇_W F(α⁺)(x⁺), α⁺ = Σ w_i δ_{x⁺_i}: of first order in τ, stable for every τ.

    Solved by minimising Σ w_i |x⁺_i − x_i|²/2τ + F(α⁺) by Newton's method with a line search: each
    particle alone where none feels another, else all together by conjugate gradients, until the residual is
    below `tolerance` times the displacement, by default 1e-9 in float64 and 1e-4 in float32.
    Since W₂² ≤ Σ w_i|x⁺_i − x_i|², a `dissipation` ≥ 0 of the step proves F(α⁺) + W₂²/2τ ≤ F(α). Where F
    declares its convexity λ, the residual bounds the `gap` to the least Φ, and the run has bounds.
    """

    tolerance: float | None = None
    max_iterations: int = 400  # 5 are usual; 190 where two points repel each other from 1e-9 apart
    max_inner_iterations: int = 200

    takes: ClassVar = frozenset({"potential", "interaction", "rest"})
    order: ClassVar[int] = 1

    def __post_init__(self):
        if self.tolerance is not None:
            positive_number("tolerance", self.tolerance)
        whole_number("max_iterations", self.max_iterations)
        whole_number("max_inner_iterations", self.max_inner_iterations)

    def space_of_steps(self, problem: Problem, mu: Measure):
        return Space.FLAT

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau, flow, x, w = positive_number("tau", tau), problem.at(t + tau), mu.positions, mu.weights
        tolerance = self.tolerance or (1e-9 if x.dtype == np.float64 else 1e-4)
        limits = self.max_iterations, self.max_inner_iterations
        with precision(x):
            moved, error, count = proximal_point(flow, x, x, w, tau, tolerance, *limits)
        new = mu.with_positions(moved)
        after, converged = energy_at(flow, new), error <= tolerance
        cost = transport_cost(x, moved, w, tau)
        # the residual was divided by the displacement and a floor (newton.proximal_step)
        floor = 64.0 * np.finfo(x.dtype).eps * np.sqrt(transport_cost(x, 0.0 * x, w, 0.5))
        residual = error * (np.sqrt(2.0 * tau * cost) + floor / tolerance) / tau
        modulus = declared_modulus(problem.F, mu.dimension, float(mu.mass))
        gap = gap_from_residual(float(residual), tau, modulus)
        info = StepInfo(
            status=Status.of(converged),
            gap=gap,
            relative_gap=gap / cost if cost > 0.0 else np.nan,
            iterations=int(count),
            mass_error=0.0,
            dissipation=self.energy_before(problem, mu, t + tau, state) - after - cost,
            transport_cost=cost,
            note=state.get("note", "") if converged else _not_converged(error, tolerance, int(count)),
        )
        return new, state.having(energy=after), info


def _not_converged(error, tolerance: float, count):
    return (
        f"the relative residual is {error:.2g} after {count} Newton iterations, "
        f"above tolerance={tolerance:g}: raise max_iterations, take a smaller tau, or loosen tolerance"
    )
