"""The runs of an experiment: scheme, time step, and the initial measure in the form that the scheme moves."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from functionals import Functional
from jko.accuracy import refusal
from jko.driver import finished, flow, made_ready, try_out
from jko.experiment.initial import Initial
from jko.experiment.table import ExperimentError, Table, nearest, prefixed, show
from jko.measures import Density, Gaussian, Grid, Measure, Particles, Population, Species
from jko.scheme import Scheme, Wrapper
from jko.trajectory import Trajectory

_KEYS = ("scheme", "tau", "n_steps", "t_final", "store_every", "particles", "seed", "accuracy")
_MOST_FRAMES = 10_000_000  # whose measures alone, of ten cells each, fill a gigabyte
_NAME = re.compile(r"""[^\x00-\x20./\\:*?"<>|\x7f][^\x00-\x1f/\\:*?"<>|\x7f]{0,59}""")


class Plan(NamedTuple):
    """A run before it has run: its times, as far as they are known of a Trajectory."""

    times: np.ndarray
    tau: float
    measures: list


@dataclass(frozen=True)
class Run:
    """One run, ready to go: `run.flow(F)` returns its Trajectory."""

    name: str
    scheme: Scheme
    measure: Measure
    tau: float
    n_steps: int
    store_every: int
    accuracy: float | None = None

    @property
    def plan(self) -> Plan:
        """What the run is going to store."""
        stored = np.union1d(np.arange(0, self.n_steps + 1, self.store_every), [self.n_steps])
        return Plan(stored * self.tau, self.tau, [self.measure])

    def begin(self, functional: Functional):
        """The run with its first steps taken, in memory; a refusal begins with the path of the key.

        Raises StepFailed where the first step fails, whose record is then in it.
        """
        with prefixed(f"runs.{self.name}"):
            begun = self._made_ready(functional)
            try_out(begun)
        return begun

    def flow(
        self,
        functional: Functional,
        *,
        checkpoint: Path | None = None,
        progress: bool | None = None,
        throw: bool = True,
        begun: Run | None = None,
    ) -> Trajectory:
        """jko.flow with this run's settings, from what has `begun`; a refusal begins with the key's path."""
        with prefixed(f"runs.{self.name}"):
            if self.accuracy is not None:
                how = {"checkpoint": checkpoint, "progress": progress, "throw": throw}
                return flow(
                    functional, self.measure, self.scheme, accuracy=self.accuracy, **self._lengths, **how
                )
            begun = begun or self._made_ready(functional)
            return finished(begun, checkpoint=checkpoint, progress=progress, throw=throw)

    def _made_ready(self, functional: Functional):
        return made_ready(functional, self.measure, self.scheme, **self._lengths)

    @property
    def _lengths(self):
        return {"tau": self.tau, "n_steps": self.n_steps, "store_every": self.store_every}


def runs(table: Table, functional: Functional, initial: Initial, grid: Grid | None) -> dict[str, Run]:
    """The runs of the table [runs], in the order in which they are written."""
    if not table.entries:
        raise_missing(table)
    return {name: _run(name, table.table(name), functional, initial, grid) for name in table.entries}


def raise_missing(table: Table):
    """An experiment without a run is none."""
    table.refuse("NAME", "missing; write a table [runs.NAME] with scheme, tau and n_steps")


def _run(name: str, table: Table, functional: Functional, initial: Initial, grid: Grid) -> Run:
    if not _NAME.fullmatch(name):
        raise ExperimentError(
            f"runs: {name!r} names a run's files, too: use letters, digits, spaces, at most 60"
        )
    scheme = _scheme(table, _KEYS)
    tau = table.positive("tau")
    n_steps = _steps(table, tau)
    store_every = table.whole("store_every", 1)
    accuracy = table.positive("accuracy") if "accuracy" in table else None
    if accuracy is not None and (why := refusal(scheme, functional)):
        table.refuse("accuracy", why)
    if n_steps // store_every > _MOST_FRAMES:
        key = "n_steps" if "n_steps" in table else "t_final"
        table.refuse(key, f"expected at most {_MOST_FRAMES} stored times, got more: raise store_every")
    measure = _measure(table, scheme, initial, grid)
    with prefixed(table.path if isinstance(scheme, Wrapper) else table.at("scheme")):
        scheme.check(functional, measure)
    return Run(name, scheme, measure, tau, n_steps, store_every, accuracy)


def _scheme(table: Table, beside: tuple[str, ...] = ("scheme",)) -> Scheme:
    """The scheme of a table; one that wraps another has that one's table under `step`."""
    cls = scheme_class(table)
    settings = {field.name: field for field in dataclasses.fields(cls)}
    wraps = issubclass(cls, Wrapper)
    if wraps:
        settings.pop("scheme")
    known = (*beside, *settings, *(("step",) if wraps else ()))
    table.allow(known, f" of a run of {cls.scheme_name()}")
    given = {key: _setting(table, key, field.type) for key, field in settings.items() if key in table}
    if wraps:
        if "step" not in table:
            path = table.at("step")
            table.refuse("step", f"missing; {cls.scheme_name()} wraps a scheme: write a table [{path}]")
        given["scheme"] = _step(table.table("step"))
    with prefixed(table.path):
        return cls(**given)


