"""A comparison as text: quantities down, runs across, footnotes below."""

from __future__ import annotations

import math

import numpy as np

from jko.comparison.distances import PLAN, SHAPES


def comparison_text(comparison) -> str:
    """The table, the distances between runs at the last common time, and the footnotes."""
    lines = [heading(comparison), "", *aligned(table_of(comparison))]
    for title, body in distances_of(comparison).items():
        lines += ["", title, *aligned(body)]
    notes = footnotes(comparison)
    return "\n".join(lines + ([""] if notes else []) + notes)


def table_of(comparison) -> list[list[str]]:
    """Rows of cells: the names of the runs, then every quantity that some run has, its label first."""
    body = [["", *comparison.runs]]
    for label, cell in _quantities(comparison, f"t = {comparison.times[-1]:g}"):
        cells = [cell(row) for row in comparison.table]
        if any(cells):
            body.append([label, *(c or "-" for c in cells)])
    return body


def distances_of(comparison) -> dict[str, list[list[str]]]:
    """Rows of cells of the distances between the runs at the last common time, by title; none of one run."""
    if len(comparison.runs) < 2:
        return {}
    end = f"between the runs at t = {comparison.times[-1]:g}"
    return {f"{kind} {end}": _matrix(comparison, kind) for kind in ("W2", "L1")}


def heading(comparison) -> str:
    """The functional, and which runs are compared at which times: two lines."""
    times, n = comparison.times, len(comparison.runs)
    functionals = {run.functional for run in comparison.runs.values()}
    what = f"F = {functionals.pop()}" if len(functionals) == 1 else "several functionals"
    held = f" and {type(comparison.exact).__name__}" if comparison.exact is not None else ""
    at = (
        f"{len(times)} common times, t = {times[0]:g} ... {times[-1]:g}"
        if len(times) > 1
        else f"t = {times[0]:g}"
    )
    return f"{what}\n{n} run{'s' if n > 1 else ''}{held} at {at}"


def _quantities(comparison, end: str):
    """(label, row -> cell) for every line of a table; one that is empty for all runs is left out."""
    return [
        ("measure", lambda row: row["measure"]),
        ("tau", lambda row: _number(row["tau"])),
        ("steps", lambda row: str(row["steps"])),
        (
            "F at the start",
            lambda row: _energy(row["energy_initial"], row["energy_initial_uncertainty"], row),
        ),
        ("F at the end", lambda row: _energy(row["energy_final"], row["energy_uncertainty"], row)),
        ("decay rate of F - F_min", _rate),
        ("declared rate 2 lambda", lambda row: _number(row["declared_rate"])),
        (f"W2 to exact, {end}", lambda row: _number(row["w2_exact"], 3)),
        ("W2 to exact, worst", lambda row: _number(row["w2_exact_worst"], 3)),
        ("  of a sample [s]", lambda row: _number(row["w2_sample"], 3)),
        (f"L1 to exact, {end}", lambda row: _l1(row["l1_exact"], row)),
        ("L1 to exact, worst", lambda row: _l1(row["l1_exact_worst"], row)),
        ("  of a sample [s]", lambda row: _l1(row["l1_sample"], row)),
        ("W2 to the flow, at most", lambda row: _bound(row, "flow_error_bound")),
        ("W2 to exact iterates, at most", lambda row: _bound(row, "error_bound")),
        ("accuracy asked for", _accuracy),
        ("mass", lambda row: _number(row["mass"], 10)),
        ("worst mass error", lambda row: _number(row["mass_error"], 2)),
        ("worst gap", lambda row: _number(row["gap"], 2)),
        ("worst relative gap", lambda row: _number(row["relative_gap"], 2)),
        ("smallest density", lambda row: _number(row["min_density"], 2)),
        ("dissipation violations", _violations),
        ("steps not converged", lambda row: str(row["not_converged"]) if row["not_converged"] else ""),
        ("wall-clock seconds", lambda row: _number(row["seconds"], 3)),
    ]


def _number(value: float, digits: int = 4) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def _energy(value: float, uncertainty: float, row: dict) -> str:
    if math.isnan(value):
        return _ENERGY_MARKS.get(row["energy_kind"], "").strip()
    spread = f" ± {uncertainty:.1g}" if uncertainty > 0 else ""
    return f"{value:.5g}{spread}{_ENERGY_MARKS.get(row['energy_kind'], '')}"


_ENERGY_MARKS = {"exact": "", "estimate": " [e]", "regularised": " [r]", "of the line": " [t]"}


def _rate(row: dict) -> str:
    if math.isnan(row["decay_rate"]):
        return ""
    mark = "" if row["minimum_source"] in ("given", "exact equilibrium") else " [f]"
    return f"{row['decay_rate']:.4g} ± {row['decay_rate_error']:.1g}{mark}"


