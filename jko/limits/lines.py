"""A field on the grid as the lines along one axis between walls, and Strang splitting over the axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jko.measures import Grid


@dataclass(frozen=True)
class Lines:
    """Lines of a grid along one axis, of one length, between walls or, `closes`, round a torus.

    `index` `[n, lines]` are the flat indices of their cells. A box has one such batch an axis; in a room each
    stretch of cells between walls is a line, and those of one length are a batch, so that what solves on
    lines knows no walls but the ends. Cells between walls on both sides are in no batch of that axis.
    `doors` `[n, lines]` tells which cells take mass and give none back, None where no line has one.

    `conductance` is what a face lets through, 1/h², or of a line with edges of its own `[n − 1, 1]` its area
    over the distance of the centroids; what solves on such lines knows the mass in cells of the `volumes`
    `[n, 1]`, which are None, for 1, where all cells are equal. `box` are the cells of a grid all of whose
    lines these are: its axes in another order, which is read and written faster than by indices.
    """

    axis: int
    closes: bool
    index: np.ndarray
    conductance: float | np.ndarray
    doors: np.ndarray | None = None
    volumes: np.ndarray | None = None
    box: tuple[int, ...] | None = None

    def of(self, field: np.ndarray) -> np.ndarray:
        """The lines `[n, lines]` of a field `[*cells]`, a copy."""
        if self.box is not None:
            return np.array(self._turned(field), order="C").reshape(self.index.shape)
        return field.reshape(-1)[self.index]

    def put(self, lines: np.ndarray, field: np.ndarray) -> None:
        """Write lines into a contiguous field `[*cells]`."""
        if self.box is not None:
            turned = self._turned(field)
            turned[...] = lines.reshape(turned.shape)
        else:
            field.reshape(-1)[self.index] = lines

    def _turned(self, field: np.ndarray) -> np.ndarray:
        """A view of a field of the box, the axis of the lines first."""
        whole = field.reshape(self.box or field.shape)
        return whole.transpose(self.axis, *(a for a in range(whole.ndim) if a != self.axis))

    def a_cell(self, right: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rates (i → i+1, i+1 → i) of the mass in cells, from those of the density."""
        if self.volumes is None:
            return right, left
        return right / self.volumes[:-1], left / self.volumes[1:]

    @property
    def beside_doors(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Whether the lower and whether the higher cell of each face is a door, faces as `jumps` has them."""
        if self.doors is None:
            return None
        after = np.roll(self.doors, -1, axis=0) if self.closes else self.doors[1:]
        return (self.doors if self.closes else self.doors[:-1]), after


def lines_of(grid: Any) -> list[list[Lines]]:
    """The batches of lines of each axis."""
    if not grid.is_uniform:
        between = grid.face_areas[1:-1] / np.diff(grid.axes[0])
        cells = np.arange(grid.size)[:, None]
        return [[Lines(0, False, cells, between[:, None], volumes=grid.cell_volume[:, None])]]
    number = np.arange(grid.size).reshape(grid.cells)
    batches = [_along(grid, number, axis) for axis in range(grid.dimension)]
    if grid.exits is None:
        return batches
    return [[_with_doors(lines, grid.doors) for lines in axis] for axis in batches]


def _with_doors(lines: Lines, doors: np.ndarray) -> Lines:
    there = lines.of(doors)
    return replace(lines, doors=there) if there.any() else lines


def _along(grid: Grid, number: np.ndarray, axis: int) -> list[Lines]:
    turns, conductance = grid.periodic[axis], grid.spacing[axis] ** -2.0
    index, inside = lines_along(number, axis), lines_along(grid.inside, axis)
    whole = inside.all(axis=0)
    batches = []
    if whole.any():
        box = grid.cells if whole.all() else None
        batches.append(Lines(axis, turns, np.ascontiguousarray(index[:, whole]), conductance, box=box))
    index, inside = index[:, ~whole], inside[:, ~whole]
    if turns and inside.size:
        # begun at a wall, a line round the torus is one between walls
        n = len(index)
        around = (np.argmin(inside, axis=0) + np.arange(n)[:, None]) % n
        index, inside = (np.take_along_axis(x, around, axis=0) for x in (index, inside))
    # a stretch begins where its cell is inside and the one before is not, and so it ends
    edged = np.pad(inside.T, ((0, 0), (1, 1))).astype(np.int8)
    line, begin = np.nonzero(np.diff(edged, axis=1) == 1)
    end = np.nonzero(np.diff(edged, axis=1) == -1)[1]
    for length in np.unique(end - begin):
        if length > 1:
            these = end - begin == length
            cells = begin[these] + np.arange(length)[:, None]
            batches.append(Lines(axis, False, np.ascontiguousarray(index[cells, line[these]]), conductance))
    return batches


def lines_along(field: np.ndarray, axis: int) -> np.ndarray:
    """A copy of `[*cells]` as `[n, lines]`, n the number of cells along the axis."""
    moved = np.moveaxis(field, axis, 0)
    return np.array(moved.reshape(moved.shape[0], -1), order="C")


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
