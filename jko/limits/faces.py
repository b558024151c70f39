"""The faces between the cells of a box or a room, all axes together: fluxes, the equation of a pressure."""

from __future__ import annotations

import numpy as np

from jko.limits.lines import Lines
from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.crowd_faces import compressed
from jko.measures import Grid


class Faces:
    """Faces between cells of the inside: `low` and `high`, the flat indices of the two cells of each, axis by
    axis, `before` and `after` the faces next to it on its line, −1 at a wall. Fields are those of the inside
    alone, `[size]`; `of` and `field` go to them and back."""

    def __init__(self, grid: Grid, batches: list[list[Lines]]):
        self.grid, self._held = grid, np.flatnonzero(grid.inside)
        self.size = self._held.size
        self.doors = grid.doors.reshape(-1)[self._held]
        place = np.full(grid.size, -1)
        place[self._held] = np.arange(self.size)
        self._lines = [place[lines.index] for axis in batches for lines in axis]
        none = np.zeros(0, dtype=place.dtype)
        beside, number = [(none, none)], 0
        for line in self._lines:
            faces = number + np.arange(line[1:].size).reshape(line[1:].shape)
            wall = np.full((1, line.shape[1]), -1)
            beside.append(
                (np.concatenate([wall, faces[:-1]]).ravel(), np.concatenate([faces[1:], wall]).ravel())
            )
            number += faces.size
        self.before, self.after = (np.concatenate(side) for side in zip(*beside, strict=True))
        self.low = np.concatenate([none, *(line[:-1].ravel() for line in self._lines)])
        self.high = np.concatenate([none, *(line[1:].ravel() for line in self._lines)])
        weights = [np.full(lines.index[1:].size, lines.conductance) for axis in batches for lines in axis]
        self.inverse_square = np.concatenate([np.zeros(0), *weights])

    def of(self, field: np.ndarray) -> np.ndarray:
        """The values inside `[size]` of a field `[*cells]`."""
        return field.reshape(-1)[self._held]

    def field(self, flat: np.ndarray) -> np.ndarray:
        """The field `[*cells]`, 0 in walls, of values inside `[size]`."""
        out = np.zeros(self.grid.size)
        out[self._held] = flat
        return out.reshape(self.grid.cells)

    @property
    def longest(self) -> int:
        """Cells along all axes together: as many rounds carry a change through the box."""
        return sum(self.grid.cells)

    def by_lines(self, kernel, *fields) -> np.ndarray:
        """kernel(lines of each field, out) for all lines, `out` `[n − 1, lines]`, on all faces."""
        found = [np.zeros(0)]
        for index in self._lines:
            out = np.empty((index.shape[0] - 1, index.shape[1]))
            kernel(*(field.ravel()[index] for field in fields), out)
            found.append(out.ravel())
        return np.concatenate(found)

    def difference(self, field: np.ndarray) -> np.ndarray:
        """Higher less lower cell of a flat field."""
        return field[self.high] - field[self.low]

    def gather(self, flux: np.ndarray) -> np.ndarray:
        """What each cell gains where `flux` goes from the higher to the lower cell."""
        n = self.size
        return np.bincount(self.low, flux, n) - np.bincount(self.high, flux, n)

    def leaving(self, rate: np.ndarray) -> np.ndarray:
        """What leaves each cell where faces carry |rate|, from the higher cell where it is > 0."""
        n = self.size
        down, up = np.maximum(rate, 0.0), np.maximum(-rate, 0.0)
        return np.bincount(self.high, down, n) + np.bincount(self.low, up, n)

    def around(self, weight: np.ndarray) -> np.ndarray:
        """The sum of the faces' weights round each cell."""
        n = self.size
        return np.bincount(self.low, weight, n) + np.bincount(self.high, weight, n)

    def solve(
        self, weight: np.ndarray, diagonal: np.ndarray, right: np.ndarray, unknown: np.ndarray
    ) -> np.ndarray:
        """u with diagonal·u − gather(weight·difference(u)) = right in the cells `unknown`, 0 in the others.

        A sparse symmetric M-matrix, factored directly.
        """
        from scipy.sparse import csc_array
        from scipy.sparse.linalg import splu

        held = np.flatnonzero(unknown)
        u = np.zeros(self.size)
        if held.size == 0:
            return u
        place = np.full(self.size, -1)
        place[held] = np.arange(held.size)
        total = (diagonal + self.around(weight))[held] * (1.0 + TOLERANCES.grid_touch)
        scale = np.where(total > TOLERANCES.nothing, total, 1.0) ** -0.5
        pointers = np.zeros(held.size + 1, dtype=np.int32)
        rows = np.empty(held.size + 2 * self.low.size, dtype=np.int32)
        values = np.empty(rows.size)
        filled = compressed(self.low, self.high, weight, place, scale, held.size, pointers, rows, values)
        matrix = csc_array((values[:filled], rows[:filled], pointers), shape=(held.size, held.size))
        symmetric = {"SymmetricMode": True}
        factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=symmetric)
        u[held] = scale * factors.solve(scale * right[held])
        return u