def _step(table: Table) -> Scheme | dict[str, Scheme]:
    """A scheme, or one for each name."""
    if "scheme" in table:
        return _scheme(table)
    if not table.entries:
        table.refuse("scheme", "missing")
    return {name: _scheme(table.table(name)) for name in table.entries}


def scheme_class(table: Table) -> type[Scheme]:
    """The class that the key `scheme` names, with or without its room: "Cvxpy" or "steps.Cvxpy"."""
    text = table.text("scheme")
    known = available_schemes()
    found = [cls for name, cls in known.items() if text == name or name.endswith(f".{text}")]
    if len(found) == 1:
        return found[0]
    if found:
        table.refuse(
            "scheme", f"{text!r} is {' and '.join(cls.scheme_name() for cls in found)}: write one of them"
        )
    short = {name.split(".")[-1]: name for name in known}
    table.refuse(
        "scheme", f"unknown scheme {text!r}; {nearest(text, [*short] if '.' not in text else [*known])}"
    )


def available_schemes() -> dict[str, type[Scheme]]:
    """Every scheme there is by its full name, those that wrap others among them but what `auto` chose."""
    from jko import descent, limits, steps

    named = [getattr(room, name) for room in (descent, limits, steps) for name in room.__all__]
    classes = [cls for cls in named if isinstance(cls, type) and issubclass(cls, Scheme)]
    classes.remove(steps.Chosen)
    return dict(sorted((Scheme.known | {cls.scheme_name(): cls for cls in classes}).items()))


def _setting(table: Table, key: str, annotation: str):
    """A scheme's setting, held to the kind that the scheme declares."""
    value = table.value(key)
    if isinstance(value, dict) and "Scheme" in str(annotation):
        return _scheme(table.table(key))
    kinds = {kind.strip() for kind in str(annotation).split("|")}
    if isinstance(value, bool):
        fits = "bool" in kinds
    elif isinstance(value, int):
        fits = bool(kinds & {"int", "float"})
    elif isinstance(value, (float, str)):
        fits = type(value).__name__ in kinds
    else:
        return _frozen(value)
    if fits or not kinds & {"bool", "int", "float", "str"}:
        return value
    names = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text"}
    expected = " or ".join(word for kind, word in names.items() if kind in kinds)
    table.refuse(key, f"expected {expected}, got {show(value)}")


def _frozen(value):
    return tuple(_frozen(entry) for entry in value) if isinstance(value, list) else value


def _steps(table: Table, tau: float) -> int:
    if table.exactly_one(("n_steps", "t_final")) == "n_steps":
        return table.whole("n_steps", least=0)
    final = table.positive("t_final")
    n_steps = round(final / tau) if final / tau < 1e15 else 0
    if n_steps < 1 or abs(n_steps * tau - final) > 1e-9 * final:
        table.refuse("t_final", f"expected a multiple of tau = {tau:g}, got {final:g}: {final / tau:g} steps")
    return n_steps


def _measure(table: Table, scheme: Scheme, initial: Initial, grid: Grid | None) -> Measure:
    """The initial measure in the first form that the scheme moves; as particles where they are counted."""
    kinds = _moved_kinds(scheme) or (Density, Particles)
    several, name = initial.kind == "species", scheme.scheme_name()
    if several and Species not in kinds:
        able = "steps.PrimalDual, steps.SpeciesInTurn, descent.SpeciesEuler or descent.SpeciesBlob"
        table.refuse("scheme", f"{name} moves one measure: species move by {able}")
    if not several and {*kinds} == {Species}:
        table.refuse("scheme", f"{name} moves species: write tables [species.NAME] in place of [initial]")
    as_points = "particles" in table or grid is None
    wanted = Particles if as_points and (Particles in kinds or {*kinds} == {Species}) else kinds[0]
    cloud = issubclass(wanted, Particles)
    if not cloud and "particles" in table:
        table.refuse("particles", f"{scheme.scheme_name()} moves a {wanted.__name__}: leave it out")
    seeded = cloud or "seed" in {field.name for field in dataclasses.fields(scheme)}
    if "seed" in table and not seeded:
        table.refuse("seed", f"{scheme.scheme_name()} draws nothing at random: leave it out")
    with prefixed(table.path):
        if cloud:
            drawn = initial.draw(table.whole("particles", None), table.whole("seed", 0, least=0))
            return Population.of(drawn) if wanted is Population else drawn
        if wanted is Gaussian:
            if initial.gaussian is None:
                table.refuse(
                    "scheme", f"{scheme.scheme_name()} starts from a Gaussian, not from {initial.kind!r}"
                )
            return initial.gaussian
        if grid is None:
            raise ValueError(f"scheme: {scheme.scheme_name()} moves a Density, which needs a table [grid]")
        return initial.density()


def _moved_kinds(scheme: Scheme) -> tuple[type, ...]:
    """What a scheme moves; a wrapper that does not say moves what its scheme does."""
    if isinstance(scheme, Wrapper) and not scheme.measures and isinstance(scheme.scheme, Scheme):
        return _moved_kinds(scheme.scheme)
    return scheme.measures
