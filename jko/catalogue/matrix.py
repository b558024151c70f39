"""The matrix: every functional × every engine × place × balance, each cell run and measured, or refused."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np

import functionals
from jko.catalogue import laws
from jko.catalogue.cells import DIMENSIONS, OWN_METRIC, Balance, Cell, Place, grid
from jko.catalogue.registry import engine_classes, names
from jko.catalogue.tolerances import TOLERANCES
from jko.errors import StepFailed
from jko.measures import Density, Gaussian, Measure
from jko.trajectory import Trajectory

REFERENCE = ("limits.FiniteVolume", "steps.Cvxpy")  # in this order, whose step the others are compared with


class Verdict(StrEnum):
    """What a cell did."""

    RUNS = "●"
    OWN_METRIC = "○"
    REFUSES = "·"
    FAILS = "!"


@dataclass(frozen=True)
class Outcome:
    """A verdict, and what was said: a refusal's sentence, or by how much a law was missed."""

    verdict: Verdict
    said: str = ""


def outcome(cell: Cell) -> Outcome:
    """Run a cell: its step is measured, or its refusal is read; anything else FAILS."""
    try:
        start, run = _run(cell)
    except (StepFailed, TypeError, ValueError) as refusal:
        text = " ".join(str(refusal).split()).replace(repr(grid(cell.place, cell.dimension)), "the grid")
        return Outcome(Verdict.REFUSES if _is_ours(refusal) else Verdict.FAILS, text)
    except Exception as error:  # no sentence of ours: the table says so, and the other cells are run
        return Outcome(Verdict.FAILS, f"{type(error).__name__}: {error}")
    if missed := _missed(cell, start, run):
        late = [*missed] == ["first variation"]  # by its own length, which a step that is refused cannot show
        for times in TOLERANCES.shorter[cell.dimension] if cell.shorter == 1 else ():
            found = outcome(replace(cell, shorter=times))
            if found.verdict is Verdict.RUNS or (late and found.verdict is Verdict.REFUSES):
                return found
        return Outcome(Verdict.FAILS, "; ".join(missed.values()))
    return Outcome(Verdict.OWN_METRIC if cell.engine in OWN_METRIC else Verdict.RUNS)


def _is_ours(refusal: Exception) -> bool:
    """Whether a `raise` of this project made it, with its sentence, and no library that was called."""
    last = traceback.extract_tb(refusal.__traceback__)[-1]
    rooms = Path(__file__).parents[1], Path(functionals.__file__).parent
    return (last.line or "").startswith("raise ") and any(
        room in Path(last.filename).parents for room in rooms
    )


@cache
def _run(cell: Cell) -> tuple[Measure, Trajectory]:
    from jko.driver import flow

    start, scheme, n = cell.start(), cell.scheme(), cell.steps
    scheme.check_grid(start)
    scheme.prepare(cell.F, start)  # an engine's own refusal comes before anything that is asked of F
    return start, flow(cell.F, start, scheme, tau=laws.duration(cell) / n, n_steps=n, store_every=n)


def _missed(cell: Cell, start: Measure, run: Trajectory) -> dict[str, str]:
    """The laws that a run misses, each with its figure."""
    found = {"mass": _mass(cell, start, run)}
    if cell.engine not in OWN_METRIC:
        found["decay"] = _decay(cell, run)
        found["first variation"] = _first_variation(cell, start, run)
        found["agreement"] = _agreement(cell, start, run)
    return {law: sentence for law, sentence in found.items() if sentence}


def _mass(cell: Cell, start: Measure, run: Trajectory) -> str:
    change = float(np.sum(run.final.masses) - np.sum(start.masses))
    if cell.balance is Balance.CHANGING:
        change -= sum(run.info.detail("made")) - sum(run.info.detail("left"))
    return (
        ""
        if abs(change) <= TOLERANCES.mass
        else f"mass changed by {change:.1e} beside what was made and left"
    )


def _decay(cell: Cell, run: Trajectory) -> str:
    """F falls, but for rounding; where it is estimated, or of a cloud with noise, one step says nothing."""
    rise = float(run.energy[-1] - run.energy[0])
    allowed = TOLERANCES.rise * (
        abs(float(run.energy[0])) + laws.duration(cell) * laws.slopes(cell).speed ** 2
    )
    return (
        "" if cell.is_random or run.energy_kind == "estimate" or rise <= allowed else f"F rose by {rise:.1e}"
    )


