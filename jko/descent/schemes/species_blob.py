"""Several species of particles under energies of their total density, as one cloud of blobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from functionals.algebra import Sum
from functionals.base import Functional
from functionals.species import On, TotalInternal, require_species
from jko.descent.schemes.blob import Blob
from jko.errors import UnsupportedFunctional
from jko.measures import Particles, Population, Species
from jko.scheme import Problem, State, Wrapper


@dataclass(frozen=True)
class SpeciesBlob(Wrapper):
    """ẋ = −∇δF_ε/δμ_a(x) for the particles of every species a, F_ε = ∫U(φ_ε∗α)/(φ_ε∗α) dα + G, α = Σμ_a.

    [CarrilloCraigPatacchini2019]: species that share their room, ∫U(Σρ_a), are one cloud that remembers who
    is who, moved by `scheme`, a `Blob`. F is a sum of `fn.TotalInternal` and of `fn.on(a, G_a)` with
    potentials, interactions and functionals of particles. On the line nobody passes another that feels the
    same G. The masses of species count, which `jko.Population` has; those of `Particles` are 1 each.

    Raises TypeError for what is no `Species` of particles, UnsupportedFunctional for an F without a total,
    for internal energies of one species alone, and for `Cross`, `each` and caps.
    """

    scheme: Any = field(default_factory=Blob)

    measures: ClassVar = (Species,)

    def __post_init__(self):
        if not isinstance(self.scheme, Blob):
            raise TypeError(f"scheme: expected a descent.Blob, got {self.scheme!r}")

    def check(self, F: Functional, mu: Species) -> None:
        if not isinstance(mu, Species) or not all(isinstance(cloud, Particles) for _, cloud in mu.items()):
            raise TypeError(
                f"descent.SpeciesBlob moves Species of particles, got {mu!r}: take steps.SpeciesInTurn for "
                "densities, or mu.sample(n, seed)"
            )
        require_species(F, mu.names)
        for _, term in F.terms:
            alone = isinstance(term, On) and not term.F.parts.kinds - {"potential", "interaction", "rest"}
            if not (alone or isinstance(term, TotalInternal)):
                raise UnsupportedFunctional(
                    f"descent.SpeciesBlob does not take {term!r}, but fn.TotalInternal and potentials and "
                    "interactions of one species: take descent.SpeciesEuler without a total, or put the "
                    "species on a grid and take steps.SpeciesInTurn"
                )
        if not any(isinstance(term, TotalInternal) for _, term in F.terms):
            raise UnsupportedFunctional(
                f"descent.SpeciesBlob regularises fn.TotalInternal, and {F!r} has none: take "
                "descent.SpeciesEuler"
            )

    def prepare(self, F: Functional, mu: Species) -> Problem:
        self.check(F, mu)
        inner = self.scheme.prepare(_of_all(F, mu), _together(mu))
        return Problem(F, lambda _: inner, {"inner": inner.start})

    def moved(self, problem: Problem, mu: Species, t: float, state: State):
        inner, after = self.scheme.moved(problem.at(t), _together(mu), t, self.inner(state))
        return Problem(problem.F, lambda _: inner), state.having(inner=after)

    def energy(self, problem: Problem, mu: Species, t: float, state: State):
        return self.scheme.energy(problem.at(t), _together(mu), t, self.inner(state))

    def displacement_modulus(self, F: Functional, mu: Species):
        return None

    def step(self, problem: Problem, mu: Species, t: float, tau: float, state: State):
        all_of_them, inner, info = self.scheme.step(problem.at(t), _together(mu), t, tau, self.inner(state))
        moved: dict[str, Any] = dict(mu.items())
        for name, part in _parts(mu).items():
            moved[name] = moved[name].with_positions(all_of_them.positions[part])
        return mu.having(**moved), state.having(inner=inner), info


class _OfPart(Functional):
    """F of the particles `part` of a cloud, the others left out."""

    def __init__(self, F: Functional, part: slice):
        self.F, self.part = F, part

    def at(self, t):
        return _OfPart(self.F.at(t), self.part) if self.depends_on_time else self

    @property
    def depends_on_time(self):
        return self.F.depends_on_time

    def energy(self, mu):
        return self.F.energy(Particles.moved(mu.positions[self.part], mu.weights[self.part]))

    def __repr__(self):
        return f"{self.F!r} of particles {self.part.start} to {self.part.stop}"


def _parts(mu: Species) -> dict[str, slice]:
    """Where each species lies in the cloud of all."""
    ends = np.cumsum([0, *(cloud.n for _, cloud in mu.items())])
    return {name: slice(int(a), int(b)) for name, a, b in zip(mu.names, ends[:-1], ends[1:], strict=True)}


def _together(mu: Species) -> Population:
    """All particles, one species after the other."""
    clouds = [Population.of(cloud) for _, cloud in mu.items()]
    return Population(
        np.concatenate([cloud.positions for cloud in clouds]),
        np.concatenate([cloud.weights for cloud in clouds]),
    )


def _of_all(F: Functional, mu: Species) -> Functional:
    """F as a functional of the cloud of all."""
    parts = _parts(mu)
    totals = [(c, term.U) for c, term in F.terms if isinstance(term, TotalInternal)]
    alone = [(c, _OfPart(term.F, parts[term.name])) for c, term in F.terms if isinstance(term, On)]
    return Sum((*totals, *alone))
