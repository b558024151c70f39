"""Several species, one after the other: each takes a step with the others frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from functionals.base import Functional
from functionals.species import SpeciesFunctional, require_species, seen
from jko.errors import one_of, positive_number
from jko.measures import Particles, Species
from jko.scheme import Problem, Scheme, State, StepInfo, Wrapper

SWEEPS = ("gauss-seidel", "jacobi")


@dataclass(frozen=True, eq=False)
class SpeciesInTurn(Wrapper):
    """ρᵢ′ = a step of `scheme` for F as a functional of ρᵢ alone, the other species frozen: the semi-implicit
    JKO step of systems [DiFrancescoFagioli2013], for any inner scheme, one for all or a mapping by name.

    sweep="gauss-seidel" shows a species what those before it have become, "jacobi" what all were at the
    start. order=1: each once. order=2: the first species by τ/2, …, the last by τ, and back again by τ/2,
    Strang's symmetric composition, for inner schemes of order 2 (Gauss–Seidel). F is taken at t + τ, at order
    2 at t + τ/2.

    What a species sees of the others is a potential W∗μ, an internal energy on top of theirs, or the room
    below a cap that they leave: on densities on one grid, beside which other species may be particles that
    make a field. Where F is one energy and its parts are, Gauss–Seidel lowers it with every inner step;
    `fn.each` couplings have none. In a `steps.HellingerKantorovich` a `reaction_functional` may speak of
    species too.

    The record sums gaps, costs and dissipations of all species and has their worst relative gap and mass
    error; `made` and `left` are summed where inner steps make mass. Raises TypeError for a measure that is no
    `Species` and a functional that names no species, ValueError for species that are not there.
    """

    scheme: Scheme | Mapping[str, Scheme]
    sweep: str = "gauss-seidel"
    order: int = 1  # type: ignore[misc]

    first: ClassVar = {}
    measures: ClassVar = (Species,)

    def __post_init__(self):
        one_of("sweep", self.sweep, SWEEPS)
        if self.order not in (1, 2):
            raise ValueError(f"order: expected 1 or 2, got {self.order!r}")
        for scheme in self._schemes:
            if not isinstance(scheme, Scheme):
                raise TypeError(f"scheme: expected a scheme such as steps.Quantile(), got {scheme!r}")
            if scheme.order < self.order:
                raise ValueError(
                    "order: the symmetric composition has order 2 only where inner steps have, got "
                    f"{scheme!r} of order {scheme.order}: take steps.SecondOrder({scheme.scheme_name()}()) "
                    "or order=1"
                )
        if self.order == 2 and self.sweep == "jacobi":
            raise ValueError('sweep: "jacobi" has order 1; leave it out with order=2')

    @property
    def _schemes(self) -> list[Scheme]:
        return list(self.scheme.values()) if isinstance(self.scheme, Mapping) else [self.scheme]

    @property
    def changes_mass(self) -> bool:  # type: ignore[override]
        """Whether one of the schemes does."""
        return any(scheme.changes_mass for scheme in self._schemes)

    def check(self, F: Functional, mu: Species) -> None:
        if not isinstance(mu, Species):
            raise TypeError(
                f"steps.SpeciesInTurn moves Species, got {type(mu).__name__}: give jko.Species(a=mu, b=nu)"
            )
        require_species(F, mu.names)
        if all(isinstance(part, Particles) for _, part in mu.items()):
            raise TypeError(
                f"steps.SpeciesInTurn moves densities, got {mu!r}: particles move by descent.SpeciesEuler"
            )
        if isinstance(self.scheme, Mapping) and set(self.scheme) != set(mu.names):
            raise ValueError(
                f"scheme: expected one for each of {', '.join(mu.names)}, got {', '.join(self.scheme)}"
            )

    def prepare(self, F: Functional, mu: Species) -> Problem:
        self.check(F, mu)
        start = {}
        for name in mu.names:
            prepared = self._prepared(F.at(0.0), name, mu)
            start[name] = {} if prepared is None else dict(prepared[1].start)
        return Problem(F, start={"inner": start})

    def moved(self, problem: Problem, mu: Species, t: float, state: State):
        return problem, state  # every inner step is told so

    def energy(self, problem: Problem, mu: Species, t: float, state: State):
        return problem.F.at(t)(mu), 0.0

    def energy_kind_of(self, F: Functional):
        return "exact"

    def displacement_modulus(self, F: Functional, mu: Species):
        return None

    def step(self, problem: Problem, mu: Species, t: float, tau: float, state: State):
        tau = positive_number("tau", tau)
        F, names = problem.F.at(t + tau / self.order), mu.names
        plan = [(name, 0.0, tau) for name in names]
        if self.order == 2:
            there = [(name, 0.0, 0.5 * tau) for name in names[:-1]]
            back = [(name, 0.5 * tau, 0.5 * tau) for name in reversed(names[:-1])]
            plan = [*there, (names[-1], 0.0, tau), *back]
        now, inner, infos = mu, dict(state["inner"]), []
        for name, since, duration in plan:
            frozen = mu if self.sweep == "jacobi" else now
            prepared = self._prepared(F, name, frozen)
            if prepared is None:
                continue
            scheme, own = prepared
            # what stays of the last step's state, for another functional and with the others elsewhere
            own, kept = scheme.moved(own, frozen[name], t + since, State(inner[name]))
            new, after, info = scheme.step(own, frozen[name], t + since, duration, kept)
            infos.append((name, info))
            if not info.converged:
                break
            now, inner[name] = now.having(**{name: new}), dict(after)
        return now, state.having(inner=inner), _record(mu, now, infos)

    def _prepared(self, F: Functional, name: str, species: Species):
        """(scheme, problem) of a species with the others frozen, None where nothing moves it."""
        if isinstance(species[name], Particles):  # which make a field, and stay
            return None
        own = seen(F, name, species)
        if own is None:
            return None
        scheme = self.scheme[name] if isinstance(self.scheme, Mapping) else self.scheme
        scheme = _with_reaction_of(scheme, name, species)
        return scheme, scheme.prepare(own, species[name])


def _with_reaction_of(scheme: Any, name: str, species: Species):
    """A scheme whose reaction speaks of species, with what this one sees of it."""
    G = getattr(scheme, "reaction_functional", None)
    if G is None or not any(isinstance(term, SpeciesFunctional) for _, term in G.terms):
        return scheme
    require_species(G, species.names)
    own = seen(G, name, species)
    return scheme.scheme if own is None else replace(scheme, reaction_functional=own)


def _record(before: Species, after: Species, infos: list) -> StepInfo:
    parts = [info for _, info in infos]
    details = {f"{name} {key}": v for name, info in infos for key, v in info.details.items()}
    for key in ("made", "left"):
        if any(key in info.details for info in parts):
            details[key] = sum(info.details.get(key, 0.0) for info in parts)
    made = details.get("made", 0.0) - details.get("left", 0.0)
    notes = dict.fromkeys(f"{name}: {info.note}" for name, info in infos if info.note)
    errors = [info.mass_error for info in parts]
    return StepInfo.summed(
        parts,
        iterations=sum(info.iterations for info in parts),
        mass_error=max([abs(after.mass - before.mass - made), *errors]),
        min_density=float(
            min((mu.values.min() for _, mu in after.items() if hasattr(mu, "values")), default=np.nan)
        ),
        note="; ".join(notes),
        details=details,
    )
