"""Birth and death of particles: weights that grow and shrink, and resampling that keeps every mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import numpy as np

from functionals import Functional, pointwise
from jko.descent.fields.bandwidth import chosen_bandwidth
from jko.descent.fields.blob import blob_field, mesh_for
from jko.descent.fields.program import ParticleProblem, field, outside_terms, program
from jko.descent.fields.sharded import energy_at
from jko.descent.tolerances import TOLERANCES
from jko.errors import one_of, positive_number, seed_number
from jko.loops.sums.pair_sums import precision
from jko.measures import Population
from jko.scheme import Problem, Scheme, State, Status, StepInfo

POPULATIONS = ("fixed", "changing", "weights")


@dataclass(frozen=True)
class BirthDeath(Scheme):
    """wᵢ′ = wᵢ exp(−sξᵢ), s = τ/δ²: the flow ∂_tρ = −ρ ξ/δ² of F in the Fisher–Rao metric of `length` δ, on a
    `Population` whose particles stay where they are [LuLuNolen2019].

    ξᵢ = ∂F/∂wᵢ is the first variation at the particles, of the midpoint of the step, order 2 in τ; internal
    energies enter by their blobs, F_ε(α) = ∫U(φ_ε∗α)/(φ_ε∗α) dα of bandwidth ε [CarrilloCraigPatacchini2019],
    by default that of `Blob` at the first measure. `conserving` holds the mass, ξ − ∫ξ/mass in the place of
    ξ.

    population: "weights" lets the weights drift apart. "fixed" draws the particles anew, with equal weights
    and in the same number, where the effective number (Σw)²/Σw² falls below `threshold` n; "changing" also
    where the mass of a particle leaves its first one by a quarter, and as many as bring it back. Resampling
    is systematic: a particle of weight w has nw/Σw copies on average, every integral keeps its mean, and the
    mass stays. It is drawn from `seed` and the number of the step.

    `details`: made, left (mass of the weights that grew and shrank), particles, effective, resampled. In
    `steps.HellingerKantorovich(transport, reaction=BirthDeath())` the length is the wrapper's. Raises
    TypeError for `Particles`, whose weights stay, with how to make them a population.
    """

    length: float = 1.0
    conserving: bool = False
    population: str = "fixed"
    threshold: float = 0.5
    bandwidth: float | None = None
    seed: int = 0

    takes: ClassVar = frozenset({"entropy", "internal", "potential", "interaction", "rest"})
    measures: ClassVar = (Population,)
    order: ClassVar[int] = 2
    transports: ClassVar[bool] = False

    def __post_init__(self):
        positive_number("length", self.length)
        one_of("population", self.population, POPULATIONS)
        seed_number("seed", self.seed)
        if self.bandwidth is not None:
            positive_number("bandwidth", self.bandwidth)
        if not 0.0 < positive_number("threshold", self.threshold) <= 1.0:
            raise ValueError(f"threshold: expected a share of the particles up to 1, got {self.threshold:g}")
        if not isinstance(self.conserving, bool):
            raise TypeError(f"conserving: expected True or False, got {self.conserving!r}")

    @property
    def changes_mass(self) -> bool:  # type: ignore[override]
        """Unless it is held."""
        return not self.conserving

    def prepare(self, F: Functional, mu: Population) -> Problem:
        self.check(F, mu)
        flow, internal = field(outside_terms(F.parts)), F.parts.internal
        if internal:
            bandwidth = chosen_bandwidth(self.bandwidth, mu, F.parts.kinds)
            terms = tuple((float(c), atom) for c, atom in internal)
            flow = blob_field(terms, outside_terms(F.parts), bandwidth, mesh_for(mu.positions, bandwidth))
        return ParticleProblem(F, flow, {"step": 0, "unit": mu.mass / mu.n}, mu.dimension)

    def moved(self, problem: Problem, mu: Population, t: float, state: State):
        return problem, state

    def energy(self, problem: Problem, mu: Population, t: float, state: State):
        return energy_at(problem.at(t), self._padded(mu)), 0.0

    def energy_kind_of(self, F: Functional):
        return "regularised" if F.parts.internal else "exact"

    def step(self, problem: Problem, mu: Population, t: float, tau: float, state: State):
        s = positive_number("tau", tau) / self.length**2
        flow = problem.at(t + 0.5 * tau)
        weights = np.asarray(mu.weights, dtype=float)
        middle = self._grown(flow, mu, mu, 0.5 * s)
        grown = None if middle is None else self._grown(flow, middle, mu, s)
        if grown is None:
            most = TOLERANCES.most_growth
            note = f"weights would change by e^{most:g} within tau = {tau:g}: take a smaller tau"
            return mu, state, StepInfo(status=Status.UNSTABLE, note=note)
        change = np.asarray(grown.weights, dtype=float) - weights
        made, left = float(change[change > 0.0].sum()), float(-change[change < 0.0].sum())
        new, effective = self._resampled(grown, state)
        details = {"made": made, "left": left, "particles": new.n, "effective": effective}
        info = StepInfo(
            iterations=2,
            mass_error=abs(new.mass - mu.mass - made + left),
            dissipation=energy_at(flow, self._padded(mu)) - energy_at(flow, self._padded(grown)),
            details={**details, "resampled": int(new is not grown)},
        )
        return new, state.having(step=state["step"] + 1), info

    def _grown(self, flow, here: Population, start: Population, s: float):
        """`start` with its weights after s at the rates of `here`; None where they leave the range of
        floats."""
        with precision(here.positions):
            padded = self._padded(here)
            rates = -np.asarray(_variation(flow)(padded.positions, padded.weights), dtype=float)[: here.n]
        weights = np.asarray(start.weights, dtype=float)
        if self.conserving:
            rates = rates - np.average(rates, weights=weights)
        if not np.all(np.isfinite(rates)) or np.abs(s * rates).max() > TOLERANCES.most_growth:
            return None
        grown = weights * np.exp(s * rates)
        if self.conserving:
            grown *= weights.sum() / grown.sum()
        dtype = start.weights.dtype
        return Population(start.positions, np.maximum(grown, np.finfo(dtype).tiny).astype(dtype))

    def _padded(self, mu: Population):
        """The population; one that changes, which programs would be compiled for at each size, up to one of
        few sizes: its particles once more, with next to no weight."""
        size = pointwise.program_size(mu.n)
        if self.population != "changing" or size == mu.n:
            return mu
        tiny = np.full(size - mu.n, np.finfo(mu.weights.dtype).tiny, dtype=mu.weights.dtype)
        return Population(np.resize(mu.positions, (size, mu.dimension)), np.concatenate([mu.weights, tiny]))

    def _resampled(self, mu: Population, state: State):
        """(the population drawn anew where it is to be, its effective number)."""
        weights = np.asarray(mu.weights, dtype=float)
        effective = float(weights.sum() ** 2 / np.sum(weights**2))
        number = mu.n
        if self.population == "changing" and abs(mu.mass / (mu.n * state["unit"]) - 1.0) > TOLERANCES.drift:
            number = max(1, round(mu.mass / state["unit"]))
        wanted = self.population != "weights" and (effective < self.threshold * mu.n or number != mu.n)
        if not wanted:
            return mu, effective
        return mu.resampled(number, np.random.SeedSequence([self.seed, state["step"]])), effective


@program
def _variation(flow):
    return jax.grad(flow.energy, argnums=1)
