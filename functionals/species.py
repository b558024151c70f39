"""Functionals of several species: of one of them, between two, of their sum, and one for each."""

from __future__ import annotations

import copy
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.algebra import Sum
from functionals.base import Functional
from functionals.constraint import EXCESS, Cap
from functionals.entropies import Power
from functionals.gridded import GriddedFunction
from functionals.interaction import Interaction
from functionals.internal import InternalEnergy
from functionals.numbers import is_number
from functionals.potential import Potential
from functionals.time_dependence import AtTime


class SpeciesFunctional(Functional):
    """F of a measure of named measures, `jko.Species`.

    `seen_by(name, species)` is F as a functional of one of them with the others frozen, up to a constant, or
    None where it does not feel that one; `gradient(name, species)` is ∇δF/δμ_name at its points. `names` are
    the species that it speaks of, none where it takes all.
    """

    names: frozenset[str] = frozenset()

    def seen_by(self, name: str, species) -> Functional | None:
        """F of species[name] alone, the others as they are."""
        raise NotImplementedError(f"{type(self).__name__} must define seen_by(self, name, species)")

    def gradient(self, name: str, species):
        """∇δF/δμ at the points of species[name]."""
        seen = self.seen_by(name, species)
        return 0.0 if seen is None else seen.wasserstein_gradient(species[name])

    def probe(self, mu):
        return [float(self.at(0.0).energy(mu))]


def require_named(mu, F: SpeciesFunctional) -> None:
    """Refuse a measure that has no names."""
    if not hasattr(mu, "names"):
        named = ", ".join(f"{name}=..." for name in sorted(F.names)) or "..."
        raise TypeError(
            f"measure: {F!r} speaks of species, got {type(mu).__name__}: make jko.Species({named})"
        )


class On(SpeciesFunctional):
    """F(μ_name), a functional of one species alone: `on("prey", F)`."""

    def __init__(self, name: str, F: Functional):
        if not isinstance(name, str):
            raise TypeError(f"name: expected the name of a species, got {name!r}")
        if not isinstance(F, Functional):
            raise TypeError(f"F: expected a Functional, got {type(F).__name__}")
        if any(isinstance(term, SpeciesFunctional) for _, term in F.terms):
            raise TypeError(f"F: {F!r} speaks of species already: leave out the on({name!r}, ...)")
        self.name, self.F, self.names = name, F, frozenset({name})

    def at(self, t):
        return On(self.name, self.F.at(t)) if self.depends_on_time else self

    @property
    def depends_on_time(self):
        return self.F.depends_on_time

    def energy(self, mu):
        require_named(mu, self)
        return self.F.energy(mu[self.name])

    def seen_by(self, name: str, species):
        return self.F if name == self.name else None

    def gradient(self, name: str, species):
        outside = self.F.parts.without_internal
        return 0.0 if name != self.name or outside is None else outside.wasserstein_gradient(species[name])

    def probe(self, mu):
        return self.F.probe(mu[self.name])

    def __repr__(self):
        return f"on({self.name!r}, {self.F!r})"


def on(name: str, F: Functional) -> On:
    """F of the species of that name."""
    return On(name, F)


class Cross(SpeciesFunctional):
    """∬W(x − y) dμ_first(x)dμ_second(y) between two species, each of which feels the other's W∗μ.

    `W` is an even jax function of a difference `[d]`, a kernel's name with its parameters, as of
    `Interaction`, or an `Interaction`: attraction where W rises. Raises ValueError for two names that are
    one.
    """

    def __init__(self, W, first: str, second: str, **parameters):
        if not (isinstance(first, str) and isinstance(second, str)):
            raise TypeError(f"first, second: expected the names of two species, got {first!r}, {second!r}")
        if first == second:
            raise ValueError(
                f"first, second: expected two species, got {first!r} twice: on({first!r}, Interaction(W))"
            )
        self.kernel = W if isinstance(W, Interaction) else Interaction(W, **parameters)
        self.first, self.second, self.names = first, second, frozenset({first, second})

    def at(self, t):
        if not self.depends_on_time:
            return self
        here = copy.copy(self)
        here.kernel = self.kernel.at(t)
        return here

    @property
    def depends_on_time(self):
        return self.kernel.depends_on_time

    def energy(self, mu):
        require_named(mu, self)
        self.kernel.require_even(mu.dimension)
        return mu[self.first].integrate_values(mu.felt(self.kernel.W, self.first, self.second))

    def seen_by(self, name: str, species):
        if name not in self.names:
            return None
        self.kernel.require_even(species.dimension)
        return FrozenField(species.felt(self.kernel.W, name, self._other(name)), species[name], repr(self))

    def gradient(self, name: str, species):
        if name not in self.names:
            return 0.0
        self.kernel.require_even(species.dimension)
        return species.felt_gradient(self.kernel.W, name, self._other(name))

    def _other(self, name: str):
        return self.second if name == self.first else self.first

    def __repr__(self):
        return f"Cross({self.kernel!r}, {self.first!r}, {self.second!r})"


