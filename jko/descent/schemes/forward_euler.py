"""Explicit gradient descent of particles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from functionals import Functional
from functionals.array import Array
from jko.descent.fields.program import field, outside_terms, program
from jko.descent.fields.sharded import laid_out, spread_field
from jko.descent.fields.stability import host_product, largest_curvature
from jko.descent.schemes.energy_descent import EnergyDescent
from jko.errors import positive_number
from jko.loops.sums.pair_sums import precision
from jko.measures import Measure, Particles
from jko.scheme import Problem, State, Status, StepInfo
from jko.sharding import gather


@dataclass(frozen=True)
class ForwardEuler(EnergyDescent):
    """x⁺ = x − τ ∇_W F(α)(x), α = Σ w_i δ_{x_i}: of first order in τ, one gradient a step.

    The energy falls wherever τ < 2/L, L the largest curvature of F; a step that raises it is reported as
    "unstable", with the limit. The step's `dissipation` is F(α) − F(α⁺) − Σ w_i|x⁺_i − x_i|²/2τ, the identity
    standing for the optimal coupling. An entropy is infinite on particles: `Langevin` and `Blob` take it.
    """

    takes: ClassVar = frozenset({"potential", "interaction", "rest"})
    renewed: ClassVar = frozenset({"gradient"})
    order: ClassVar[int] = 1
    on_many_devices: ClassVar[bool] = True
    confined: ClassVar[bool] = True

    def field(self, F: Functional, mu: Particles):
        return spread_field(outside_terms(F.parts))

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau, flow, dtype = positive_number("tau", tau), problem.at(t), mu.positions.dtype
        before = self.energy_before(problem, mu, t, state)
        with precision(mu.positions):
            known = {}
            if _gives_both(flow, mu):
                moved, after, squared_gradient, known = _moved_on(flow, mu, np.asarray(tau, dtype), state)
            else:
                moved, after, squared_gradient = _moved(flow, mu, np.asarray(tau, dtype))
            rise = max(64 * np.finfo(dtype).eps * abs(before), 1e-3 * tau * squared_gradient)
            if not np.all(np.isfinite(moved)) or not after <= before + rise:
                whole, x, w = field(problem.flow.terms).at(t), mu.positions, mu.weights
                curvature = largest_curvature(whole.gradient, x, w, host_product(whole, x, w))
                return (
                    mu,
                    state,
                    StepInfo(status=Status.UNSTABLE, note=_unstable(tau, before, after, curvature)),
                )
        cost = 0.5 * tau * squared_gradient
        note = state.get("note", "")
        info = StepInfo(
            iterations=1, mass_error=0.0, dissipation=before - after - cost, transport_cost=cost, note=note
        )
        return mu.with_positions(moved), state.having(energy=after, **known), info

    def begun(self, flow, mu: Particles) -> dict:
        if not _gives_both(flow, mu):
            return super().begun(flow, mu)
        with precision(mu.positions):
            return _solved(flow, mu, mu.positions, {})


def _moved(flow, mu: Particles, tau: np.ndarray):
    """(x⁺, F(α⁺), Σ w|∇_W F|²): a compiled step, or on the host where sums are taken outside jax."""
    x, w = mu.positions, mu.weights
    if not flow.native(x):
        moved, after, squared = _step(flow)(*laid_out(flow, x, w), tau)
        return gather(moved, mu.n), float(after), float(squared)
    gradient = flow.compiled_gradient(x, w)
    moved = x - tau * gradient
    after = float(flow.compiled_energy(moved, w)) if np.all(np.isfinite(moved)) else np.inf
    return moved, after, float(np.sum(w[:, None] * gradient**2, dtype=float))


def _gives_both(flow, mu: Particles) -> bool:
    """Whether the energy after a step comes with the gradient that the next one follows."""
    return flow.whole is None and flow.solves and not flow.native(mu.positions)


def _moved_on(flow, mu: Particles, tau: np.ndarray, state: State):
    """The same, with the gradient of the last step, and what the next one is to know."""
    x, w, gradient = mu.positions, mu.weights, state["gradient"]
    moved = x - tau * gradient
    known = _solved(flow, mu, moved, state)
    squared = float(np.sum(w[:, None] * gradient**2, dtype=float))
    return moved, known.pop("energy"), squared, known


def _solved(flow, mu: Particles, x: np.ndarray, state: dict) -> dict:
    """F and its gradient at x, and the last three ends of iterations, which begin where those of the state
    lead: their tolerance is met at every step anew."""
    names = [f"end of iteration {k}" for k in range(len(flow.iterated))]
    starts = tuple(
        _ahead(state[name]) if name in state else atom.unknown(mu)
        for name, atom in zip(names, flow.iterated, strict=True)
    )
    energy, gradient, ends = _both(flow)(x, mu.weights, starts)
    past = {name: np.vstack([*state.get(name, ())[-2:], end]) for name, end in zip(names, ends, strict=True)}
    return {"energy": float(energy), "gradient": np.asarray(gradient), **past}


def _ahead(past: np.ndarray) -> np.ndarray:
    """What follows the rows, one to three at equal distances, on the polynomial through them."""
    weights = {1: (1.0,), 2: (-1.0, 2.0), 3: (1.0, -3.0, 3.0)}[len(past)]
    return np.asarray(weights) @ past


@program
def _both(flow):
    return flow.energy_and_gradient


@program
def _step(flow):
    def step(x: Array, w: Array, tau: Array):
        gradient = flow.gradient(x, w)
        moved = x - tau * gradient
        return moved, flow.energy(moved, w), jnp.sum(w[:, None] * gradient**2)

    return step


def _unstable(tau: float, before: float, after: float, curvature: float):
    raised = f"the step raised the energy from {before:.6g} to {after:.6g}"
    if tau * curvature >= 1.0 and np.isfinite(curvature):
        return (
            f"{raised}: tau={tau:g} is beyond the stability limit 2/L = {2.0 / curvature:.3g} of an explicit "
            "step, so take a smaller tau or descent.BackwardEuler"
        )
    return (
        f"{raised}, though the curvature where it began allows tau={tau:g}: a particle crossed a kink, a "
        "steep wall or a side of its box, so take a smaller tau or, outside of boxes, descent.BackwardEuler"
    )
