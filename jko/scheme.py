"""What a scheme is: settings with `init` and `step`, the record of a step, and what a scheme takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

import jko.sharding as sharding
from jko.errors import UnsupportedFunctional

KINDS = frozenset({"entropy", "internal", "potential", "interaction", "constraint", "rest"})
CONVERGED = "converged"


@dataclass(frozen=True)
class StepInfo:
    """The record of one step. Energies are in the units of F, which is nondimensional.

    status: "converged", or what else happened; gap: primal − dual, an upper bound on the step's
    suboptimality; relative_gap: gap over the step's own W₂²/2τ; mass_error: |mass − mass before|;
    min_density: least cell; dissipation: F(ρ) − F(ρ′) − W₂²(ρ, ρ′)/2τ, whose sign proves or refutes the
    decay of energy, with W₂² as the scheme knows it (steps.Entropic: its own cost less that of staying), ∞
    where F(ρ) is; note: fallbacks taken and why. What a scheme does not compute is NaN.
    """

    status: str = CONVERGED
    gap: float = math.nan
    relative_gap: float = math.nan
    iterations: int = 0
    mass_error: float = math.nan
    min_density: float = math.nan
    dissipation: float = math.nan
    note: str = ""

    @property
    def converged(self) -> bool:
        """Whether the step may be used."""
        return self.status == CONVERGED


class Records(Mapping):
    """Step records as arrays over steps: `records["gap"]` or `records.gap`, for every field of StepInfo.

    A scheme may add columns of its own `[n_steps, ...]`, such as averages over particles.
    """

    def __init__(self, columns: dict[str, np.ndarray]):
        named = {f.name: np.asarray(columns[f.name]) for f in fields(StepInfo)}
        self._columns = named | {name: np.asarray(column) for name, column in columns.items()}

    @classmethod
    def of(cls, infos) -> Records:
        """From a list of StepInfo."""
        rows = [asdict(info) for info in infos]
        return cls({f.name: _column(f.name, [row[f.name] for row in rows]) for f in fields(StepInfo)})

    @classmethod
    def constant(cls, n: int, **values) -> Records:
        """n equal records."""
        row = asdict(StepInfo(**values))
        return cls({name: _column(name, [value] * n) for name, value in row.items()})

    @classmethod
    def concatenate(cls, records) -> Records:
        """One after the other."""
        records = list(records) or [cls.of([])]
        columns = {name: column for r in records for name, column in r.items()}
        return cls(
            {name: np.concatenate([r._column_like(name, c) for r in records]) for name, c in columns.items()}
        )

    def with_columns(self, **columns) -> Records:
        """The same records with columns `[n_steps, ...]` beside those of StepInfo."""
        return Records(self._columns | columns)

    def _column_like(self, name, other) -> np.ndarray:
        """A column, or NaN in the shape of the same one elsewhere: a failed step has none of its own."""
        missing = np.full((self.n_steps, *other.shape[1:]), math.nan)
        return self._columns.get(name, missing)

    def __getitem__(self, name):
        return self._columns[name]

    def __getattr__(self, name):
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
        return StepInfo(**{f.name: self._columns[f.name][index].item() for f in fields(StepInfo)})

    def __repr__(self) -> str:
        return f"Records of {self.n_steps} steps: {', '.join(self._columns)}"


def _column(name, values) -> np.ndarray:
    if name in ("status", "note"):
        return np.array(values, dtype=str)
    return np.array(values, dtype=int if name == "iterations" else float)


@dataclass
class State:
    """What a scheme carries from step to step.

    `data` holds everything beside the measure that the next step's numbers depend on, as arrays, numbers and
    strings: it goes into checkpoints and is never changed in place. `workspace` holds what `init` can
    rebuild, such as compiled problems: no number may depend on its history.
    """

    data: dict[str, Any] = field(default_factory=dict)
    workspace: Any = None

    def with_data(self, **data) -> State:
        """The same workspace with other data."""
        return State(data, self.workspace)


class Scheme:
    """The base of every scheme: a frozen dataclass of settings with `init` and `step`.

    A subclass declares the kinds of functional parts that it `takes`, the `measures` that it moves, its
    `order` in τ, and whether it takes densities on `periodic` grids. Where steps are cheap it may define
    `advance(F, mu, tau, n, state) -> (mu′, state, Records)`, a compiled block of n steps.
    """

    takes: ClassVar[frozenset[str]] = frozenset()
    measures: ClassVar[tuple[type, ...]] = ()
    order: ClassVar[int] = 1
    energy_kind: ClassVar[str] = "exact"
    on_many_devices: ClassVar[bool] = False
    periodic: ClassVar[bool] = False
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

    def init(self, F, mu) -> State:
        """The state before the first step; refuses what the scheme cannot take."""
        self.check(F, mu)
        return State()

    def step(self, F, mu, tau: float, state: State):
        """One step: (mu′, state, StepInfo)."""
        raise NotImplementedError(f"{type(self).__name__} must define step")

    def energy(self, F, mu, state: State) -> tuple[float, float]:
        """(F(mu), its uncertainty): what the trajectory records at stored times."""
        return F(mu), 0.0

    def energy_kind_of(self, F) -> str:
        """What `energy` gives for F: "exact", "estimate" or "regularised"."""
        return self.energy_kind

    def check(self, F, mu) -> None:
        """Refuse, by name and before any work, a measure or a part of F that the scheme does not take."""
        if self.measures and not isinstance(mu, self.measures):
            wanted = " or ".join(cls.__name__ for cls in self.measures)
            raise TypeError(
                f"{self.scheme_name()} moves {wanted}, got {type(mu).__name__}: {_conversion(wanted)}"
            )
        self._check_walls(mu)
        self._check_devices(mu)
        for kind in sorted(F.parts.kinds - self.takes):
            _, atom = F.parts.of_kind(kind)[0]
            others = [name for name, scheme in sorted(Scheme.known.items()) if F.parts.kinds <= scheme.takes]
            remedy = (
                f"{', '.join(others)} would take the whole functional"
                if others
                else "no scheme takes all of it"
            )
            raise UnsupportedFunctional(f"{self.scheme_name()} does not take {atom!r}; {remedy}")

    def _check_walls(self, mu) -> None:
        grid = getattr(mu, "grid", None)
        if grid is None or not grid.is_periodic or self.periodic:
            return
        able = ", ".join(name for name, scheme in sorted(Scheme.known.items()) if scheme.periodic)
        grid.require_walls("measure", f"{self.scheme_name()} takes no periodic grid, {able} do")

    def _check_devices(self, mu) -> None:
        if sharding.active() is None:
            return
        if not self.on_many_devices:
            able = ", ".join(name for name, scheme in sorted(Scheme.known.items()) if scheme.on_many_devices)
            raise ValueError(
                f"scheme: {self.scheme_name()} runs on one device, {able} on many: leave jko.sharding.over"
            )
        sharding.require_enough(mu.n)


def _conversion(wanted: str) -> str:
    return {
        "Density": "convert with Density.histogram, Density.kernel_estimate or gaussian.on(grid)",
        "Particles": "draw them with mu.sample(n, seed)",
        "Gaussian": "give Gaussian(mean, covariance)",
    }.get(wanted, "convert it first")
