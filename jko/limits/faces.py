"""The faces between the cells of a grid, all axes together: fluxes, the equation of a pressure."""

from __future__ import annotations

import numpy as np

from jko.limits.lines import Lines
from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.crowd_faces import compressed, gathered
from jko.loops.elliptic.factors import factored
from jko.measures import Grid


class Faces:
    """Faces between cells of the inside: `low` and `high`, the flat indices of the two cells of each, axis by
    axis, `before` and `after` the faces next to it on its line, −1 at a wall. A line that closes has one more
    face, from its last cell to its first. Fields are those of the inside
    alone, `[size]`; `of` and `field` go to them and back."""

    def __init__(self, grid: Grid, batches: list[list[Lines]]):
        self.grid, self._held = grid, np.flatnonzero(grid.inside)
        self.size = self._held.size
        self.doors = grid.doors.reshape(-1)[self._held]
        place = np.full(grid.size, -1)
        place[self._held] = np.arange(self.size)
        self._lines = [(place[lines.index], lines.closes) for axis in batches for lines in axis]
        none = np.zeros(0, dtype=place.dtype)
        sides, number = [(none, none, none, none)], 0
        for line, closes in self._lines:
            low, high = (line, np.roll(line, -1, axis=0)) if closes else (line[:-1], line[1:])
            faces = number + np.arange(low.size).reshape(low.shape)
            before, after = np.roll(faces, 1, axis=0), np.roll(faces, -1, axis=0)
            if not closes:
                before[:1], after[-1:] = -1, -1
            sides.append((low.ravel(), high.ravel(), before.ravel(), after.ravel()))
            number += faces.size
        self.low, self.high, self.before, self.after = map(np.concatenate, zip(*sides, strict=True))
        each = [lines.conductance for axis in batches for lines in axis]
        counts = [low.size for low, *_ in sides[1:]]
        self.inverse_square = np.repeat(np.array(each, dtype=float), counts)

    def near(self, held: np.ndarray, margin: int) -> Part:
        """The cells that are `held` `[size]` and those within some faces of them, with the faces between."""
        reached = held.copy()
        for _ in range(margin):
            low, high = reached[self.low], reached[self.high]
            reached[self.high[low]] = True
            reached[self.low[high]] = True
        return Part(self, np.flatnonzero(reached))

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

    def by_lines(self, kernel, rising: float, *fields) -> np.ndarray:
        """kernel(lines of each field, ξ, out) for all lines, `out` `[n − 1, lines]`, on all faces, for a ξ of
        the slope `rising`; a line that closes is gone along beyond its ends."""
        found = [np.zeros(0)]
        for line, closes in self._lines:
            index = np.concatenate([line[-1:], line, line[:2]]) if closes else line
            xi = np.broadcast_to(rising * np.arange(float(len(index)))[:, None], index.shape)
            out = np.empty((len(index) - 1, index.shape[1]))
            kernel(*(field.ravel()[index] for field in fields), np.ascontiguousarray(xi), out)
            found.append((out[1:-1] if closes else out).ravel())
        return np.concatenate(found)

    def difference(self, field: np.ndarray) -> np.ndarray:
        """Higher less lower cell of a flat field."""
        return field[self.high] - field[self.low]

    def gather(self, flux: np.ndarray) -> np.ndarray:
        """What each cell gains where `flux` goes from the higher to the lower cell."""
        return gathered(self.low, self.high, flux, self.size, -1.0)

    def leaving(self, rate: np.ndarray) -> np.ndarray:
        """What leaves each cell where faces carry |rate|, from the higher cell where it is > 0."""
        n = self.size
        down, up = np.maximum(rate, 0.0), np.maximum(-rate, 0.0)
        return np.bincount(self.high, down, n) + np.bincount(self.low, up, n)

    def around(self, weight: np.ndarray) -> np.ndarray:
        """The sum of the faces' weights round each cell."""
        return gathered(self.low, self.high, weight, self.size, 1.0)

    def solve(
        self, weight: np.ndarray, diagonal: np.ndarray, right: np.ndarray, unknown: np.ndarray
    ) -> np.ndarray:
        """u with diagonal·u − gather(weight·difference(u)) = right in the cells `unknown`, 0 in the others.

        A sparse symmetric M-matrix, factored directly.
        """
        from scipy.sparse import csc_array

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
        # column by column: the factors of a plane's equation have no wide panels, and panels cost a third
        how = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "panel_size": 1, "relax": 1}
        factors = factored(matrix, options={"SymmetricMode": True}, **how)
        u[held] = scale * factors.solve(scale * right[held])
        return u


class Part(Faces):
    """Some `cells` of the inside, numbered anew, with the `faces` of the whole between them.

    `rim` are its cells beside others, whose faces are left out: what comes there asks for a larger part.
    """

    def __init__(self, whole: Faces, cells: np.ndarray):
        self.grid, self.cells, self.size = whole.grid, cells, cells.size
        self.doors, place = whole.doors[cells], np.full(whole.size, -1)
        place[cells] = np.arange(cells.size)
        low, high = place[whole.low], place[whole.high]
        kept = (low >= 0) & (high >= 0)
        self.faces = np.flatnonzero(kept)
        self.low, self.high = low[kept], high[kept]
        number = np.append(np.full(whole.low.size, -1), -1)  # of the last, which −1 asks for, at a wall
        number[self.faces] = np.arange(self.faces.size)
        self.before, self.after = number[whole.before[kept]], number[whole.after[kept]]
        self.inverse_square = whole.inverse_square[kept]
        self.rim = np.zeros(cells.size, bool)
        self.rim[low[(low >= 0) & ~kept]] = True
        self.rim[high[(high >= 0) & ~kept]] = True
