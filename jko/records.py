"""The record of a step, and the records of a run as arrays."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np

_LATER = {
    "transport_cost": math.nan,
    "details": "{}",
}  # stand for columns that 0.1 did not save
TEXTS = ("status", "note", "details")


class Status(StrEnum):
    """How a step ended: only one that CONVERGED may be used.

    NOT_CONVERGED: no answer good enough was found. INACCURATE: a solver called good what its certificate
    does not bear out. UNSTABLE: an explicit step was too long for where it led.
    """

    CONVERGED = "converged"
    NOT_CONVERGED = "not converged"
    INACCURATE = "inaccurate"
    UNSTABLE = "unstable"

    @classmethod
    def of(cls, converged: bool) -> Status:
        """CONVERGED or NOT_CONVERGED."""
        return cls.CONVERGED if converged else cls.NOT_CONVERGED


@dataclass(frozen=True)
class StepInfo:
    """The record of one step. Energies are in the units of F, which is nondimensional.

    status: a `Status`, or its text; gap: primal − dual, an upper bound on the step's suboptimality;
    relative_gap: gap over the step's own W₂²/2τ; mass_error: |mass − mass before|, less what the step says in
    `details` that it `made` and that `left`; min_density: least cell; dissipation: F(ρ) − F(ρ′) − W₂²(ρ,
    ρ′)/2τ, whose sign proves or refutes the decay of energy, with W₂² as the scheme knows it (steps.Entropic:
    its own cost less that of staying), ∞ where F(ρ) is; transport_cost: W₂²(ρ, ρ′)/2τ as the scheme knows it,
    by which gap is divided and which dissipation subtracts but for that of steps.Entropic (of several steps
    in one, the sum of theirs, no less than that of the whole); note: a sentence for people on what happened,
    fallbacks taken and why;
    details: the same for programs, numbers and names by key, which each scheme lists. What a scheme does not
    compute is NaN.
    """

    status: Status = Status.CONVERGED
    gap: float = math.nan
    relative_gap: float = math.nan
    iterations: int = 0
    mass_error: float = math.nan
    min_density: float = math.nan
    dissipation: float = math.nan
    transport_cost: float = math.nan
    note: str = ""
    details: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.status, Status):
            object.__setattr__(self, "status", status_named(self.status))

    @property
    def converged(self) -> bool:
        """Whether the step may be used."""
        return self.status is Status.CONVERGED

    @classmethod
    def summed(cls, infos: Sequence[StepInfo], **other) -> StepInfo:
        """The record of steps taken as one, with `other` fields: sums of gaps, iterations, dissipations and
        costs, the worst relative gap, the least density of the last, and how the first that failed ended."""
        sums = {name: sum(getattr(info, name) for info in infos) for name in _SUMMED}
        least = infos[-1].min_density if infos else math.nan
        status = next((info.status for info in infos if not info.converged), Status.CONVERGED)
        relative = max((info.relative_gap for info in infos), default=math.nan)
        return cls(**sums | {"status": status, "relative_gap": relative, "min_density": least} | other)


_SUMMED = ("gap", "iterations", "dissipation", "transport_cost")


def joined(*notes: str) -> str:
    """The sentences of notes that are not empty, one after the other."""
    return "; ".join(filter(None, notes))


def status_named(text: str) -> Status:
    """The status of a text; ValueError where there is none."""
    try:
        return Status(text)
    except ValueError:
        known = ", ".join(repr(str(status)) for status in Status)
        raise ValueError(f"status: expected one of {known}, got {text!r}") from None


class Records(Mapping):
    """Step records as arrays over steps: `records["gap"]` or `records.gap`, for every field of StepInfo.

    A scheme may add columns of its own `[n_steps, ...]`, such as averages over particles. The column
    `details` holds JSON; `detail(name)` is one entry of it, step by step.
    """

    def __init__(self, columns: dict[str, np.ndarray]):
        columns = dict(columns)
        for name, missing in _LATER.items():
            columns.setdefault(name, np.full(len(columns["status"]), missing))
        named = {f.name: np.asarray(columns[f.name]) for f in fields(StepInfo)}
        self._columns = named | {name: np.asarray(column) for name, column in columns.items()}

    @classmethod
    def of(cls, infos: list) -> Records:
        """From a list of StepInfo."""
        rows = [asdict(info) for info in infos]
        return cls({f.name: _column(f.name, [row[f.name] for row in rows]) for f in fields(StepInfo)})

    @classmethod
    def constant(cls, n: int, **values) -> Records:
        """n equal records."""
        row = asdict(StepInfo(**values))
        return cls({name: _column(name, [value] * n) for name, value in row.items()})

    @classmethod
    def concatenate(cls, records: list) -> Records:
        """One after the other."""
        records = list(records) or [cls.of([])]
        columns = {name: column for r in records for name, column in r.items()}
        return cls(
            {name: np.concatenate([r._column_like(name, c) for r in records]) for name, c in columns.items()}
        )

    def with_columns(self, **columns) -> Records:
        """The same records with columns `[n_steps, ...]` beside those of StepInfo."""
        return Records(self._columns | columns)

    def _column_like(self, name: str, other: np.ndarray) -> np.ndarray:
        """A column, or NaN in the shape of the same one elsewhere: a failed step has none of its own."""
        missing = np.full((self.n_steps, *other.shape[1:]), math.nan)
        return self._columns.get(name, missing)

    def __getitem__(self, name: str):
        return self._columns[name]

    def __getattr__(self, name: str):
        if name.startswith("_") or name not in self._columns:
            known = self.__dict__.get("_columns", ())
            raise AttributeError(f"a record has no {name!r}; it has {', '.join(known)}")
        return self._columns[name]

    def __iter__(self):
        return iter(self._columns)

    def __len__(self):
        return len(self._columns)

    @property
    def n_steps(self) -> int:
        """The number of steps."""
        return len(self._columns["status"])

    def row(self, index: int) -> StepInfo:
        """One step's record."""
        values = {f.name: self._columns[f.name][index].item() for f in fields(StepInfo)}
        return StepInfo(**values | {"details": json.loads(values["details"])})

    def detail(self, name: str, default: Any = ...) -> list:
        """The entry `name` of the details of every step, `default` or None where a step has none; raises
        KeyError where no step has it and no default is given."""
        details = [json.loads(text) for text in self._columns["details"]]
        if default is ... and details and not any(name in each for each in details):
            known = ", ".join(repr(key) for key in dict.fromkeys(key for each in details for key in each))
            raise KeyError(f"no step has a detail {name!r}; there are {known or 'none'}")
        return [each.get(name, None if default is ... else default) for each in details]

    def __repr__(self) -> str:
        return f"Records of {self.n_steps} steps: {', '.join(self._columns)}"


def _column(name: str, values: list) -> np.ndarray:
    if name == "details":
        values = [json.dumps(value, default=float) for value in values]
    if name in TEXTS:
        return np.array(values, dtype=str)
    return np.array(values, dtype=int if name == "iterations" else float)
