"""Films: runs side by side, the views of an SDE, and the theorem of Benamou and Brenier in five scenes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from jko.films.animation import animate
from jko.films.runs import film_of_runs
from jko.films.writer import write_film

if TYPE_CHECKING:
    from jko.films.sde import film_of_views
    from jko.films.theorem import Theorem, theorem_film

__all__ = ["Theorem", "animate", "film_of_runs", "film_of_views", "theorem_film", "write_film"]

_ROOMS = {
    "film_of_views": "jko.films.sde",
    "Theorem": "jko.films.theorem",
    "theorem_film": "jko.films.theorem",
}


def __getattr__(name: str):
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module 'jko.films' has no attribute {name!r}")
