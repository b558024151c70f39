"""A TOML file read, checked and made ready to run."""

from __future__ import annotations

import inspect
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import jko.exact
from functionals import Functional
from jko.comparison.times import common_times
from jko.errors import shortened
from jko.experiment import terms
from jko.experiment.expressions import expression
from jko.experiment.files import Files
from jko.experiment.initial import initial, species
from jko.experiment.run_settings import Run, runs
from jko.experiment.table import ExperimentError, Table, prefixed, show
from jko.measures import Grid, LineGrid

_KEYS = ("title", "grid", "initial", "species", "functional", "exact", "runs", "output")
_MOST_CELLS = 2**27  # cells of a grid in a file: a gigabyte a density, beyond which a number is mistyped
PLOTS = ("energy", "errors", "density", "particles", "report")


@dataclass(frozen=True)
class Output:
    """What is written beside the data: `plots` of `PLOTS`, and an animation of each run of `animate`."""

    folder: Path | None = None
    plots: tuple[str, ...] = PLOTS
    animate: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """What a file asks for; `notes` are the sentences that its results must carry."""

    title: str
    grid: Grid | LineGrid | None
    functional: Functional
    exact: object | None
    runs: dict[str, Run]
    output: Output
    notes: tuple[str, ...] = ()
    text: str = ""
    files: dict[str, Path] = field(default_factory=dict)

    def require_common_times(self) -> None:
        """Refuse runs that `compare` will not be able to lay side by side."""
        common_times({name: run.plan for name, run in self.runs.items()})


def load(
    path: Path | str, copies: dict[str, str] | None = None, default_title: str | None = None
) -> Experiment:
    """The experiment of a TOML file; files that it names lie relative to it, unless `copies` says where.

    One without a title has that of the file's name, unless `default_title` says otherwise.

    Raises ValueError, beginning with the path of the key, before any step is taken.
    """
    path = Path(path)
    if not path.is_file():
        found = f"{str(path)!r} is a folder" if path.is_dir() else f"no file {str(path)!r}"
        raise ExperimentError(f"{found}: give the path of an experiment, such as examples/fokker_planck.toml")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{str(path)!r} cannot be read as a text file: {error}") from error
    return parse(text, path.parent, default_title=default_title or path.stem, copies=copies)


def parse(text: str, folder: Path | str = ".", default_title: str = "experiment", copies=None) -> Experiment:
    """The experiment of a TOML text; files that it names lie relative to `folder`."""
    try:
        root = Table(tomllib.loads(text))
    except ValueError as error:  # tomllib's own, or int's for a number of more than some thousand digits
        raise ExperimentError(f"{default_title}: not a TOML file: {shortened(error)}") from error
    except RecursionError as error:
        raise ExperimentError(f"{default_title}: not a TOML file of this kind: nested too deep") from error
    root.allow(_KEYS)
    files = Files(folder, copies)
    title = root.text("title", default_title)
    grid = _grid(root.table("grid")) if "grid" in root else None
    exact = _exact(root.table("exact")) if "exact" in root else None
    start = _start(root, grid, exact, files)
    if exact is not None and exact.dimension != start.dimension:
        root.refuse(
            "exact", f"the solution has dimension {exact.dimension}, the initial measure {start.dimension}"
        )
    if exact is not None and "exact" in root.table("runs"):
        root.refuse("runs.exact", "the name is that of the exact solution: name the run otherwise")
    names = tuple(root.table("species").entries) if start.kind == "species" else ()
    functional = terms.functional(root.tables("functional"), start.dimension, grid, files, names)
    made = runs(root.table("runs"), functional, start, grid)
    output = _output(Table(root.entries.get("output", {}), "output"), Path(folder), made)
    notes = (start.note,) if start.note else ()
    return Experiment(title, grid, functional, exact, made, output, notes, text, dict(files.used))


def _start(root: Table, grid: Grid | None, exact, files: Files):
    if "species" not in root:
        return initial(root.table("initial"), grid, exact, files)
    if "initial" in root:
        root.refuse("species", "each species has its own start: leave out [initial], or the species")
    if exact is not None:
        root.refuse("exact", "exact solutions are of one measure: leave it out beside species")
    return species(root.table("species"), grid, files)


def _grid(table: Table) -> Grid | LineGrid:
    if "edges" in table or "radial" in table:
        return _edges(table)
    table.allow(("lower", "upper", "cells", "periodic", "inside", "doors", "edges", "radial"))
    corners = {key: table.numbers(key) for key in ("lower", "upper", "cells")}
    cells = np.asarray(corners["cells"], dtype=float)
    if cells.ndim < 2 and cells.min() >= 2 and (cells.prod() if cells.ndim else cells) > _MOST_CELLS:
        table.refuse("cells", f"expected at most {_MOST_CELLS} cells together, got {cells.prod():.3g}")
    with prefixed(table.path):
        sides = {k: tuple(v) if isinstance(v, list) else v for k, v in corners.items()}
        box = Grid.uniform(**sides, periodic=table.value("periodic", False))
    masks = {key: expression(table, key, box.dimension, "x") for key in ("inside", "doors") if key in table}
    with prefixed(table.path):
        return Grid.uniform(**sides, periodic=box.periodic, **masks) if masks else box


def _edges(table: Table) -> LineGrid:
    """A line or shells: `edges`, or equal cells from `lower` to `upper`, and `radial`, the dimension."""
    table.allow(("edges", "radial") if "edges" in table else ("lower", "upper", "cells", "radial"))
    edges = table.numbers("edges", None)
    if edges is None:
        ends = [table.numbers(side) for side in ("lower", "upper")]
        if np.ndim(ends[0]) or np.ndim(ends[1]):
            table.refuse("lower", "expected two radii, lower and upper, beside radial")
        edges = np.linspace(*ends, table.whole("cells", least=2) + 1)
    with prefixed(table.path):
        return Grid.radial(edges, table.whole("radial")) if "radial" in table else Grid.from_edges(edges)


def exact_solutions() -> dict[str, type]:
    """The exact solutions that a run can be compared with, by name."""
    classes = {name: getattr(jko.exact, name) for name in jko.exact.__all__}
    base = jko.exact.ExactSolution
    return {name: cls for name, cls in classes.items() if issubclass(cls, base) and cls is not base}


def _exact(table: Table):
    known = exact_solutions()
    cls = known[table.choice("name", known)]
    parameters = inspect.signature(cls).parameters
    table.allow(("name", *parameters), f" of {cls.__name__}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in table:
            table.refuse(name, "missing")
    with prefixed(table.path):
        return cls(**{name: table.numbers(name) for name in parameters if name in table})


def _output(table: Table, folder: Path, made: dict) -> Output:
    table.allow(("folder", "plots", "animate"))
    plots = _names(table, "plots", PLOTS, PLOTS)
    animate = _names(table, "animate", tuple(made), ())
    given = table.text("folder", None)
    return Output(None if given is None else folder / given, plots, animate)


def _names(table: Table, key: str, all_of: tuple, default: tuple):
    """Names of a list, or all or none of them by true and false."""
    value = table.value(key, list(default))
    if isinstance(value, bool):
        return tuple(all_of) if value else ()
    if not isinstance(value, list) or any(name not in all_of for name in value):
        table.refuse(
            key, f"expected true, false or a list of {', '.join(map(repr, all_of))}, got {show(value)}"
        )
    return tuple(value)
