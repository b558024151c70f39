"""Progress bars over long work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from jko.errors import shown

_PATIENCE = 1.0  # seconds of work before a bar appears that nobody asked for


@contextmanager
def progress_bar(
    progress: bool | None, total: int, label: str, unit: str, done: int = 0
) -> Iterator[Callable[[int], object]]:
    """A function that counts `unit`s of work as done, of `total` with `done` of them before.

    progress: True shows a bar, False none, None one on a terminal or in a notebook when the work takes more
    than a second; in a notebook with ipywidgets it is a widget, else text.
    Raises TypeError for anything else.
    """
    notebook = _in_notebook()
    if notebook and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm
    else:
        from tqdm import tqdm

    if progress is not None and not isinstance(progress, bool):
        raise TypeError(f"progress: expected True, False or None, got {shown(progress)}")
    unasked = False if notebook else None  # tqdm shows one on a terminal, and a notebook is none
    hidden, delay = unasked if progress is None else not progress, 0.0 if progress else _PATIENCE
    with tqdm(
        total=total, initial=done, desc=label, unit=unit, delay=delay, disable=hidden, leave=False
    ) as bar:
        yield bar.update


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    if "ipykernel" not in sys.modules or "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")