class TotalInternal(SpeciesFunctional):
    """∫U(Σᵢρᵢ) dx of an internal energy U: species that share their room, as `TotalInternal(Power(2.0))`.

    A species sees U(R + ρ), R the others' density. For `Power(2.0)` that is Power(2.0) and the potential 2R,
    which every engine takes; for other U the part U(R + ρ) − U(ρ) is known by its values and its first
    variation, which `limits.FiniteVolume` and `steps.FisherRao` take. On densities that share a grid. Of a
    sum of internal energies with positive weights it is the sum of theirs.
    """

    def __new__(cls, U=None):
        if isinstance(U, Sum) and all(isinstance(atom, InternalEnergy) for _, atom in U.terms):
            return Sum(tuple((c, cls(atom)) for c, atom in U.terms))
        return super().__new__(cls)

    def __init__(self, U: InternalEnergy | Sum):
        if not isinstance(U, InternalEnergy):
            raise TypeError(f"U: expected an internal energy such as fn.Power(2.0), got {U!r}")
        self.U = U

    def energy(self, mu):
        require_named(mu, self)
        return mu.grid.cell_volume * self.U.density(mu.total_values()).sum()

    def seen_by(self, name: str, species):
        others = species.total_values(without=name)
        if isinstance(self.U, Power) and self.U.m == 2.0:
            return self.U + FrozenField(2.0 * others, species[name], repr(self))
        return self.U + OnTop(self.U, others)

    def probe(self, mu):
        return self.U.probe(mu[mu.names[0]])

    def __repr__(self):
        return f"TotalInternal({self.U!r})"


class TotalCap(SpeciesFunctional):
    """0 where Σᵢρᵢ ≤ cap everywhere, else +∞: species that share the room of `Cap`. On densities on a
    grid."""

    def __init__(self, cap: float):
        if not (is_number(cap) and cap > 0):
            raise ValueError(f"cap must be a positive number, got {cap!r}")
        self.cap = float(cap)

    def energy(self, mu):
        require_named(mu, self)
        return jnp.where((mu.total_values() <= self.cap * (1.0 + EXCESS)).all(), 0.0, jnp.inf)

    def seen_by(self, name: str, species):
        return FrozenCap(np.maximum(self.cap - species.total_values(without=name), 0.0), species[name])

    def __repr__(self):
        return f"TotalCap({self.cap:g})"


class Each(SpeciesFunctional):
    """A functional for each species, `each(prey=F, predator=G)`: couplings that are no gradient of one
    energy.

    Species i moves by −∇δF_i/δμ_i. F_i may be a functional of one species, of itself then, or speak of others
    by `on`, `Cross` and totals. There is no common energy: what a run records is the sum of all F_i.
    """

    def __init__(self, functionals: dict[str, Functional]):
        for name, F in functionals.items():
            if not isinstance(F, Functional):
                raise TypeError(f"{name}: expected a Functional, got {type(F).__name__}")
        self.functionals = {name: _of(name, F) for name, F in functionals.items()}
        self.names = frozenset(functionals)

    def at(self, t):
        return Each({name: F.at(t) for name, F in self.functionals.items()}) if self.depends_on_time else self

    @property
    def depends_on_time(self):
        return any(F.depends_on_time for F in self.functionals.values())

    def energy(self, mu):
        return sum(F.energy(mu) for F in self.functionals.values())

    def seen_by(self, name: str, species):
        return seen(self.functionals[name], name, species) if name in self.functionals else None

    def gradient(self, name: str, species):
        return gradient(self.functionals[name], name, species) if name in self.functionals else 0.0

    def __repr__(self):
        return f"each({', '.join(f'{name}={F!r}' for name, F in self.functionals.items())})"


def each(**functionals: Functional) -> Each:
    """A functional for each species, by its name."""
    return Each(functionals)


def _of(name: str, F: Functional):
    """F with all that names no species made a functional of this one."""
    total = 0
    for c, term in F.terms:
        total = total + c * (term if isinstance(term, SpeciesFunctional) else On(name, term))
    return total


@functools.lru_cache(maxsize=64)
def _spline_on(lower, upper, cells):
    """f(x, coefficients), the same object for the same grid: a new field asks for no new program."""
    template = GriddedFunction(np.zeros(cells), lower, upper)

    def spline(x, coefficients):
        return template.with_coefficients(x, coefficients)

    return spline


