"""The faces between the cells of a box, all axes together: fluxes, and the equation of a pressure."""

from __future__ import annotations

import numpy as np

from jko.limits.lines import lines_along
from jko.limits.tolerances import TOLERANCES


class Faces:
    """Faces of the box `cells`: `low` and `high`, the flat indices of the two cells of each, axis by axis."""

    def __init__(self, cells: tuple[int, ...], spacing: tuple[float, ...]):
        self.cells, self.size = cells, int(np.prod(cells))
        index = np.arange(self.size).reshape(cells)
        lines = [lines_along(index, axis) for axis in range(len(cells))]
        self.low = np.concatenate([line[:-1].ravel() for line in lines])
        self.high = np.concatenate([line[1:].ravel() for line in lines])
        self.inverse_square = np.concatenate(
            [np.full(line[1:].size, h**-2.0) for line, h in zip(lines, spacing, strict=True)]
        )

    def by_lines(self, kernel, *fields) -> np.ndarray:
        """kernel(lines of each field, out) for every axis, `out` `[n − 1, lines]`, on all faces."""
        found = []
        for axis, n in enumerate(self.cells):
            out = np.empty((n - 1, self.size // n))
            kernel(*(lines_along(field.reshape(self.cells), axis) for field in fields), out)
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
        from scipy.sparse import csc_matrix
        from scipy.sparse.linalg import splu

        held = np.flatnonzero(unknown)
        u = np.zeros(self.size)
        if held.size == 0:
            return u
        place = np.full(self.size, -1)
        place[held] = np.arange(held.size)
        total = (diagonal + self.around(weight))[held] * (1.0 + TOLERANCES.grid_touch)
        scale = np.where(total > TOLERANCES.nothing, total, 1.0) ** -0.5
        low, high = place[self.low], place[self.high]
        inside = (low >= 0) & (high >= 0)
        low, high = low[inside], high[inside]
        off = -weight[inside] * scale[low] * scale[high]
        rows = np.concatenate([np.arange(held.size), low, high])
        columns = np.concatenate([np.arange(held.size), high, low])
        matrix = csc_matrix((np.concatenate([np.ones(held.size), off, off]), (rows, columns)))
        symmetric = {"SymmetricMode": True}
        factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=symmetric)
        u[held] = scale * factors.solve(scale * right[held])
        return u
