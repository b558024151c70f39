"""What every deterministic particle scheme shares: a field that it follows, and the energy that must fall."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from functionals import Functional
from jko.descent.fields.bandwidth import chosen_bandwidth, note_of
from jko.descent.fields.blob import blob_field
from jko.descent.fields.program import Field, ParticleProblem, field, noted, outside_terms
from jko.descent.fields.sharded import compiled_energy, energy_at
from jko.descent.fields.stability import refuse_coarse
from jko.descent.tolerances import TOLERANCES
from jko.measures import Measure, Particles
from jko.scheme import Problem, Scheme, State

__all__ = [
    "EnergyDescent",
    "RegularisedDescent",
    "compiled_energy",
    "require_finite",
    "rose",
    "transport_cost",
]


class EnergyDescent(Scheme):
    """Particles that go down an energy which is known exactly: its value is carried from step to step."""

    measures: ClassVar = (Particles,)

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        self.check(F, mu)
        F = mu.reads(F)
        refuse_coarse(mu, self.scheme_name())
        flow = self.field(F, mu)
        start = flow.at(0.0)
        return ParticleProblem(F, flow, {**self.begun(start, mu), **noted(start, mu)}, mu.dimension)

    def energy(self, problem: Problem, mu: Measure, t: float, state: State):
        """F(α); where its sums are taken outside jax or it is a solution's, the value that the step has."""
        flow = problem.at(t)
        if problem.depends_on_time:
            return energy_at(flow, mu), 0.0
        outside = isinstance(flow, Field) and (flow.mesh is not None or flow.native(mu.positions))
        known = outside or (isinstance(flow, Field) and flow.solves)
        return (state["energy"] if known else problem.F(mu)), 0.0

    def moved(self, problem, mu: Measure, t, state: State):
        return problem, state.having(**self.begun(problem.at(t), mu))

    def begun(self, flow, mu: Measure) -> dict:
        """What the first step from mu is to know: F(α)."""
        return {"energy": energy_at(flow, mu)}

    def energy_before(self, problem: ParticleProblem, mu: Particles, t: float, state: State) -> float:
        """F(α) at the time t of what a step starts from, which the last step has told where F stays."""
        return energy_at(problem.at(t), mu) if problem.depends_on_time else state["energy"]

    def field(self, F: Functional, mu: Particles):
        """The field that the particles follow, found from the first measure."""
        return field(outside_terms(F.parts))


class RegularisedDescent(EnergyDescent):
    """The same for every functional that particles can carry once its internal energies are regularised.

    A subclass has a setting `bandwidth`: the ε of F_ε [CarrilloCraigPatacchini2019], by default the rule of
    `Blob` at the first measure. Without internal energies it is not used, and F is followed as it is.
    """

    takes_regularised: ClassVar = frozenset({"entropy", "internal", "potential", "interaction", "rest"})

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        problem = super().prepare(F, mu)
        require_finite(F, problem.start["energy"])
        note = note_of(mu, problem.flow.bandwidth) if F.parts.internal else ""
        return problem.starting(problem.start.having(note=note)) if note else problem

    def field(self, F: Functional, mu: Particles):
        if not F.parts.internal:
            return super().field(F, mu)
        bandwidth = chosen_bandwidth(self.bandwidth, mu, F.parts.kinds)
        internal = tuple((float(c), atom) for c, atom in F.parts.internal)
        return blob_field(internal, outside_terms(F.parts), bandwidth)

    def energy(self, problem: Problem, mu: Measure, t: float, state: State):
        if not problem.F.parts.internal:
            return super().energy(problem, mu, t, state)
        return energy_at(problem.at(t), mu), 0.0

    def energy_kind_of(self, F: Functional):
        return "regularised" if F.parts.internal else "exact"


def require_finite(F: Functional, energy: float) -> None:
    """Refuse blobs whose density is beyond what the internal energies of F allow."""
    if F.parts.internal and not np.isfinite(energy):
        raise ValueError(
            f"measure: expected particles of finite energy, got {energy:g} for the blobs of {F!r}: spread "
            "them, give a larger bandwidth, or raise the cap"
        )


def rose(before: float, after: float, dtype) -> bool:
    """Whether an energy rose beyond rounding, or is not finite any more."""
    return not after <= before + TOLERANCES.energy_rounding * np.finfo(dtype).eps * abs(before)


def transport_cost(x: np.ndarray, moved: np.ndarray, w: np.ndarray, tau: float) -> float:
    """Σ w_i |x⁺_i − x_i|²/2τ ≥ W₂²/2τ, the identity standing for the optimal coupling."""
    return float(np.sum(w[:, None] * (moved - x) ** 2, dtype=float)) / (2.0 * tau)
