"""compare: runs of one problem, side by side at their common times."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from jko import inline
from jko.comparison.distances import SHAPES, l1_distance, w2_distance
from jko.comparison.least_energy import decays
from jko.comparison.reference import Reference
from jko.comparison.row import row_of
from jko.comparison.text import comparison_text, footnotes, heading, table_of
from jko.comparison.times import common_times
from jko.errors import seed_number
from jko.measures import Density, Grid
from jko.trajectory import Trajectory
from jko.writing import write_text

EXACT = "exact"


@dataclass(repr=False)
class Comparison:
    """Runs side by side.

    `table`: a dict of numbers a run. `times` `[k]`: the common times at which distances were taken. `names`:
    the runs, and "exact" at the end where an exact answer was given. `pairs["W2"]` and `pairs["L1"]`:
    distances `[k, n, n]` between all of `names`, `methods` how they were taken, and `error_bounds` `[k, n,
    n]` what discretisation may have added to a W₂ in d ≥ 2. `print` gives the table as text with its
    footnotes, `to_csv` writes it.
    """

    runs: dict[str, Trajectory]
    exact: object = None
    times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    names: list[str] = field(default_factory=list)
    pairs: dict[str, np.ndarray] = field(default_factory=dict)
    methods: set[str] = field(default_factory=set)
    error_bounds: np.ndarray | None = None
    table: list[dict] = field(default_factory=list)
    seed: int = 0
    reference: Reference | None = field(default=None)
    torus: Grid | None = field(default=None)

    @classmethod
    def of(cls, runs: dict, exact=None, *, times=None, minimum: float | None = None, seed: int = 0):
        """Compare runs; see `compare`."""
        runs = _checked(runs, exact)
        chosen = common_times(runs, times)
        comparison = cls(runs=runs, exact=exact, times=chosen, seed=seed_number("seed", seed))
        comparison.names = [*runs] + ([EXACT] if exact is not None else [])
        comparison._measure()
        rates = decays(runs, exact, minimum)
        comparison.table = [row_of(comparison, name, rates[name]) for name in runs]
        return comparison

    def _measure(self):
        shape = (len(self.times), len(self.names), len(self.names))
        self.pairs = {"W2": np.zeros(shape), "L1": np.zeros(shape)}
        self.error_bounds = np.zeros(shape)
        self.reference = None if self.exact is None else Reference(self.exact, self.runs)
        self.torus = _torus_of(self.runs)
        for k, t in enumerate(self.times):
            measures = [run.at(t) for run in self.runs.values()]
            for i, mu in enumerate(measures):
                for j in range(i + 1, len(self.names)):
                    nu = measures[j] if j < len(measures) else self.reference.beside(mu, t)
                    self._record(k, i, j, mu, nu)

    def _record(self, k: int, i: int, j: int, mu: Density, nu: Density):
        w2, l1 = w2_distance(mu, nu, self.seed, self.torus), l1_distance(mu, nu, self.torus)
        for matrix, value in ((self.pairs["W2"], w2.value), (self.pairs["L1"], l1.value),
                              (self.error_bounds, w2.error_bound)):  # fmt: skip
            matrix[k, i, j] = matrix[k, j, i] = value
        self.methods |= {w2.method, l1.method, SHAPES if w2.of_shapes else ""} - {""}

    def distance(self, kind: str, first: str, second: str = EXACT) -> np.ndarray:
        """The W₂ or L1 distance `[k]` between two of `names` at `times`."""
        if kind not in self.pairs:
            raise ValueError(f"kind: expected 'W2' or 'L1', got {kind!r}")
        for name in (first, second):
            if name not in self.names:
                raise ValueError(
                    f"no run {name!r} in this comparison; it has {', '.join(map(repr, self.names))}"
                )
        return self.pairs[kind][:, self.names.index(first), self.names.index(second)]

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {heading(self).splitlines()[1]}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the table and its footnotes."""
        first, *rows = table_of(self)
        notes = "".join(f"<li>{escape(note)}</li>" for note in footnotes(self))
        functional, what = heading(self).split("\n")
        small = f"<ul style='font-size:85%;opacity:.8'>{notes}</ul>" if notes else ""
        return inline.titled(what, f"<div>{escape(functional)}</div>", inline.table(rows, first), small)

    def __str__(self) -> str:
        return comparison_text(self)

    def to_csv(self, path) -> Path:
        """Write the table, one line a run; the file is written beside and renamed."""
        buffer = io.StringIO(newline="")
        writer = csv.DictWriter(buffer, fieldnames=list(self.table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.table)
        return write_text(path, buffer.getvalue())

    def distances_to_csv(self, path) -> Path:
        """Write every distance, one line for a time and a pair."""
        lines = ["time,first,second,W2,W2_error_bound,L1"]
        for k, t in enumerate(self.times):
            for i, first in enumerate(self.names):
                for j in range(i + 1, len(self.names)):
                    numbers = (self.pairs["W2"], self.error_bounds, self.pairs["L1"])
                    values = ",".join(f"{matrix[k, i, j]:.10g}" for matrix in numbers)
                    lines.append(f'{t:.12g},"{first}","{self.names[j]}",{values}')
        return write_text(path, "\n".join(lines) + "\n")


def _torus_of(runs: dict) -> Grid | None:
    """The periodic grid that some run lives on: clouds beside it are wrapped onto it."""
    grids = (run.measures[0].grid for run in runs.values() if isinstance(run.measures[0], Density))
    return next((grid for grid in grids if grid.is_periodic), None)


def compare(runs: dict, exact=None, *, times=None, minimum: float | None = None, seed: int = 0) -> Comparison:
    """The numbers of `jko.compare`, without its pictures."""
    return Comparison.of(runs, exact, times=times, minimum=minimum, seed=seed)


def _checked(runs: dict, exact) -> dict:
    if isinstance(runs, dict) and not runs:
        raise ValueError("runs: expected one trajectory or more, got an empty dict")
    if not isinstance(runs, dict):
        raise TypeError(
            f"runs: expected a dict of trajectories, {{'JKO': jko.flow(...)}}, got {type(runs).__name__}"
        )
    for name, run in runs.items():
        if not isinstance(run, Trajectory):
            raise TypeError(
                f"runs[{name!r}]: expected a Trajectory, what jko.flow returns, got {type(run).__name__}"
            )
    if EXACT in runs and exact is not None:
        raise ValueError("runs: the name 'exact' is the exact answer's: name the run otherwise")
    dimensions = {name: run.measures[0].dimension for name, run in runs.items()}
    if exact is not None:
        if not (hasattr(exact, "on") and hasattr(exact, "density")):
            raise TypeError(
                f"exact: expected a solution of jko.exact with a density, got {type(exact).__name__}"
            )
        dimensions[EXACT] = exact.dimension
    if len(set(dimensions.values())) > 1:
        raise ValueError(f"runs: expected one dimension, got {dimensions}: compare runs of the same problem")
    return dict(runs)
