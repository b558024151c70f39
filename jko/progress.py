"""Progress bars over long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jko.errors import shown

_PATIENCE = 1.0  # seconds of work before a bar appears that nobody asked for


@contextmanager
def progress_bar(
    progress: bool | None, total: int, label: str, unit: str, done: int = 0
) -> Iterator[Callable[[int], object]]:
    """A function that counts `unit`s of work as done, of `total` with `done` of them before.

    progress: True shows a bar, False none, None one on a terminal when the work takes more than a second.
    Raises TypeError for anything else.
    """
    from tqdm import tqdm

    if progress is not None and not isinstance(progress, bool):
        raise TypeError(f"progress: expected True, False or None, got {shown(progress)}")
    hidden, delay = None if progress is None else not progress, 0.0 if progress else _PATIENCE
    with tqdm(
        total=total, initial=done, desc=label, unit=unit, delay=delay, disable=hidden, leave=False
    ) as bar:
        yield bar.update