def _first_variation(cell: Cell, start: Measure, run: Trajectory) -> str:
    """d/dt ∫φ dρ = −∫∇φ·∇ξ dρ − ∫φ ξ dρ/δ²."""
    tau, wanted = laws.duration(cell), laws.expected(cell)
    rates = (laws.averages(run.final, cell) - laws.averages(start, cell)) / tau
    allowed: np.ndarray = TOLERANCES.rates * wanted.sizes + TOLERANCES.still / tau
    allowed += laws.steepness(cell) * _certified(run, tau) / tau
    if cell.is_random:
        allowed += TOLERANCES.deviations * laws.noise(cell, tau)
    worst = int(np.argmax(np.abs(rates - wanted.rates) - allowed))
    if abs(rates[worst] - wanted.rates[worst]) <= allowed[worst]:
        return ""
    return f"the rate of probe {worst} is {rates[worst]:.3g}, the first variation's {wanted.rates[worst]:.3g}"


def _agreement(cell: Cell, start: Measure, run: Trajectory) -> str:
    """How far a step ends from that of the reference, which moves densities."""
    if isinstance(start, Gaussian) or not cell.cls.transports:
        return ""
    for engine in REFERENCE:
        other = replace(cell, engine=engine)
        try:
            before, found = _run(other)
        except (StepFailed, TypeError, ValueError):
            continue
        apart = _apart if isinstance(start, Density) else _rates_apart
        share = apart(cell, (start, run), (before, found))
        return f"{share:.2g} of the step away from that of {engine}" if share > 0.0 else ""
    return ""


def _apart(cell: Cell, mine: tuple, other: tuple) -> float:
    """The distance to the reference's density, over how far that moved, 0 where it is small: the cost of a
    flow between them, since what a step piles up at a wall it piles up in some few cells."""
    (start, run), (_, found), tau = mine, other, laws.duration(cell)
    moved, apart = (laws.distance(found.final, mu) for mu in (start, run.final))
    open_to_both = _certified(run, tau) + _certified(found, tau)
    enough = apart <= TOLERANCES.apart[cell.dimension] * moved + TOLERANCES.still + open_to_both
    return 0.0 if enough else apart / max(moved, TOLERANCES.still)


def _rates_apart(cell: Cell, mine: tuple, other: tuple) -> float:
    """The largest difference of the rates of a cloud and the reference's density, over what Cauchy's and
    Schwarz's inequality allows, 0 where it is small."""
    (start, run), (before, found), tau = mine, other, laws.duration(cell)
    wanted = laws.expected(cell).sizes
    cloud, density = (
        (laws.averages(last, cell) - laws.averages(first, cell)) / tau
        for first, last in ((start, run.final), (before, found.final))
    )
    allowed = TOLERANCES.apart[cell.dimension] * wanted + TOLERANCES.still / tau
    allowed += laws.steepness(cell) * (_certified(run, tau) + _certified(found, tau)) / tau
    if cell.is_random:
        allowed += TOLERANCES.deviations * laws.noise(cell, tau)
    apart = np.abs(cloud - density)
    return 0.0 if (apart <= allowed).all() else float((apart / wanted).max())


def _certified(run: Trajectory, tau: float) -> float:
    """How far from its own optimum a step may end by the gap on its record, in W₂: √(2τ gap)."""
    return float(np.sqrt(2.0 * tau * np.nan_to_num(np.max(run.info.gap)).clip(0.0)))


def cells(functionals: Iterable[str] | None = None, engines: Iterable[str] | None = None) -> list[Cell]:
    """All cells of these functionals and engines, by default of all."""
    functionals, engines = functionals or names(), engines or tuple(engine_classes())
    where = [(place, balance, d) for d in DIMENSIONS for place in Place for balance in Balance]
    return [Cell(f, e, *at) for f in functionals for at in where for e in engines]


def key(cell: Cell) -> str:
    """A cell's name in the file."""
    return f"{cell.functional} × {cell.engine} × {cell.place} of {cell.dimension}D × {cell.balance}"


def read(path: Path) -> dict[str, Outcome]:
    """The outcomes of a file, by cell."""
    if not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    cells, said = stored["cells"].items(), stored["said"]
    return {name: Outcome(Verdict(verdict), said[number]) for name, (verdict, number) in cells}


def write(path: Path, outcomes: dict[str, Outcome]) -> None:
    """Outcomes as a file: sentences once, and a line a cell."""
    said = sorted({outcome.said for outcome in outcomes.values()})
    number = {sentence: k for k, sentence in enumerate(said)}
    told = {name: [found.verdict, number[found.said]] for name, found in sorted(outcomes.items())}
    lines = [f"  {_json(name)}: {_json(pair)}" for name, pair in told.items()]
    sentences = [f"  {_json(sentence)}" for sentence in said]
    text = '{"said": [\n' + ",\n".join(sentences) + '\n],\n"cells": {\n' + ",\n".join(lines) + "\n}}\n"
    path.write_text(text, encoding="utf-8")


def _json(value: str | list) -> str:
    return json.dumps(value, ensure_ascii=False)
