"""What a scheme is: settings that make a functional ready, and take steps of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from html import escape
from typing import Any, ClassVar
from zlib import crc32

import numpy as np

import jko.sharding as sharding
from functionals.species import SpeciesFunctional, require_named
from functionals.tolerances import TOLERANCES
from jko import inline
from jko.bounds import Space
from jko.errors import UnsupportedFunctional, shown
from jko.full import at_rest, is_full
from jko.measures import Density, LineDensity, Species
from jko.modulus import declared_modulus
from jko.records import Records, Status, StepInfo

__all__ = ["KINDS", "Problem", "Records", "Scheme", "State", "Status", "StepInfo", "Wrapper"]

KINDS = frozenset(
    {"entropy", "internal", "potential", "interaction", "constraint", "local", "gradient", "rest"}
)


class State(dict):
    """What the next step's numbers depend on beside the measure: arrays, numbers and strings by name.

    It goes into checkpoints as it is, and is never changed in place.
    """

    def having(self, **entries) -> State:
        """The same with other entries."""
        return State({**self, **entries})


class Problem:
    """A functional made ready for a scheme and a measure, by `Scheme.prepare`: what steps read.

    `F` is the functional, `start` the state before the first step, and `at(t)` the scheme's own form of F at
    the time t: `form(F.at(t))`, made once where F does not depend on time, else anew for every time
    that is asked for. No number of a step may depend on which times were asked for before.
    """

    def __init__(self, F, form: Callable[[Any], Any] = lambda F: F, start: dict | None = None):
        self.F, self._form, self.start = F, form, State(start or {})
        self._made = 0.0, form(F.at(0.0))

    @property
    def depends_on_time(self) -> bool:
        """Whether F does."""
        return self.F.depends_on_time

    def at(self, t: float):
        """The scheme's form of F at the time t."""
        if self.depends_on_time and self._made[0] != t:
            self._made = t, self._form(self.F.at(t))
        return self._made[1]

    def starting(self, start: dict) -> Problem:
        """The same problem with another first state."""
        other = object.__new__(type(self))
        other.__dict__ = {**self.__dict__, "start": State(start)}
        return other


