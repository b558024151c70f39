"""A text file of numbers, a line a row, with or without a header line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jko.errors import shown


def read_table(path: Path, columns=None, finite: bool = True) -> np.ndarray:
    """The numbers `[rows, columns]` of a comma-separated file, of all columns or those given by number.

    Raises ValueError for a file that is no such table, and unless told otherwise for numbers in it that are
    not `finite`, naming the line of the file, from 1, and the column, from 0.
    """
    lines = _lines_of(path)
    header = bool(lines) and any(map(_is_word, lines[0][1].split(",")))
    rows = [(number, line) for number, line in lines[header:] if line.split("#")[0].strip()]
    if not rows:
        raise ValueError(f"{str(path)!r} holds no numbers")
    try:
        table = np.loadtxt([line for _, line in rows], delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not a table of numbers: {_fault(rows) or error}") from None
    chosen = list(range(table.shape[1]) if columns is None else np.atleast_1d(columns))
    if not all(0 <= column < table.shape[1] for column in chosen):
        raise ValueError(f"columns: expected numbers from 0 to {table.shape[1] - 1}, got {shown(columns)}")
    table = table[:, chosen]
    wrong = np.argwhere(~np.isfinite(table))
    if finite and len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{str(path)!r}: expected finite numbers, got {table[row, column]} in line {rows[row][0]}, "
            f"column {chosen[column]}"
        )
    return table


def _fault(rows: list[tuple[int, str]]) -> str:
    """The first entry that is no number, or row of another length than the first one's; else nothing."""
    width = len(rows[0][1].split(","))
    for number, line in rows:
        entries = line.split(",")
        for column, entry in enumerate(entries):
            if _is_word(entry):
                return f"line {number}, column {column} holds {shown(entry.strip())}"
        if len(entries) != width:
            return f"line {number} has {len(entries)} entries, those before have {width}"
    return ""


def header_of(path: Path) -> list[str]:
    """The names in the header line of such a file, none where it has no header."""
    lines = _lines_of(path)
    entries = [entry.strip().strip('"') for entry in lines[0][1].split(",")] if lines else []
    return entries if any(_is_word(entry) for entry in entries) else []


def _lines_of(path: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    if not Path(path).is_file():
        raise ValueError(f"no file {str(path)!r}")
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{str(path)!r} is not a text file") from None
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _is_word(entry: str) -> bool:
    try:
        float(entry)
    except ValueError:
        return True
    return False
