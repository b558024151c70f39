"""A text file of numbers, a line a row, with or without a header line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jko.errors import shown


def read_table(path: Path, columns=None) -> np.ndarray:
    """The numbers `[rows, columns]` of a comma-separated file, of all columns or those given by number.

    Raises ValueError for a file that is no such table.
    """
    lines = _lines_of(path)
    header = bool(lines) and any(_is_word(entry) for entry in lines[0].split(","))
    if len(lines) == header:
        raise ValueError(f"{str(path)!r} holds no numbers")
    try:
        table = np.loadtxt(lines, delimiter=",", skiprows=int(header), ndmin=2)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not a table of numbers: {error}") from None
    if columns is None:
        return table
    if not all(0 <= column < table.shape[1] for column in np.atleast_1d(columns)):
        raise ValueError(f"columns: expected numbers from 0 to {table.shape[1] - 1}, got {shown(columns)}")
    return table[:, list(np.atleast_1d(columns))]


def header_of(path: Path) -> list[str]:
    """The names in the header line of such a file, none where it has no header."""
    lines = _lines_of(path)
    entries = [entry.strip().strip('"') for entry in lines[0].split(",")] if lines else []
    return entries if any(_is_word(entry) for entry in entries) else []


def _lines_of(path: Path) -> list[str]:
    if not Path(path).is_file():
        raise ValueError(f"no file {str(path)!r}")
    try:
        return [line for line in Path(path).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise ValueError(f"{str(path)!r} is not a text file") from None


def _is_word(entry: str) -> bool:
    try:
        float(entry)
    except ValueError:
        return True
    return False
