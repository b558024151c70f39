"""Energies, bounds and certificates of all runs over time, thinned to a page's budget."""

from __future__ import annotations

import json

import numpy as np

from jko.bounds import Kind
from jko.page.budget import Budget
from jko.page.encoding import packed
from jko.trajectory import Trajectory

CERTIFICATES = {
    "gap": "gap: primal − dual",
    "relative_gap": "gap over the step’s own W₂²/2τ",
    "dissipation": "dissipation F − F′ − W₂²/2τ",
    "transport_cost": "W₂²/2τ of the step",
    "mass_error": "mass error",
    "min_density": "smallest density",
    "iterations": "iterations",
}  # columns of the records that are drawn, where any run has one
_WATCHED = ("gap", "relative_gap", "mass_error", "iterations")  # the step of the largest is always told
_NOT_DRAWN = {"status", "note", "details", *CERTIFICATES}


def energies_of(comparison, budget: Budget) -> list[dict]:
    """F at the stored times of each run, with F_min where the comparison knows or fits one."""
    most = _share(comparison.runs, budget)
    rows = {row["run"]: row for row in comparison.table}
    found = []
    for name, run in comparison.runs.items():
        kept = thinned(len(run), most)
        least, of_line = rows[name]["minimum_energy"], rows[name]["energy_kind"] == "of the line"
        modulus = run.displacement_modulus
        found.append(
            {
                "kind": rows[name]["energy_kind"],
                "stored": len(run),
                "times": packed(run.times[kept]),
                "energy": packed(np.where(of_line, np.nan, run.energy[kept])),
                "uncertainty": packed(run.energy_uncertainty[kept]) if _any(run.energy_uncertainty) else None,
                "minimum": _number(least),
                "modulus": _number(modulus),
            }
        )
    return found


def bounds_of(comparison, budget: Budget) -> list[dict]:
    """Bounds of W₂ to the flow and to the exact iterates, and the distances to the exact answer."""
    most = _share(comparison.runs, budget)
    found = []
    for name, run in comparison.runs.items():
        kept = thinned(len(run), most)
        measured = comparison.exact is not None
        found.append(
            {
                "times": packed(run.times[kept]),
                "flow": packed(run.flow_error_bound[kept]) if _has(run.flow_error_bound_kind) else None,
                "flow_kind": str(run.flow_error_bound_kind),
                "iterates": packed(run.error_bound[kept]) if _has(run.error_bound_kind) else None,
                "iterates_kind": str(run.error_bound_kind),
                "measured_times": packed(comparison.times) if measured else None,
                "measured": packed(comparison.distance("W2", name)) if measured else None,
            }
        )
    return found


def certificates_of(runs: dict[str, Trajectory], budget: Budget) -> dict:
    """Columns of the records by step, and which of them there is anything of to draw."""
    most, names = _share(runs, budget), dict(CERTIFICATES)
    for run in runs.values():
        own = [c for c in run.info if c not in _NOT_DRAWN and run.info[c].ndim == 1]
        names |= {column: column.replace("_", " ") for column in own if run.info[column].dtype.kind in "biuf"}
    names = {c: text for c, text in names.items() if any(_any(run.info.get(c)) for run in runs.values())}
    columns = []
    for run in runs.values():
        kept = extremes([run.info[c] for c in names if c in run.info], run.info.n_steps, most)
        values = {c: packed(run.info[c][kept]) for c in names if c in run.info and _any(run.info[c])}
        columns.append({"times": packed(step_times(run)[kept]), "steps": packed(kept + 1), "columns": values})
    return {"names": names, "runs": columns}


def step_times(run: Trajectory) -> np.ndarray:
    """The time at the end of each step: steps of τ from the start, to the last stored time at the most."""
    return np.minimum(run.times[0] + run.tau * np.arange(1, run.info.n_steps + 1), run.times[-1])


def records_of(run: Trajectory, rows: int, letters: int) -> list[dict]:
    """What happened in each step, or in those that are worth most: failures, notes, extremes, then evenly."""
    info = run.info
    status, notes = np.asarray(info.status), np.asarray(info.note)
    kept = np.arange(info.n_steps)
    if info.n_steps > rows:
        failed = np.flatnonzero(status != "converged")[:rows]
        _, told = np.unique(notes, return_index=True)
        told = told[notes[told] != ""][: rows // 4]
        worst = [int(np.nanargmax(np.abs(info[c]))) for c in _WATCHED if _any(info[c])]
        special = np.unique(np.concatenate([failed, told, np.array(worst, dtype=int)]))[:rows]
        even = np.linspace(0, info.n_steps - 1, max(rows - len(special), 2)).round().astype(int)
        kept = np.unique(np.concatenate([special, even]))
    times = step_times(run)
    return [_record(info, int(k), float(times[k]), letters) for k in kept]


def _record(info, k: int, time: float, letters: int) -> dict:
    numbers = {c: float(info[c][k]) for c in ("gap", "relative_gap", "dissipation", "mass_error")}
    details = json.loads(str(info.details[k]))
    told = ", ".join(f"{key} = {_told(value)}" for key, value in details.items())
    return {
        "step": k + 1,
        "time": time,
        "status": str(info.status[k]),
        "iterations": int(info.iterations[k]),
        **numbers,
        "details": _cut(told, letters),
        "note": _cut(str(info.note[k]), letters),
    }


def thinned(n: int, most: int) -> np.ndarray:
    """At most so many of n indices: half evenly, half ever closer to the start, where most happens."""
    if n <= most:
        return np.arange(n)
    even = np.linspace(0, n - 1, most // 2)
    early = np.geomspace(1, n - 1, most - most // 2)
    return np.unique(np.concatenate([even, early]).round().astype(int))


def extremes(columns: list[np.ndarray], n: int, most: int) -> np.ndarray:
    """At most so many of n indices, among them the largest and least of every column in each stretch."""
    if n <= most:
        return np.arange(n)
    stretches = np.array_split(np.arange(n), max(most // max(2 * len(columns), 1), 1))
    chosen = {0, n - 1}
    for column in columns:
        values = np.asarray(column, dtype=float)
        for stretch in stretches:
            part = values[stretch]
            if np.isfinite(part).any():
                chosen |= {int(stretch[np.nanargmax(part)]), int(stretch[np.nanargmin(part)])}
    return np.sort(np.fromiter(chosen, dtype=int))


def _share(runs: dict, budget: Budget) -> int:
    return max(budget.points // len(runs), 24)


def _has(kind: Kind) -> bool:
    return kind is not Kind.NONE


def _any(values) -> bool:
    """Whether a column has a number other than 0."""
    return values is not None and bool(np.any(np.isfinite(values) & (np.asarray(values) != 0)))


def _number(value) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _told(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
