"""Files that are written beside and renamed, so that a reader never meets half of one."""

from __future__ import annotations

from pathlib import Path


def write_text(path, text: str) -> Path:
    """Write a text file; its folder is made if there is none."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path
