"""The trapezoidal rule in the space of particle positions, of second order and implicit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jko.descent.fields.program import Field, program
from jko.descent.fields.sharded import energy_at
from jko.descent.newton.proximal import proximal_point
from jko.descent.schemes.energy_descent import RegularisedDescent, rose, transport_cost
from jko.errors import positive_number, whole_number
from jko.loops.sums.pair_sums import precision
from jko.measures import Measure
from jko.scheme import Problem, State, Status, StepInfo


@dataclass(frozen=True)
class Trapezoidal(RegularisedDescent):
    """x⁺ = x − (τ/2)(∇_W F(α)(x) + ∇_W F(α⁺)(x⁺)): of second order in τ, without a stability limit.

    An explicit half step y = x − (τ/2)∇_W F(α)(x), then a proximal half step that minimises Σ w_i |x⁺_i −
    y_i|²/τ + F(α⁺) to `tolerance` as `BackwardEuler` does: the trapezoidal rule of the lifted energy
    [ChuJacobs2025]. Internal energies enter as those of `Blob`, regularised with `bandwidth`.

    For λ-convex F with λ ≥ 0 the norm of the gradient falls at every step; on a quadratic F, F(α) − F(α⁺) is
    Σ w_i |x⁺_i − x_i|²/τ, twice what an implicit step is sure of. Large τ damps stiff modes slowly, by a
    factor near −1. A step that raises the energy is reported as "unstable".
    """

    tolerance: float | None = None
    max_iterations: int = 50
    max_inner_iterations: int = 200
    bandwidth: float | None = None

    takes: ClassVar = RegularisedDescent.takes_regularised
    order: ClassVar[int] = 2

    def __post_init__(self):
        for name in ("tolerance", "bandwidth"):
            if getattr(self, name) is not None:
                positive_number(name, getattr(self, name))
        whole_number("max_iterations", self.max_iterations)
        whole_number("max_inner_iterations", self.max_inner_iterations)

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau, x, w = positive_number("tau", tau), mu.positions, mu.weights
        start, flow = problem.at(t), problem.at(t + tau)
        tolerance = self.tolerance or (1e-9 if x.dtype == np.float64 else 1e-4)
        before = self.energy_before(problem, mu, t + tau, state)
        limits = self.max_iterations, self.max_inner_iterations
        with precision(x):
            if isinstance(flow, Field):
                middle = x - x.dtype.type(0.5 * tau) * np.asarray(start.compiled_gradient(x, w))
            else:
                middle = np.asarray(_explicit(start)(x, w, x.dtype.type(0.5 * tau)))
            # the explicit half step may lie far out where the drift is stiff, x does not
            moved, error, count = proximal_point(flow, middle, x, w, 0.5 * tau, tolerance, *limits)
        after = energy_at(flow, mu.with_positions(moved)) if np.all(np.isfinite(moved)) else np.nan
        converged = error <= tolerance
        # two forces at two times: F need not fall by more than the step is long
        allowed = transport_cost(x, moved, w, tau) if problem.depends_on_time else 0.0
        if converged and rose(before + allowed, after, x.dtype):
            return mu, state, StepInfo(Status.UNSTABLE, iterations=int(count), note=_rose(tau, before, after))
        cost = transport_cost(x, moved, w, tau)
        info = StepInfo(
            status=Status.of(converged),
            iterations=int(count),
            mass_error=0.0,
            dissipation=before - after - cost,
            transport_cost=cost,
            note=state.get("note", "") if converged else _not_converged(error, tolerance, int(count)),
        )
        return mu.with_positions(moved), state.having(energy=after), info


@program
def _explicit(flow: Field):
    return lambda x, w, tau: x - tau * flow.gradient(x, w)


def _rose(tau: float, before, after):
    return (
        f"the energy went from {before:.6g} to {after:.6g} in a step of tau={tau:g}, too large for the "
        "trapezoidal rule here: take a smaller tau or descent.BackwardEuler"
    )


def _not_converged(error, tolerance: float, count):
    return (
        f"the relative residual is {error:.2g} after {count} Newton iterations, "
        f"above tolerance={tolerance:g}: take a smaller tau, raise max_iterations, or loosen tolerance"
    )
