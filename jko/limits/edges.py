"""The pairs of cells between which mass passes, with the weight of each: walls, tori and a matrix metric."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.limits.tolerances import TOLERANCES
from jko.loops.grids.selling import decompose
from jko.measures import Grid


@dataclass(frozen=True)
class Reach:
    """How far edges look along the axis that they take up most of: `edge` in cells, `share` of the grid.

    edge² = Σλeⱼ⁴/Σλeⱼ² over the offsets e of a cell with weights λ, the largest of all cells: a mode as long
    as the axis loses (2π share)²/12 of its rate. With `cells` along the axes the share would be `long_edge`.
    """

    axis: int
    edge: float
    share: float
    cells: tuple[int, ...]

    @property
    def details(self) -> dict[str, float]:
        """What a step records."""
        return {"edge": self.edge, "edge_share": self.share}

    @property
    def note(self) -> str:
        """What a long reach costs and what helps, in a sentence; else empty."""
        return f"the metric asks for {self._told}" if self.is_beyond(TOLERANCES.long_edge) else ""

    def is_beyond(self, share: float) -> bool:
        """Whether edges that are longer than cells take up more than this share."""
        return self.edge > 1.0 + TOLERANCES.edge_rounding and self.share > share

    def require(self) -> None:
        """Refuse edges with which a grid says nothing about the flow, by ValueError."""
        if self.is_beyond(TOLERANCES.longest_edge):
            most = TOLERANCES.longest_edge
            raise ValueError(f"metric: expected edges of at most {most:g} of the grid, got {self._told}")

    @property
    def _told(self) -> str:
        lost = f"{min(self._lost(self.share), 1.0):.0%}"
        cells = " x ".join(map(str, self.cells))
        return (
            f"edges of {self.edge:.3g} cells along axis {self.axis}, {self.share:.2g} of the grid, where the "
            f"longest modes lose about {lost} of their rates: with {cells} cells they lose "
            f"{self._lost(TOLERANCES.long_edge):.0%}; with axes along those of the metric none is long"
        )

    @staticmethod
    def _lost(share: float) -> float:
        return (2.0 * math.pi * share) ** 2 / 12.0


@dataclass(frozen=True)
class Edges:
    """Pairs of cells `low` and `high` of the inside, `[edges]`, numbered there from 0 to `size`, and the
    `weight` of each: ∇·(M∇ξ) is what cells gain from the fluxes weight·M·(ξ_high − ξ_low)."""

    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray
    size: int
    reach: Reach | None = None  # of a metric

    def difference(self, field: np.ndarray) -> np.ndarray:
        """Higher less lower cell of a field `[size]`."""
        return field[self.high] - field[self.low]

    def gather(self, flux: np.ndarray) -> np.ndarray:
        """What cells gain where `flux` goes from the lower to the higher cell."""
        return np.bincount(self.high, flux, self.size) - np.bincount(self.low, flux, self.size)

    def around(self, weight: np.ndarray) -> np.ndarray:
        """The sum of a weight of the edges round each cell."""
        return np.bincount(self.high, weight, self.size) + np.bincount(self.low, weight, self.size)


def edges_of(grid: Grid, metric: np.ndarray | None = None) -> Edges:
    """The faces of a grid, weights 1/h²; with matrices A `[cells inside, d, d]`, the edges that carry A.

    Σ weight·(ξ_high − ξ_low)² over the edges at a cell is ∇ξ·A∇ξ to order 2 in h. A diagonal A weighs the
    faces. Another one in the plane is a sum of λ e⊗e over offsets e of cells with λ ≥ 0, that of h⁻¹Ah⁻¹ by
    Selling's algorithm, so that no edge carries against ∇ξ [BonnansZidani2003]. Half of λ goes to the edge
    towards e and half to the one from −e; edges that cross walls are left out, which is no flux through
    them, for an oblique e to order 1. Raises ValueError where edges take up too much of the grid.
    """
    inside = np.flatnonzero(grid.inside)
    coordinates = np.stack(np.unravel_index(inside, grid.cells), axis=-1)
    offsets, weights = _decomposed(grid, metric, inside.size)
    reach = None if metric is None else _reach(grid, offsets, weights)
    if reach is not None:
        reach.require()
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
    return Edges(number[:, 0], number[:, 1], weight, inside.size, reach)


def _reach(grid: Grid, offsets: np.ndarray, weights: np.ndarray) -> Reach:
    """The reach of offsets `[cells, r, d]` with weights `[cells, r]`."""
    squares = offsets.astype(float) ** 2
    carried = [np.einsum("nr,nrd->nd", weights, power) for power in (squares, squares**2)]
    edges = np.sqrt((carried[1] / carried[0]).max(axis=0))
    shares = edges / grid.cells
    axis = int(shares.argmax())
    factor = shares[axis] / TOLERANCES.long_edge
    cells = tuple(math.ceil(n * factor) for n in grid.cells)
    return Reach(axis, float(edges[axis]), float(shares[axis]), cells)


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
