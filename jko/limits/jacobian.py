"""The Jacobian of an implicit step on all cells together: its pattern once, then its entries alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from jko.limits.edges import Edges


class Jacobian:
    """I + ∂/∂ρ of what leaves cells through `edges` by the fluxes f(ρ_low, ρ_high, ξ_high − ξ_low).

    ∂ξ/∂ρ has a diagonal and, where F holds ∇ρ, entries between the two cells of each of the `faces`, which
    are None where it does not. Compressed by columns, as sparse elimination takes it.
    """

    def __init__(self, edges: Edges, faces: Edges | None):
        number, ends = np.arange(edges.low.size), (edges.low, edges.high)
        # by each term of ∂f/∂ρ: its edge, the sign of its cell's ξ in the jump, the column and, in `beside`,
        # the face whose entry of ∂ξ/∂ρ it takes
        through, columns = [number, number], [*ends]
        self.signs = self.beside = None
        if faces is not None:
            terms = [_seen(faces, end, sign) for end, sign in zip(ends, (-1.0, 1.0), strict=True)]
            self.through, self.beside, self.signs, others = map(np.concatenate, zip(*terms, strict=True))
            through, columns = [*through, self.through], [*columns, others]
        edge, column = np.concatenate(through), np.concatenate(columns)
        cells = np.arange(edges.size)
        rows = np.concatenate([edges.high[edge], edges.low[edge], cells])
        place, self._where = np.unique(
            np.concatenate([column, column, cells]) * edges.size + rows, return_inverse=True
        )
        self.column, self.indices = np.divmod(place, edges.size)
        self.pointers = np.searchsorted(self.column, np.arange(edges.size + 1))
        self._by_rows = np.argsort(self.indices, kind="stable")
        self._row = np.searchsorted(self.indices[self._by_rows], cells)
        self.size, self._one = edges.size, np.ones(edges.size)

    def entries(self, of_low: np.ndarray, of_high: np.ndarray, of_jump: np.ndarray, beside: np.ndarray):
        """The entries, from ∂f/∂ρ of the two cells with what their own ∂ξ/∂ρ adds, from ∂f/∂(ξ_high − ξ_low)
        and the entries of ∂ξ/∂ρ between the cells of the faces."""
        terms = [of_low, of_high]
        if self.beside is not None:
            terms.append(self.signs * of_jump[self.through] * beside[self.beside])
        total = np.concatenate(terms)
        return np.bincount(self._where, np.concatenate([total, -total, self._one]), self.indices.size)

    def largest(self, entries: np.ndarray) -> np.ndarray:
        """The largest of each row, without signs."""
        return np.maximum.reduceat(np.abs(entries)[self._by_rows], self._row)

    def matrix(self, entries: np.ndarray) -> Any:
        """The sparse matrix of some entries."""
        from scipy.sparse import csc_array

        return csc_array((entries, self.indices, self.pointers), shape=(self.size, self.size))


def _seen(faces: Edges, end: np.ndarray, sign: float):
    """(edge, face, sign, other cell) for each face of the cell at one end of each edge."""
    cell = np.concatenate([faces.low, faces.high])
    other = np.concatenate([faces.high, faces.low])
    order = np.argsort(cell, kind="stable")
    first = np.searchsorted(cell[order], np.arange(faces.size + 1))
    count = first[end + 1] - first[end]
    edge = np.repeat(np.arange(end.size), count)
    at = order[np.arange(edge.size) - np.repeat(np.cumsum(count) - count - first[end], count)]
    return edge, at % faces.low.size, np.full(edge.size, sign), other[at]
