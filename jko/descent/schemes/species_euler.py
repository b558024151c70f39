"""Several species of particles at once: explicit steps of all, each with its own drift and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from functionals.base import Functional
from functionals.species import energy_without_entropies, gradient, require_species, temperature
from jko.errors import UnsupportedFunctional, positive_number, seed_number
from jko.measures import Particles, Species
from jko.scheme import Problem, Scheme, State, Status, StepInfo


@dataclass(frozen=True)
class SpeciesEuler(Scheme):
    """xᵢ⁺ = xᵢ − τ∇δF/δμ_a(xᵢ) + √(2θ_aτ) ξ for every particle of every species a, all from the same
    positions.

    The species move together, by Euler's method where none has an entropy and by Euler–Maruyama with the
    temperature θ_a of `fn.on("a", θ_a * fn.Entropy())`; order 1, weak where there is noise. F is taken at t.
    Potentials, interactions and functionals of particles within a species and `fn.Cross` between two; a
    species that is a density makes a field and does not move. `fn.each` gives couplings that are no gradient.
    The noise is a function of `seed`, the number of the step and the species.

    `energy` is F without its entropies, `energy_kind` "exact" of that. Raises TypeError for what is no
    `Species`, UnsupportedFunctional for other internal energies and totals, which particles do not have.
    """

    seed: int = 0

    measures: ClassVar = (Species,)
    order: ClassVar[int] = 1

    def __post_init__(self):
        seed_number("seed", self.seed)

    def check(self, F: Functional, mu: Species) -> None:
        if not isinstance(mu, Species):
            raise TypeError(
                f"descent.SpeciesEuler moves Species, got {type(mu).__name__}: give jko.Species(a=mu, b=nu)"
            )
        require_species(F, mu.names)
        if not _movers(mu):
            raise TypeError(f"descent.SpeciesEuler moves particles, got {mu!r}: take steps.SpeciesInTurn")

    def prepare(self, F: Functional, mu: Species) -> Problem:
        self.check(F, mu)
        here = F.at(0.0)
        for name in _movers(mu):
            _temperature(here, name)
            gradient(here, name, mu)
        return Problem(F, start={"step": 0})

    def moved(self, problem: Problem, mu: Species, t: float, state: State):
        return problem, state

    def energy(self, problem: Problem, mu: Species, t: float, state: State):
        with jax.enable_x64(True):
            return float(energy_without_entropies(problem.F.at(t), mu)), 0.0

    def displacement_modulus(self, F: Functional, mu: Species):
        return None

    def step(self, problem: Problem, mu: Species, t: float, tau: float, state: State):
        tau, F, moved = positive_number("tau", tau), problem.at(t), {}
        for number, name in enumerate(mu.names):
            cloud: Any = mu[name]
            if name not in _movers(mu):
                continue
            x = np.asarray(cloud.positions, dtype=float) - tau * np.asarray(
                gradient(F, name, mu), dtype=float
            )
            noise = math.sqrt(2.0 * _temperature(F, name) * tau)
            if noise > 0.0:
                generator = np.random.default_rng([self.seed, state["step"], number])
                x = x + noise * generator.standard_normal(x.shape)
            if not np.all(np.isfinite(x)):
                note = f"{name}: a position became infinite: tau={tau:g} is too long for the drift; take less"
                return mu, state, StepInfo(status=Status.UNSTABLE, note=note)
            moved[name] = cloud.with_positions(x.astype(cloud.positions.dtype))
        after = mu.having(**moved)
        return after, state.having(step=state["step"] + 1), StepInfo(iterations=1, mass_error=0.0)


def _movers(mu: Species):
    return [name for name, cloud in mu.items() if isinstance(cloud, Particles)]


def _temperature(F: Functional, name: str) -> float:
    try:
        return temperature(F, name)
    except ValueError as refusal:
        raise UnsupportedFunctional(
            f"descent.SpeciesEuler moves {name!r}, but {refusal}: take descent.SpeciesBlob for "
            "fn.TotalInternal, or put the species on a grid and take steps.SpeciesInTurn"
        ) from None