class Scheme:
    """The base of every scheme: a frozen dataclass of settings with `prepare` and `step`.

    A subclass declares the kinds of functional parts that it `takes`, the `measures` that it moves, its
    `order` in τ, whether it takes densities on `periodic` grids, in `rooms` and through `doors`, and
    particles that are `confined` to a box, and whether it `changes_mass`, making and losing it, which one
    that says nothing does not, whether it `transports`, so that a message may name it in the place of
    another, and which entries of its state are `renewed` by `prepare` from the measure alone. One whose
    densities may fill a box defines `moving_step` in the place of `step`, which is asked where something can
    move. Where steps are cheap it may define `advance(problem, mu, t, tau, n, state) -> (mu′, state,
    Records)`, a compiled block of n steps.

    A step from t of first order and implicit takes F at t + τ, an explicit one at t, one of second order
    where its formula says [HairerLubichWanner2006].
    """

    takes: ClassVar[frozenset[str]] = frozenset()
    renewed: ClassVar[frozenset[str]] = frozenset()
    measures: ClassVar[tuple[type, ...]] = ()
    order: ClassVar[int] = 1
    energy_kind: ClassVar[str] = "exact"
    on_many_devices: ClassVar[bool] = False
    periodic: ClassVar[bool] = False
    rooms: ClassVar[bool] = False
    doors: ClassVar[bool] = False
    confined: ClassVar[bool] = False
    changes_mass: ClassVar[bool] = False
    transports: ClassVar[bool] = True
    obstacle: Any = None
    known: ClassVar[dict[str, type[Scheme]]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.takes:
            Scheme.known[cls.scheme_name()] = cls

    @classmethod
    def scheme_name(cls) -> str:
        """The name under which a user finds it: `steps.Cvxpy`."""
        package = cls.__module__.split(".")
        room = package[1] if package[0] == "jko" and len(package) > 2 else package[0]
        return f"{room}.{cls.__name__}"

    def __repr__(self) -> str:
        """The settings; an obstacle is told from another of the same shape, as a checkpoint must."""
        names: list[str] = [f.name for f in fields(self)] if is_dataclass(self) else []
        shown = {name: getattr(self, name) for name in names}
        if self.obstacle is not None:
            mask = np.asarray(getattr(self.obstacle, "values", self.obstacle)) > 0
            shown["obstacle"] = f"<{mask.sum()} cells, {crc32(np.packbits(mask).tobytes()):08x}>"
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def prepare(self, F, mu) -> Problem:
        """F made ready for steps from mu; refuses what the scheme cannot take, before any work."""
        self.check(F, mu)
        return Problem(F)

    def step(self, problem: Problem, mu, t: float, tau: float, state: State):
        """One step from the time t: (mu′, state, StepInfo). A full box stays."""
        if not self.changes_mass and is_full(problem.F.at(t + tau).parts, mu, self.obstacle):
            return mu, state, at_rest(mu)
        return self.moving_step(problem, mu, t, tau, state)

    def moving_step(self, problem: Problem, mu, t: float, tau: float, state: State):
        """The step of a measure that fills no box."""
        raise NotImplementedError(f"{type(self).__name__} must define step")

    def moved(self, problem: Problem, mu, t: float, state: State) -> tuple[Problem, State]:
        """(problem, state) for going on at the time t from a measure that something else has moved, such as
        the other half of a splitting. Made anew; a scheme that knows what of them stays keeps that."""
        problem = self.prepare(problem.F, mu)
        return problem, problem.start

    def energy(self, problem: Problem, mu, t: float, state: State) -> tuple[float, float]:
        """(F(mu) at the time t, its uncertainty): what the trajectory records at stored times."""
        return problem.F.at(t)(mu), 0.0

    def energy_kind_of(self, F) -> str:
        """What `energy` gives for F: "exact", "estimate" or "regularised"."""
        return self.energy_kind

    def space_of_steps(self, problem: Problem, mu) -> Space:
        """Where its steps are proximal maps of F up to the gap on record: what bounds of a run rest on."""
        return Space.NONE

    def displacement_modulus(self, F, mu) -> float | None:
        """λ of F where this scheme moves mu.

        None of particles in a box, round an obstacle and in a room, through whose walls the straight lines
        of displacement convexity lead, and on a torus but for internal energies, which alone keep their λ
        there.
        """
        grid = getattr(mu, "grid", None)
        if getattr(mu, "domain", None) is not None:
            return None
        around = grid is not None and grid.is_periodic and F.parts.kinds - {"entropy", "internal"}
        if around or (grid is not None and grid.is_room) or self.obstacle is not None:
            return None
        return declared_modulus(F, mu.dimension, float(getattr(mu, "mass", 1.0)))

    def _repr_html_(self) -> str:
        """What a notebook shows: what the scheme is, and its settings beside their defaults."""
        rows = [
            (f.name, shown(getattr(self, f.name), 80), "" if f.default is MISSING else shown(f.default, 80))
            for f in fields(self)  # type: ignore[arg-type]
        ]
        about = (type(self).__doc__ or "").split("\n")[0]
        settings = inline.table(rows, ("setting", "value", "default")) if rows else ""
        return inline.titled(self.scheme_name(), f"<div>{escape(about)}</div>", settings)

    def check(self, F, mu) -> None:
        """Refuse, by name and before any work, a measure or a part of F that the scheme does not take."""
        if self.measures and not isinstance(mu, self.measures):
            wanted = " or ".join(cls.__name__ for cls in self.measures)
            remedy = _conversion(self.measures[0].__name__)
            if isinstance(mu, LineDensity) and Density in self.measures:
                able = ", ".join(name for name, scheme in _transports() if LineDensity in scheme.measures)
                remedy = f"take {able}, which move it, or mu.on(Grid.uniform(...))"
            if isinstance(mu, Species):
                remedy = self._in_turn()
            raise TypeError(f"{self.scheme_name()} moves {wanted}, got {type(mu).__name__}: {remedy}")
        for _, term in F.terms:
            if isinstance(term, SpeciesFunctional):
                require_named(mu, term)
        self.check_grid(mu)
        self._check_devices(mu)
        grid = getattr(mu, "grid", None)
        if grid is not None and grid.is_room and F.parts.gradient:
            _, atom = F.parts.gradient[0]
            raise UnsupportedFunctional(
                f"{self.scheme_name()} takes {atom!r} on a box or a torus, got a density on {grid!r}: leave "
                "inside and doors out"
            )
        for kind in sorted(F.parts.kinds - self.takes):
            _, atom = F.parts.of_kind(kind)[0]
            others = [name for name, scheme in _transports() if F.parts.kinds <= scheme.takes]
            remedy = (
                f"{', '.join(others)} would take the whole functional"
                if others
                else "no scheme takes all of it"
            )
            raise UnsupportedFunctional(f"{self.scheme_name()} does not take {atom!r}; {remedy}")
        require_finite(F.parts.internal, getattr(mu, "values", None))

    def _in_turn(self) -> str:
        """What to do where it is given several species."""
        if self.measures and Density not in self.measures:
            return "species move by steps.SpeciesInTurn, descent.SpeciesEuler or descent.SpeciesBlob"
        name = self.scheme_name()
        return f"take steps.SpeciesInTurn({name}(...)), one after the other by {name}"

    def check_grid(self, mu) -> None:
        """Refuse a measure on a torus, in a room or with doors where the scheme does not declare that it
        takes them. The driver asks every scheme, also one whose `check` does not."""
        if getattr(mu, "domain", None) is not None and not self.confined:
            able = ", ".join(name for name, scheme in _transports() if scheme.confined is True)
            raise ValueError(
                f"measure: {self.scheme_name()} does not take particles in a box, got {mu!r}: take {able}, "
                "or Particles in free space"
            )
        grid = getattr(mu, "grid", None)
        if grid is None or (self.measures and not isinstance(mu, self.measures)):
            return
        asked = {
            "periodic": (grid.is_periodic, "a periodic grid"),
            "rooms": (grid.room is not None, "a room"),
            "doors": (grid.exits is not None, "doors"),
        }
        for capability, (needed, what) in asked.items():
            if needed and not getattr(self, capability):
                able = ", ".join(
                    name for name, scheme in _transports() if getattr(scheme, capability) is True
                )
                raise ValueError(
                    f"measure: {self.scheme_name()} does not take {what}, got a density on {grid!r}: take "
                    f"{able}, or a grid without"
                )

    def _check_devices(self, mu) -> None:
        if sharding.active() is None:
            return
        if not self.on_many_devices:
            able = ", ".join(name for name, scheme in sorted(Scheme.known.items()) if scheme.on_many_devices)
            raise ValueError(
                f"scheme: {self.scheme_name()} runs on one device, {able} on many: leave jko.sharding.over"
            )
        sharding.require_enough(mu.n)


class Wrapper(Scheme):
    """A scheme that takes its steps by another one, `scheme`, whose state it keeps under "inner".

    A subclass says in `first` what it keeps beside that, and defines `step`. It takes tori and rooms where
    the scheme does; doors only where it says so, since it has to count what leaves in each of its steps.
    """

    scheme: Any
    first: ClassVar[dict[str, Any]] = {}

    @property
    def order(self) -> int:  # type: ignore[override]
        """That of the scheme, where the subclass has none of its own."""
        return self.scheme.order

    @property
    def periodic(self) -> bool:  # type: ignore[override]
        """As the scheme."""
        return self.scheme.periodic

    @property
    def rooms(self) -> bool:  # type: ignore[override]
        """As the scheme."""
        return self.scheme.rooms

    @property
    def obstacle(self):  # type: ignore[override]
        """As the scheme."""
        return self.scheme.obstacle

    @property
    def changes_mass(self) -> bool:  # type: ignore[override]
        """As the scheme."""
        return self.scheme.changes_mass

    @property
    def transports(self) -> bool:  # type: ignore[override]
        """As the scheme."""
        return self.scheme.transports

    def displacement_modulus(self, F, mu) -> float | None:
        return self.scheme.displacement_modulus(F, mu)

    def check(self, F, mu) -> None:
        self.scheme.check(F, mu)

    def require_one(self, mu) -> None:
        """Refuse several species: what the scheme does with each is for `SpeciesInTurn` round this one."""
        if isinstance(mu, Species):
            raise TypeError(f"{self.scheme_name()} moves one measure, got Species: {self._in_turn()}")

    def prepare(self, F, mu) -> Problem:
        self.check(F, mu)
        problem = self.scheme.prepare(F, mu)
        return problem.starting({**self.first, "inner": problem.start})

    def inner(self, state: State) -> State:
        """The state of the scheme."""
        return State(state["inner"])

    def moved(self, problem, mu, t, state: State):
        problem, inner = self.scheme.moved(problem, mu, t, self.inner(state))
        return problem, state.having(inner=inner)

    def energy(self, problem: Problem, mu, t: float, state: State):
        return self.scheme.energy(problem, mu, t, self.inner(state))

    def energy_kind_of(self, F):
        return self.scheme.energy_kind_of(F)


def require_finite(terms, values) -> None:
    """Refuse densities beyond what one of the internal energies `terms`, (c, atom), is finite at."""
    for _, U in terms if values is not None else ():
        if math.isfinite(U.cap) and (most := np.max(values)) > U.cap * (1.0 + TOLERANCES.quotient):
            raise ValueError(
                f"measure: expected a density of at most {U.cap:g}, where {U!r} is of finite energy, got one "
                f"of {most:g}: raise its cap, or start flatter"
            )


def _transports():
    """(name, scheme) of those known that move mass."""
    return [(name, scheme) for name, scheme in sorted(Scheme.known.items()) if scheme.transports]


def _conversion(wanted: str) -> str:
    return {
        "Density": "convert with Density.histogram, Density.kernel_estimate or gaussian.on(grid)",
        "Particles": "draw them with mu.sample(n, seed)",
        "Gaussian": "give Gaussian(mean, covariance)",
        "Population": "make the cloud one, whose weights may change, with jko.Population.of(particles)",
    }.get(wanted, "convert it first")
