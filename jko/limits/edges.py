"""The pairs of cells between which mass passes, with the weight of each: walls, tori and a matrix metric."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jko.loops.grids.selling import decompose
from jko.measures import Grid


@dataclass(frozen=True)
class Edges:
    """Pairs of cells `low` and `high` of the inside, `[edges]`, numbered there from 0 to `size`, and the
    `weight` of each: ∇·(M∇ξ) is what cells gain from the fluxes weight·M·(ξ_high − ξ_low)."""

    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray
    size: int

    @cached_property
    def jump(self) -> Any:
        """Higher less lower cell of a field `[size]`, sparse `[edges, size]`."""
        import scipy.sparse as sp

        number, ones = np.arange(self.low.size), np.ones(self.low.size)
        shape = (self.low.size, self.size)
        return sp.csr_array((ones, (number, self.high)), shape) - sp.csr_array(
            (ones, (number, self.low)), shape
        )


def edges_of(grid: Grid, metric: np.ndarray | None = None) -> Edges:
    """The faces of a grid, weights 1/h²; with matrices A `[cells inside, d, d]`, the edges that carry A.

    Σ weight·(ξ_high − ξ_low)² over the edges at a cell is ∇ξ·A∇ξ to order 2 in h. A diagonal A weighs the
    faces. Another one in the plane is a sum of λ e⊗e over offsets e of cells with λ ≥ 0, that of h⁻¹Ah⁻¹ by
    Selling's algorithm, so that no edge carries against ∇ξ [BonnansZidani2003]. Half of λ goes to the edge
    towards e and half to the one from −e; edges that cross walls are left out, which is no flux through
    them, for an oblique e to order 1.
    """
    inside = np.flatnonzero(grid.inside)
    coordinates = np.stack(np.unravel_index(inside, grid.cells), axis=-1)
    offsets, weights = _decomposed(grid, metric, inside.size)
    place = np.full(grid.size, -1)
    place[inside] = np.arange(inside.size)
    pairs, shares = [], []
    for k in range(weights.shape[1]):
        for sign in (1, -1):
            beside, reached = _shifted(grid, coordinates, sign * offsets[:, k])
            there = np.where(reached, place[beside], -1)
            use = np.flatnonzero((there >= 0) & (there != np.arange(inside.size)) & (weights[:, k] > 0.0))
            ends = (use, there[use]) if sign > 0 else (there[use], use)
            pairs.append(np.stack(ends, axis=1))
            shares.append(0.5 * weights[use, k])
    number, where = np.unique(np.concatenate(pairs), axis=0, return_inverse=True)
    weight = np.bincount(where.ravel(), np.concatenate(shares), len(number))
    return Edges(number[:, 0], number[:, 1], weight, inside.size)


def _decomposed(grid: Grid, metric: np.ndarray | None, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """(offsets `[cells, r, d]`, weights `[cells, r]`) of h⁻¹Ah⁻¹ in each cell."""
    d, h = grid.dimension, np.array(grid.spacing)
    axes = np.broadcast_to(np.eye(d, dtype=int), (cells, d, d))
    if metric is None:
        return axes, np.broadcast_to(h**-2.0, (cells, d))
    scaled = metric / h[:, None] / h
    diagonal = np.einsum("nii->ni", scaled)
    if np.array_equal(scaled, scaled * np.eye(d)):
        return axes, diagonal
    if d > 2:
        raise ValueError(
            "metric: expected a diagonal matrix in three dimensions, got one with cross terms: turn the "
            "axes of the grid"
        )
    return decompose(scaled)


def _shifted(grid: Grid, coordinates: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(flat indices of the cells at an offset, whether they are on the grid)."""
    shape = np.array(grid.cells)
    moved = coordinates + offset
    turned = np.where(grid.periodic, moved % shape, moved)
    reached = np.all((turned >= 0) & (turned < shape), axis=-1)
    return np.ravel_multi_index(tuple(np.where(reached[:, None], turned, 0).T), grid.cells), reached
