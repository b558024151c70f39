"""A field on the grid as the lines along one axis, and Strang splitting over the axes."""

from __future__ import annotations

import numpy as np


def lines_along(field: np.ndarray, axis: int) -> np.ndarray:
    """A copy of `[*cells]` as `[n, lines]`, n the number of cells along the axis."""
    moved = np.moveaxis(field, axis, 0)
    return np.array(moved.reshape(moved.shape[0], -1), order="C")


def field_of(lines: np.ndarray, axis: int, cells: tuple[int, ...]) -> np.ndarray:
    """The field `[*cells]` of which `lines` are the lines along the axis."""
    others = cells[:axis] + cells[axis + 1 :]
    return np.ascontiguousarray(np.moveaxis(lines.reshape(cells[axis], *others), 0, axis))


def jumps(psi: np.ndarray, periodic: bool) -> np.ndarray:
    """Differences over the faces of lines `[n, lines]`, n − 1 of them; on a periodic axis one more, from the
    last cell to the first."""
    return np.diff(psi, axis=0, append=psi[:1]) if periodic else np.diff(psi, axis=0)


def leaving(right: np.ndarray, left: np.ndarray, periodic: bool) -> np.ndarray:
    """What leaves each cell `[n, lines]` by rates (i → i+1, i+1 → i) on its faces."""
    if periodic:
        return right + np.roll(left, 1, axis=0)
    out = np.zeros((right.shape[0] + 1, right.shape[1]))
    out[:-1] += right
    out[1:] += left
    return out


def strang(dimension: int) -> list[tuple[int, float]]:
    """The symmetric order of (axis, share of τ): half steps up to the last axis, and back [Strang1968]."""
    halves = [(axis, 0.5) for axis in range(dimension - 1)]
    return [*halves, (dimension - 1, 1.0), *halves[::-1]]


def one_by_one(dimension: int) -> list[tuple[int, float]]:
    """Full steps along each axis in turn: each of them lowers the energy, so that their product does."""
    return [(axis, 1.0) for axis in range(dimension)]


def substeps(needed: float, most: int) -> int:
    """The least whole number that is no less than what is needed, between 1 and `most`.

    Up to 1e-9 of it: a whole number keeps its value in other units, whose factors round.
    """
    return int(np.clip(np.ceil(needed * (1.0 - 1e-9)), 1, most))
