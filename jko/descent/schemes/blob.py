"""The blob method: deterministic diffusion of particles by a regularised energy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from functionals import Functional
from jko.descent.fields.bandwidth import chosen_bandwidth, note_of, own_share, variance_bias
from jko.descent.fields.blob import blob_field, mesh_for
from jko.descent.fields.blob_sums import BlobSums, blob_sums
from jko.descent.fields.program import outside_terms
from jko.descent.fields.stability import largest_curvature, refuse_coarse
from jko.descent.newton.stabilised import LEAST_STAGES, rkl2, rkl2_on_the_host, stable_product, stages_for
from jko.descent.schemes.energy_descent import require_finite
from jko.descent.tolerances import TOLERANCES
from jko.errors import UnsupportedFunctional, one_of, positive_number, whole_number
from jko.loops.sums.pair_sums import precision
from jko.measures import Measure, Particles
from jko.measures.forces import FAST
from jko.scheme import Problem, Records, Scheme, State, Status, StepInfo


@dataclass(frozen=True)
class Blob(Scheme):
    """ẋ = −∇_W F_ε(α)(x), F_ε(α) = ∫U(φ_ε∗α)/(φ_ε∗α) dα for the internal energies ∫U(ρ) of F.

    [CarrilloCraigPatacchini2019]; φ_ε is the density of N(0, ε² I) and ε the `bandwidth`, Silverman's rule at
    the first measure unless given. Potentials, interactions and functionals of particles act as they are. The
    bias of the velocity is O(ε⁴) for the entropy, O(ε²) for powers. `energy` is that of F_ε, which falls
    along the flow.

    `bandwidth`, the `own_share` of a particle in the density at its place, and the `variance_bias` that
    both make (an estimate, `jko.descent.fields.bandwidth`) are columns of the records; a bias above
    5 % is in the `note`, and a share above one half at the start is refused.

    A step is one of RKL2, explicit and of second order, with as many `stages` as τ and the measured curvature
    L ask for; with `stages` given, a step beyond their limit is refused as "unstable", with the limit. `sums`
    is "direct" (all pairs), "mesh" (O(n) in jax, to 1e-8), "fourier" (O(n) on the host, to 1e-9 of the
    largest; interactions as each says) or "auto": "fourier" from 20 000 particles on, else the cheaper of the
    others.
    """

    bandwidth: float | None = None
    stages: int | None = None
    sums: str = "auto"

    takes: ClassVar = frozenset({"entropy", "internal", "potential", "interaction", "rest"})
    measures: ClassVar = (Particles,)
    order: ClassVar[int] = 2
    energy_kind: ClassVar[str] = "regularised"

    def __post_init__(self):
        if self.bandwidth is not None:
            positive_number("bandwidth", self.bandwidth)
        if self.stages is not None:
            whole_number("stages", self.stages, least=LEAST_STAGES)
        one_of("sums", self.sums, ("auto", "direct", "mesh", "fourier"))

    def check(self, F: Functional, mu: Particles):
        super().check(F, mu)
        if not F.parts.internal:
            raise UnsupportedFunctional(
                f"descent.Blob regularises an entropy or another internal energy, and {F!r} has none: use "
                "descent.ForwardEuler or descent.BackwardEuler"
            )

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        self.check(F, mu)
        refuse_coarse(mu, self.scheme_name())
        bandwidth = chosen_bandwidth(self.bandwidth, mu, F.parts.kinds)
        problem = Problem(F, start={"step": 0, "bandwidth": bandwidth, "curvature": np.nan})
        energy, _ = self.energy(problem, mu, 0.0, problem.start)
        require_finite(F, energy)
        return problem.starting(problem.start.having(energy=energy))

    def energy(self, problem: Problem, mu: Measure, t: float, state: State):
        flow = self._field(problem.F, mu, state["bandwidth"]).at(t)
        with precision(mu.positions):
            # no stages: the cloud as it is, by the program that the steps have compiled
            none, still = np.int32(0), np.zeros((), mu.positions.dtype)
            return float(_moved(flow, mu.positions, mu.weights, still, none)[1]), 0.0

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        mu, state, records = self.advance(problem, mu, t, tau, 1, state)
        return mu, state, records.row(0)

    def advance(self, problem: Problem, mu: Measure, t: float, tau: float, n: int, state: State):
        """n steps; `bandwidth`, `own_share` and `variance_bias` are recorded, found where they end."""
        infos = []
        for k in range(n):
            mu, state, info = self._advance_once(problem, mu, t + k * tau, tau, state)
            infos.append(info)
            if not info.converged:
                return mu, state, Records.of(infos)
        width = state["bandwidth"]
        found = {
            "bandwidth": width,
            "own_share": own_share(mu, width),
            "variance_bias": variance_bias(mu, width),
        }
        infos[-1] = replace(infos[-1], note=note_of(mu, width))
        columns = {name: np.full(n, value) for name, value in found.items()}
        return mu, state, Records.of(infos).with_columns(**columns)

    def _advance_once(self, problem, mu: Measure, t, tau: float, state: State):
        tau, w = positive_number("tau", tau), mu.weights
        # of second order with F at the middle of the step
        flow, before = self._field(problem.F, mu, state["bandwidth"]).at(t + 0.5 * tau), state["energy"]
        if problem.depends_on_time:
            before, _ = self.energy(problem, mu, t + 0.5 * tau, state)
        with precision(mu.positions):
            x = mu.positions
            curvature = state["curvature"]
            if state["step"] % TOLERANCES.remeasured_steps == 0:
                curvature = TOLERANCES.curvature_safety * _curvature(flow, x, w)
            for _ in range(3):
                stages = self.stages or stages_for(tau * curvature)
                if tau * curvature > stable_product(stages):
                    return mu, state, StepInfo(status=Status.UNSTABLE, note=_too_long(tau, stages, curvature))
                moved, after = _moved(flow, x, w, np.asarray(tau, x.dtype), np.int32(stages))
                moved, after = np.asarray(moved), float(after)
                allowed = before + 64 * np.finfo(x.dtype).eps * abs(before)
                if np.all(np.isfinite(moved)) and after <= allowed:
                    break
                curvature = 2.0 * max(curvature, _curvature(flow, x, w))
            else:
                return (
                    mu,
                    state,
                    StepInfo(status=Status.UNSTABLE, iterations=stages, note=_rose(tau, before, after)),
                )
        cost = float(np.sum(w[:, None] * (moved - x) ** 2, dtype=float)) / (2 * tau)
        info = StepInfo(
            iterations=stages,
            mass_error=0.0,
            dissipation=before - after - cost,
            transport_cost=cost,
        )
        state = state.having(step=state["step"] + 1, curvature=curvature, energy=after)
        return mu.with_positions(moved), state, info

    def _field(self, F: Functional, mu: Measure, bandwidth):
        parts = F.parts
        internal = tuple((float(c), atom) for c, atom in parts.internal)
        if self.sums == "fourier" or (self.sums == "auto" and mu.n >= FAST):
            return blob_sums(blob_field(internal, outside_terms(parts), bandwidth))
        return blob_field(internal, outside_terms(parts), bandwidth, self._mesh(mu, bandwidth))

    def _mesh(self, mu: Measure, bandwidth: float):
        return None if self.sums == "direct" else mesh_for(mu.positions, bandwidth, self.sums == "mesh")


def _moved(flow, x, w, tau: float, stages):
    if isinstance(flow, BlobSums):
        return rkl2_on_the_host(flow, x, w, float(tau), int(stages))
    return rkl2(flow)(x, w, tau, stages)


def _curvature(flow, x, w):
    products = flow.products(x, w) if isinstance(flow, BlobSums) else None
    return largest_curvature(flow.gradient, x, w, products)


def _too_long(tau: float, stages, curvature):
    return (
        f"tau={tau:g} is beyond the stability limit {stable_product(stages) / curvature:.3g} of "
        f"{stages} stages at the curvature L = {curvature:.3g}: take a smaller tau or more stages"
    )


def _rose(tau: float, before, after):
    return (
        f"the regularised energy rose from {before:.6g} to {after:.6g} in a step of tau={tau:g}: "
        "take a smaller tau"
    )