class FrozenField(Potential):
    """∫V dρ with V by its values at the points of a measure: what other species make, while they stay.

    On a density the values at the cells are used as they are; elsewhere V is their cubic interpolation.
    """

    def __init__(self, values, measure, label: str):
        grid = getattr(measure, "grid", None)
        if grid is None:
            raise TypeError(
                "species: one that moves by a step on a grid must be a Density, got "
                f"{type(measure).__name__}; particles "
                "move together by descent.SpeciesEuler"
            )
        self.field, self.modulus, self._label = np.asarray(values, dtype=float), None, f"of {label}"
        self._points = grid.points
        spline = GriddedFunction(self.field, grid.lower, grid.upper)
        self.V = AtTime(_spline_on(grid.lower, grid.upper, grid.cells), spline.coefficients)

    def energy(self, mu):
        return mu.integrate_values(self.field) if self._here(mu.points) else super().energy(mu)

    def values(self, points):
        return self.field.reshape(-1) if self._here(points) else super().values(points)

    def first_variation(self, mu):
        return mu.at_points(self.values(mu.points))

    def probe(self, mu):
        return [self.field]

    def _here(self, points):
        return points is self._points or (
            np.shape(points) == self._points.shape and np.array_equal(points, self._points)
        )


@functools.lru_cache(maxsize=64)
def _room_on(lower, upper, cells):
    spline = _spline_on(lower, upper, cells)
    return lambda x, coefficients: jnp.maximum(spline(x, coefficients), 0.0)


class FrozenCap(Cap):
    """ρ ≤ cap by values at the cells of a density: the room that others leave."""

    def __init__(self, values: np.ndarray, measure):
        grid = measure.grid
        spline = GriddedFunction(values, grid.lower, grid.upper)
        self.cap = AtTime(_room_on(grid.lower, grid.upper, grid.cells), spline.coefficients)
        self._values, self._points = values, grid.points

    def values(self, points):
        same = np.shape(points) == self._points.shape and np.array_equal(points, self._points)
        return self._values.reshape(-1) if same else pointwise.values(self.cap, points)

    def __repr__(self):
        return "Cap(what others leave)"


class OnTop(Functional):
    """∫U(R + ρ) − U(ρ) dx for others' density R `[*cells]`: what they add to an internal energy of ρ."""

    def __init__(self, U: InternalEnergy, others):
        self.U, self.others = U, np.asarray(others, dtype=float)

    def energy(self, mu):
        rise = self.U.density(self.others + mu.values) - self.U.density(mu.values)
        return mu.grid.cell_volume * rise.sum()

    def first_variation(self, mu):
        with np.errstate(all="ignore"):
            rise = self.U.derivative(self.others + mu.values) - self.U.derivative(mu.values)
        return np.where(self.others > 0.0, rise, 0.0)

    def probe(self, mu):
        return [self.others]

    def __repr__(self):
        return f"OnTop({self.U!r})"


def require_species(F: Functional, names: tuple[str, ...]) -> None:
    """Refuse a functional that speaks of no species, or of one that is not there."""
    for _, term in F.terms:
        if not isinstance(term, SpeciesFunctional):
            raise TypeError(
                f"functional: {term!r} does not say of which species: write fn.on({names[0]!r}, ...), "
                "or fn.TotalInternal, fn.TotalCap for their sum"
            )
        unknown = sorted(term.names - set(names))
        if unknown:
            raise ValueError(
                f"functional: {term!r} speaks of {', '.join(map(repr, unknown))}, the species are "
                f"{', '.join(map(repr, names))}"
            )


def seen(F: Functional, name: str, species) -> Functional | None:
    """F as a functional of species[name] alone, None where it does not feel it."""
    total: Any = 0
    for c, term in _species_terms(F):
        part = term.seen_by(name, species)
        if part is not None:
            total = total + c * part
    return None if isinstance(total, int) else total


def gradient(F: Functional, name: str, species):
    """∇δF/δμ at the points of species[name], without its internal energies."""
    total = np.zeros(np.shape(species[name].points))
    for c, term in _species_terms(F):
        total = total + c * term.gradient(name, species)
    return total


def _species_terms(F: Functional) -> list[tuple[float, SpeciesFunctional]]:
    """The terms, all of which speak of species, as `require_species` has seen to."""
    return [(c, term) for c, term in F.terms if isinstance(term, SpeciesFunctional)]


def temperature(F: Functional, name: str) -> float:
    """θ of the entropy of one species; ValueError for other internal energies, caps and totals."""
    total = 0.0
    for c, term in F.terms:
        if isinstance(term, Each):
            total += c * temperature(term.functionals[name], name) if name in term.functionals else 0.0
        elif isinstance(term, On) and term.name == name:
            parts = term.F.parts
            if parts.kinds & {"internal", "constraint"}:
                raise ValueError(f"particles have no density for {term!r}")
            total += c * parts.temperature
        elif isinstance(term, (TotalInternal, TotalCap)):
            raise ValueError(f"particles have no density for {term!r}")
    return total


def energy_without_entropies(F: Functional, mu):
    """F of species that are particles, but for their entropies."""
    total = 0.0
    for c, term in F.terms:
        if isinstance(term, Each):
            total += c * sum(energy_without_entropies(part, mu) for part in term.functionals.values())
        elif isinstance(term, On):
            outside = term.F.parts.without_internal
            total += 0.0 if outside is None else c * outside.energy(mu[term.name])
        else:
            total += c * term.energy(mu)
    return total
