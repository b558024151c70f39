"""Sets of cells of a grid: the inside of a room, its doors."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from jko.errors import shown


class Cells:
    """Cells of a grid by a boolean array `[*cells]`, `values`, that nobody can write to; equal and hashed by
    their content."""

    def __init__(self, values: np.ndarray):
        self.values = np.array(values, dtype=bool)
        self.values.setflags(write=False)
        self._key = self.values.shape, self.values.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cells) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        # told from other cells of the same number, as a checkpoint must
        number = f"{self.values.sum()} of {self.values.size} cells"
        return f"<{number}, {crc32(np.packbits(self.values).tobytes()):08x}>"


def chosen(name: str, cells: np.ndarray | Callable, points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The cells that a boolean array `[*cells]` or a jax function of a point `[d]` names, as booleans.

    A function is asked at the cell centres; its value is a truth, or a number, positive where the cell is
    meant. Raises ValueError for another shape, and for cells that are NaN or none at all; TypeError for what
    is neither.
    """
    if callable(cells):
        found = _asked(name, cells, points).reshape(shape)
    else:
        found = np.asarray(getattr(cells, "values", cells))
        if found.dtype != bool or found.shape != shape:
            raise (ValueError if found.dtype == bool else TypeError)(
                f"{name}: expected a function of a point or a boolean array of shape {shape}, the grid's "
                f"cells, got {_described(cells, found)}"
            )
    if not found.any():
        raise ValueError(f"{name}: expected some of the {found.size} cells, got none: all are outside of it")
    return found


def _described(cells: object, found: np.ndarray) -> str:
    return shown(cells) if found.ndim == 0 else f"{found.dtype} of shape {found.shape}"


def _asked(name: str, function: Callable, points: np.ndarray) -> np.ndarray:
    try:
        values = pointwise.values(lambda x: jnp.asarray(function(x), dtype=float), points)
    except TypeError as refusal:
        raise TypeError(f"{name}: {refusal}; write & for and, | for or, ~ for not") from None
    if np.isnan(values).any():
        raise ValueError(f"{name}: is no number in {int(np.isnan(values).sum())} of {values.size} cells")
    return values > 0.0
