"""The page: its tables and texts as plain HTML, its figures as data that the scripts in `assets/` draw."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from jko.comparison.text import distances_of, footnotes, heading, table_of
from jko.errors import file_path
from jko.page.budget import MOST_BYTES, Budget
from jko.page.encoding import as_json
from jko.page.palette import colours_of, declarations
from jko.page.series import bounds_of, certificates_of, energies_of, records_of
from jko.page.states import states_of
from jko.page.versions import versions
from jko.writing import write_text

_SCRIPTS = ("numbers.js", "chart.js", "states.js", "page.js")
_TYPESET = {"W2^2": "W₂²", "W2": "W₂", "L1": "L¹", "lambda": "λ", "F_min": "Fₘᵢₙ", "tau": "τ", " - ": " − "}


def write_page(comparison, path: Path | str, *, title: str = "", experiment: str = "") -> Path:
    """Write a comparison as one HTML file that needs nothing else, of at most 5 MB; beside and renamed.

    title: of the page, that of the runs unless given; experiment: the TOML text that made the runs. Raises
    ValueError for a path that does not end in .html.
    """
    path = file_path("path", path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"path: expected a file that ends in .html, got {path.name!r}")
    budget = Budget()
    for _ in range(budget.tries):
        text = page(comparison, title=title, experiment=experiment, budget=budget)
        if len(text.encode()) < MOST_BYTES:
            break
        budget = budget.halved()
    return write_text(path, text)


def page(comparison, *, title: str, experiment: str, budget: Budget) -> str:
    """The HTML of a comparison with as much of its runs as the budget allows."""
    runs = comparison.runs
    title = title or next((str(r.attributes["title"]) for r in runs.values() if "title" in r.attributes), "")
    functional, what = heading(comparison).split("\n")
    data = {
        "colours": colours_of(len(runs)),
        "names": list(runs),
        "states": states_of(runs, comparison.exact, budget),
        "energies": energies_of(comparison, budget),
        "bounds": bounds_of(comparison, budget),
        "certificates": certificates_of(runs, budget),
    }
    parts = {
        "title": escape(title or "Runs side by side"),
        "functional": escape(_cut(_typeset(functional), 2 * budget.letters)),
        "what": escape(what),
        "style": declarations() + _asset("page.css"),
        "script": "\n".join(_asset(name) for name in _SCRIPTS),
        "data": as_json(data),
        "toggles": _toggles(runs, comparison.exact is not None),
        "table": _table(table_of(comparison), "Quantity", "The runs side by side"),
        "notes": _list(map(_typeset, footnotes(comparison)), "notes"),
        "distances": "".join(_table(b, "Run", t) for t, b in distances_of(comparison).items()),
        "records": _records(runs, budget),
        "settings": _settings(runs, budget),
        "experiment": _experiment(experiment, budget),
        "remarks": _list(_remarks(runs, budget), "notes"),
        "versions": escape(versions()),
    }
    return Template(_asset("page.html")).substitute(parts)


def _asset(name: str) -> str:
    return (files("jko.page") / "assets" / name).read_text(encoding="utf-8")


def _typeset(text: str) -> str:
    for plain, printed in _TYPESET.items():
        text = text.replace(plain, printed)
    return text


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _toggles(runs: Iterable[str], exact: bool) -> str:
    """A box a run, and one for the exact answer: what is not ticked is drawn in no figure."""
    boxes = [(place, name) for place, name in enumerate(runs)] + ([(-1, "exact")] if exact else [])
    return "".join(
        f'<label class="toggle"><input type="checkbox" checked data-run="{place}">'
        '<svg class="swatch" aria-hidden="true" viewBox="0 0 26 10">'
        f'<path d="M1 5H25" data-swatch="{place}"/></svg><span>{escape(name)}</span></label>'
        for place, name in boxes
    )


def _table(body: list[list[str]], corner: str, title: str) -> str:
    first, *rows = body
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in first[1:])
    lines = "".join(
        f'<tr><th scope="row">{escape(_typeset(row[0].strip()))}</th>'
        + "".join(f"<td>{escape(_minus(cell))}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    caption = escape(_typeset(title))
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}">'
        f"<table><caption>{caption}</caption>"
        f'<thead><tr><th scope="col">{corner}</th>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _minus(cell: str) -> str:
    return "–" if cell == "-" else cell.replace("e-", "e−") if not cell.startswith("-") else "−" + cell[1:]


def _list(lines: Iterable[str], kind: str) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="{kind}">{items}</ul>' if items else ""


_COLUMNS = {
    "step": "step", "time": "t", "status": "status", "iterations": "iterations", "gap": "gap",
    "relative_gap": "relative gap", "dissipation": "dissipation", "mass_error": "mass error",
    "details": "details", "note": "note",
}  # fmt: skip


def _records(runs: dict, budget: Budget) -> str:
    share = max(budget.steps // len(runs), 6)
    parts = []
    for place, (name, run) in enumerate(runs.items()):
        rows = records_of(run, share, budget.letters)
        held = [c for c in _COLUMNS if any(_cell(row[c]) for row in rows)]
        bad = sum(row["status"] != "converged" for row in rows)
        total = run.info.n_steps
        count = f"{total} steps" if len(rows) == total else f"{len(rows)} of {total} steps"
        count += f", {bad} of them not converged" if bad else ""
        head = "".join(f'<th scope="col">{_COLUMNS[c]}</th>' for c in held)
        body = "".join(
            f'<tr data-time="{row["time"]:.12g}"{"" if row["status"] == "converged" else " class=failed"}>'
            + "".join(_record_cell(c, row[c]) for c in held)
            + "</tr>"
            for row in rows
        )
        parts.append(
            f'<details class="records" data-run="{place}">'
            f"<summary>{escape(name)} <small>{count}</small></summary>"
            f'<div class="scroll tall" role="region" tabindex="0" aria-label="records of {escape(name)}">'
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
        )
    return "".join(parts)


def _record_cell(column: str, value) -> str:
    if column == "step":
        return f'<th scope="row">{value}</th>'
    kind = ' class="words"' if column in ("details", "note") else ""
    return f"<td{kind}>{escape(_minus(_cell(value)))}</td>"


def _cell(value) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3g}"
    return str(value)


def _settings(runs: dict, budget: Budget) -> str:
    """Functional and scheme of each run, as they write themselves."""
    return "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(_cut(run.scheme, budget.letters))}</code> "
        f"on <code>{escape(_cut(run.functional, budget.letters))}</code></dd>"
        for name, run in runs.items()
    )


def _experiment(text: str, budget: Budget) -> str:
    if not text:
        return "<p>The runs were made in Python: no experiment file belongs to them.</p>"
    shown = (
        text if len(text) <= budget.text else text[: budget.text] + "\n# … the rest of the file is left out"
    )
    return f'<pre tabindex="0" role="region" aria-label="the experiment file">{escape(shown.strip())}</pre>'


def _remarks(runs: dict, budget: Budget) -> list[str]:
    notes = dict.fromkeys(str(run.attributes.get("notes", "")) for run in runs.values())
    return [_cut(note, budget.letters) for note in notes if note]
