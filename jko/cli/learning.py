"""jko learn FILE: a functional from a table of points with times."""

from __future__ import annotations

import argparse
import dataclasses
import io
import tomllib
from pathlib import Path

import numpy as np

from jko import learn as room
from jko.cli.messages import complain, say_unless
from jko.cli.pictures import Pictures
from jko.errors import fraction, shortened
from jko.experiment import ExperimentError
from jko.experiment.table import Table, prefixed
from jko.learn import Snapshots
from jko.writing import make_folder, write_text

BASES = {
    basis.__name__: basis
    for basis in (
        room.Radial,
        room.Polynomial,
        room.Quadratic,
        room.Splines,
        room.RandomFeatures,
        room.Network,
    )
}
_FIT = ("temperature", "regularisation", "step", "refinement", "seed")


def learn(options: argparse.Namespace) -> int:
    """Read, fit, then write: a bad file or argument leaves nothing behind."""
    root = _read(Path(options.file))
    root.allow(("title", "snapshots", "potential", "interaction", "fit"))
    seen, held = _snapshots(root.table("snapshots"), Path(options.file).parent)
    bases = {name: _basis(root.table(name)) for name in ("potential", "interaction") if name in root}
    settings = Table(root.entries.get("fit", {}), "fit")
    settings.allow(_FIT)
    with prefixed("fit"):
        found = room.fit(seen, **bases, **settings.entries, progress=False if options.quiet else None)
        run = found.predict(seen[0], seen.times)
        scored = room.score(found, held if held is not None else seen)
    against = "held-out points" if held is not None else "the points that were fitted"
    text = f"{root.text('title', Path(options.file).stem)}\n{found}\n\nagainst {against}:\n{scored}\n"
    folder = make_folder(options.out or Path("results") / Path(options.file).stem)
    write_text(folder / "fit.txt", text)
    write_text(folder / "prediction.csv", _table(run))
    say = say_unless(options.quiet)
    say(text)
    pictures = Pictures(folder, say)
    pictures.of_fit(found, run, scored)
    say(f"results: {folder}")
    return complain(pictures.failures, options)


def _read(path: Path) -> Table:
    if not path.is_file():
        raise ExperimentError(f"no file {str(path)!r}: give a TOML file with a table [snapshots]")
    try:
        return Table(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError, OSError) as error:
        raise ExperimentError(f"{str(path)!r} is not a TOML file: {shortened(error)}") from error


def _snapshots(table: Table, folder: Path) -> tuple[Snapshots, Snapshots | None]:
    """The points to fit, and those held out where the table asks for a share of them."""
    table.allow(("file", "time", "columns", "held_out", "seed"))
    with prefixed(table.path):
        seen = Snapshots.from_csv(
            folder / table.text("file"), table.value("time", "time"), table.value("columns", None)
        )
        share = fraction("held_out", table.value("held_out", 0.0))
        return seen.split(1.0 - share, table.value("seed", 0)) if share else (seen, None)


def _basis(table: Table) -> room.Basis:
    cls = BASES[table.choice("basis", BASES)]
    table.allow(("basis", *(field.name for field in dataclasses.fields(cls))), f" of {cls.__name__}")
    with prefixed(table.path):
        return cls(**{key: value for key, value in table.entries.items() if key != "basis"})


def _table(run) -> str:
    """The predicted points, a line each, their times first."""
    out = io.StringIO()
    names = ",".join(f"x{a + 1}" for a in range(run.measures[0].dimension))
    rows = [
        np.column_stack([np.full(mu.n, t), mu.positions])
        for t, mu in zip(run.times, run.measures, strict=True)
    ]
    np.savetxt(out, np.concatenate(rows), delimiter=",", header=f"time,{names}", comments="", fmt="%.9g")
    return out.getvalue()
