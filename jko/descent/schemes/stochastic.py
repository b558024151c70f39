"""What the stochastic integrators share: blocks of steps whose noise is a function of the seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from functionals import Functional
from jko.descent.blocks.noise import NOISES
from jko.descent.blocks.observables import checked_observables
from jko.descent.blocks.runs import Steps, Thrown
from jko.descent.blocks.steps import within_reach
from jko.descent.fields.energy_estimate import ENTROPY_SAMPLE, estimated_energy
from jko.descent.fields.program import ParticleProblem, noted, outside_terms
from jko.descent.fields.program import field as field_of
from jko.descent.fields.sharded import spread_field
from jko.descent.fields.stability import (
    host_product,
    largest_curvature,
    refuse_coarse,
    refuse_unstable,
    rounded_away,
)
from jko.descent.fields.watch import Watch
from jko.descent.fields.watch import sentence as thrown_sentence
from jko.errors import one_of, positive_number, seed_number, whole_number
from jko.loops.sums.pair_sums import precision
from jko.measures import Measure, Particles
from jko.scheme import Problem, Records, Scheme, State, Status


@dataclass(frozen=True)
class StochasticDescent(Scheme):
    """A move of particles with noise, repeated; F = θ∫ρ log ρ + G gives the temperature θ, the drift −∇_W G.

    A subclass gives `move(gradient, carried, coefficients, kicks)`, a function of the arrays `[d, n]` that it
    carries, the positions first and then those named in `carries`, and where they are not the explicit step's
    `coefficients(θ, τ)`, the numbers that `move` needs, and `limit(L)`, the largest τ that a curvature L
    allows. `kicks(k)` are the unit increments of the k-th step from now.
    """

    seed: int = 0
    noise: str = "gaussian"
    neighbours: int | None = None
    observables: Mapping = field(default_factory=dict, hash=False)
    entropy_sample: int = ENTROPY_SAMPLE

    measures: ClassVar = (Particles,)
    energy_kind: ClassVar[str] = "estimate"
    on_many_devices: ClassVar[bool] = True
    carries: ClassVar[tuple[str, ...]] = ()
    gradients_a_step: ClassVar[int] = 1
    follows_gradient: ClassVar[bool] = True  # the drift is −∇_W G itself

    def __post_init__(self):
        seed_number("seed", self.seed)
        whole_number("entropy_sample", self.entropy_sample, least=2)
        if self.neighbours is not None:
            whole_number("neighbours", self.neighbours)
        one_of("noise", self.noise, NOISES)
        checked_observables(self.observables)

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        self.check(F, mu)
        F = mu.reads(F)
        refuse_coarse(mu, self.scheme_name())
        flow = self.field(F)
        return ParticleProblem(F, flow, {"step": 0, **noted(flow.at(0.0), mu)}, mu.dimension)

    def field(self, F: Functional):
        """The field that the particles follow."""
        return spread_field(outside_terms(F.parts))

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        mu, state, records = self.advance(problem, mu, t, tau, 1, state)
        return mu, state, records.row(0)

    def advance(self, problem: Problem, mu: Measure, t: float, tau: float, n: int, state: State):
        """n steps, in compiled blocks or on the host; the same numbers as n calls of `step`."""
        tau, flow, first, F = positive_number("tau", tau), problem.at(t), state["step"], problem.F
        noise = math.sqrt(2.0 * F.parts.temperature * tau)
        if first == 0:
            self.refuse_unstable(F.at(t), mu, tau)
            if coarse := rounded_away(mu, noise):
                raise ValueError(coarse)
        watch = self.watch(F, tau, mu)
        with precision(mu.positions):
            coefficients = self.numbers(F, tau, mu)
            carried = (mu.positions, *(state[name] for name in self.carries))
            clock = np.asarray([t - first * tau, tau], mu.positions.dtype)
            steps = Steps(self, problem.flow, mu.weights, coefficients, watch, clock)
            run = steps.on_the_host if flow.leaves_jax(mu.positions) else steps.compiled
            try:
                (moved, *carried), columns = run(carried, first, first + n)
            except Thrown as thrown:
                return mu, state, self._failed(n, thrown_sentence(*thrown.args, tau, self._limit(mu, flow)))
        # far out nothing overflows yet but the energies of what is there
        if not within_reach(moved):
            return mu, state, self.diverged(mu, flow, first, first + n, tau)
        mu = mu.with_positions(moved)
        if coarse := rounded_away(mu, noise):
            return mu, state, self._failed(n, coarse)
        state = state.having(step=first + n, **dict(zip(self.carries, carried, strict=True)))
        note = state.get("note", "")
        records = Records.constant(n, iterations=self.gradients_a_step, mass_error=0.0, note=note)
        return mu, state, records.with_columns(**columns)

    def coefficients(self, temperature: float, tau: float):
        """τ and √(2θτ), what a step multiplies the drift and the noise with."""
        return tau, math.sqrt(2.0 * temperature * tau)

    def limit(self, curvature: float):
        """|1 − z| ≤ 1 for z = Lτ ≤ 2."""
        return 2.0 / curvature

    def numbers(self, F: Functional, tau: float, mu: Measure) -> np.ndarray:
        """The coefficients of a move in the dtype of the positions."""
        return np.asarray(self.coefficients(F.parts.temperature, tau), mu.positions.dtype)

    def watch(self, F: Functional, tau: float, mu: Measure) -> Watch:
        """What is looked for on the way: a drift that changes by more than a step can follow."""
        return Watch(tau, 2.0 * F.parts.temperature * tau * mu.dimension)

    def moved(self, problem, mu: Measure, t, state: State):
        return problem, state

    def energy(self, problem: Problem, mu: Measure, t: float, state: State):
        how = self.neighbours, self.entropy_sample
        return estimated_energy(problem.F.at(t), mu, problem.at(t), *how)

    def refuse_unstable(self, F: Functional, mu: Measure, tau: float) -> None:
        """Refuse a τ beyond the stability limit at the particles."""
        refuse_unstable(F.parts, mu, tau, self.scheme_name(), self.limit)

    def diverged(self, mu: Measure, flow, first, last, tau: float) -> Records:
        """The records of a block that did not stay finite."""
        note = (
            f"a position became infinite between steps {first} and {last}: tau={tau:g} is beyond what the "
            f"drift allows{self._limit(mu, flow)}; take a smaller tau"
        )
        return self._failed(last - first, note)

    def _limit(self, mu: Particles, flow) -> str:
        """The stability limit at particles, where the drift has a curvature there: words for a sentence."""
        with precision(mu.positions):
            whole, here = field_of(flow.terms), (mu.positions, mu.weights)
            curvature = largest_curvature(whole.gradient, *here, host_product(whole, *here))
        # far out the curvature overflows as well
        known = 0.0 < curvature < np.inf and np.isfinite(self.limit(curvature))
        return f" (the stability limit is {self.limit(curvature):.3g} where the block began)" if known else ""

    @staticmethod
    def _failed(n: int, note: str) -> Records:
        return Records.constant(n, status=Status.UNSTABLE, note=note)