def _l1(value: float, row: dict) -> str:
    text = _number(value, 3)
    return f"{text} [k]" if text and row["measure"].endswith("particles") else text


def _bound(row: dict, name: str) -> str:
    text = _number(row[name], 3)
    return f"{text}{_BOUND_MARKS[row[f'{name}_kind']]}" if text else ""


_BOUND_MARKS = {"proven": "", "up to the grid": " [h]", "estimate": " [~]", "none": ""}


def _accuracy(row: dict) -> str:
    asked = _number(row["accuracy"])
    return f"{asked}, {'met' if row['accuracy_met'] else 'not met'}" if asked else ""


def _violations(row: dict) -> str:
    return (
        f"{row['dissipation_violations']} of {row['dissipation_checked']}"
        if row["dissipation_checked"]
        else ""
    )


def aligned(body: list) -> list[str]:
    """Rows of cells as lines of columns of equal width, the first row ruled off."""
    widths = [max(len(line[column]) for line in body) for column in range(len(body[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in body
    ]
    return [lines[0], "-" * (sum(widths) + 2 * len(widths) - 2), *lines[1:]]


def _matrix(comparison, kind: str) -> list[list[str]]:
    values, names = comparison.pairs[kind][-1], comparison.names
    body = [["", *names[1:]]]
    for i, name in enumerate(names[:-1]):
        cells = [_number(values[i, j], 3) or "-" if j > i else "" for j in range(1, len(names))]
        body.append([name, *cells])
    return body


def footnotes(comparison) -> list[str]:
    """What the marks in the table mean, and how its numbers were taken."""
    rows = comparison.table
    kinds = {row["energy_kind"] for row in rows}
    notes = []
    if "estimate" in kinds:
        notes.append(
            "[e] energy of a cloud under an entropy is estimated by nearest neighbours, ± one standard error"
        )
    if "of the line" in kinds:
        notes.append("[t] the entropy of a cloud is estimated on the line, not on the torus, and left out")
    if "regularised" in kinds:
        notes.append("[r] the regularised energy that the particles descend, not F")
    sources = {row["minimum_source"] for row in rows if not math.isnan(row["decay_rate"])}
    if "exact equilibrium" in sources:
        notes.append(
            "F_min is that of the exact equilibrium; the rate is that of the later half of the decay above it"
        )
    if "given" in sources:
        notes.append("F_min was given; the rate is that of the later half of the decay above it")
    if sources & {"fitted jointly", "fitted to another run"}:
        shared = (
            "; estimated energies take F_min from another run" if "fitted to another run" in sources else ""
        )
        notes.append(f"[f] F_min was fitted jointly with the rate{shared}")
    if any(not math.isnan(row["declared_rate"]) and row["declared_rate"] > 0 for row in rows):
        notes.append(
            "2 lambda is the least rate of the flow; implicit steps are held to 2 log(1 + lambda tau)/tau"
        )
    if any(row["dissipation_violations"] for row in rows):
        notes.append(
            "a dissipation violation is a step with F' + W2^2/2 tau > F beyond its gap: JKO steps have none"
        )
    return notes + _bound_notes(rows) + _distance_notes(comparison, rows)


def _bound_notes(rows: list) -> list[str]:
    """What the bounds are, and of which problem (docs/error_bounds.md)."""
    notes = []
    kinds = {row[f"{name}_kind"] for row in rows for name in ("flow_error_bound", "error_bound")}
    if kinds - {"none"}:
        notes.append("bounds are of all steps together, from the start that the run was given")
    if "proven" in kinds:
        notes.append("a bound without a mark is proven for the problem as it is discrete in space")
    if "up to the grid" in kinds:
        notes.append("[h] proven but for what the grid adds to gaps, costs and energies")
    if "estimate" in kinds:
        notes.append("[~] an estimate: no theorem holds there, or lambda is not declared")
    return notes


def _distance_notes(comparison, rows: list) -> list[str]:
    notes = []
    if any(not math.isnan(row["w2_sample"]) for row in rows):
        notes.append("[s] the same distance for as many draws from the exact answer: less cannot be expected")
    if "kernel estimate" in comparison.methods:
        notes.append(
            "[k] L1 with a cloud, here and below: its kernel estimate against the other, smoothed alike"
        )
    if "subsampled" in comparison.methods:
        notes.append(
            f"W2 of a cloud of more than {PLAN} particles is that of {PLAN} of them, drawn with seed "
            f"{comparison.seed}: it has their sampling noise"
        )
    if SHAPES in comparison.methods:
        notes.append("W2 of measures of unlike masses is that of their shapes, each divided by its mass")
    worst = float(np.max(comparison.error_bounds, initial=0.0))
    if worst > 0.0:
        notes.append(
            f"W2 in several dimensions is taken on grids or gathered cells: to within about {worst:.2g}"
        )
    return notes
