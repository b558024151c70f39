"""The grids of a ladder, from fine to coarse, and a step's data on a box of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from jko.loops.grids.resample import average, halved, halvings, interpolate
from jko.measures import Grid
from jko.steps.grid.tolerances import TOLERANCES


class Levels:
    """`sizes` from the finest down, the coarsest of no more than 1.5 `coarsest` cells along an axis."""

    def __init__(self, grid: Grid, coarsest: int):
        self.extent = tuple(n * h for n, h in zip(grid.cells, grid.spacing, strict=True))
        self.sizes = halvings(grid.cells, 1.5 * coarsest, TOLERANCES.few_cells)

    def coarsened(self, field: np.ndarray):
        """The means of a field on all levels."""
        fields = [field]
        for size in self.sizes[1:]:
            fields.append(average(fields[-1], size))
        return fields

    def spacing(self, size: tuple):
        """Of a grid of so many cells."""
        return tuple(e / n for e, n in zip(self.extent, size, strict=True))


@dataclass(frozen=True)
class Region:
    """ρ_k, V and blocked cells on a box: `first` is its lower corner in cells of the whole grid. Along
    `periodic` axes, by default none, it is the whole grid and closes on itself."""

    spacing: tuple[float, ...]
    first: tuple[int, ...]
    rho: np.ndarray
    potential: np.ndarray
    blocked: np.ndarray | None = None
    periodic: tuple[bool, ...] = ()

    @property
    def cells(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return self.rho.shape

    @property
    def lower(self) -> tuple[float, ...]:
        """The lower corner as a distance from the whole grid's."""
        return tuple(f * h for f, h in zip(self.first, self.spacing, strict=True))

    @property
    def extent(self) -> tuple[float, ...]:
        """The lengths of the sides."""
        return tuple(n * h for n, h in zip(self.cells, self.spacing, strict=True))

    def box(self, low: tuple, high: tuple) -> Region:
        """The part with cells low ≤ i < high along each axis, in this region's cells."""
        cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        fields = {
            name: None if value is None else np.ascontiguousarray(value[cut])
            for name in ("rho", "potential", "blocked")
            for value in [getattr(self, name)]
        }
        return replace(self, first=tuple(f + a for f, a in zip(self.first, low, strict=True)), **fields)

    def coarse(self, cells: tuple) -> Level:
        """The means over the cells of a coarser grid of the same box."""
        if cells == self.cells:
            return Level(self.lower, self.spacing, self.rho, self.potential, self.blocked, self.periodic)
        spacing = tuple(e / n for e, n in zip(self.extent, cells, strict=True))
        rho = average(self.rho, cells)
        free = None if self.blocked is None else 1.0 - average(self.blocked, cells)
        potential = _mean_where_free(self.potential, self.blocked, free, cells)
        blocked = None if free is None else free < 0.5
        return Level(self.lower, spacing, rho, potential, blocked, self.periodic)

    def clips(self, density: np.ndarray, whole: tuple) -> bool:
        """Whether a density reaches a wall of the box that is no wall of the whole grid of cells."""
        for axis, (first, n, total) in enumerate(zip(self.first, self.cells, whole, strict=True)):
            ends = [0] * (first > 0) + [n - 1] * (first + n < total)
            if ends and density.take(ends, axis).any():
                return True
        return False

    def embed(self, values: np.ndarray, whole: tuple) -> np.ndarray:
        """The box's values on the whole grid, 0 outside."""
        if self.cells == whole:
            return values
        out = np.zeros(whole)
        out[self._within] = values
        return out

    def cut(self, values: np.ndarray) -> np.ndarray:
        """The whole grid's values in the box."""
        return values[self._within]

    @property
    def _within(self):
        return tuple(slice(f, f + n) for f, n in zip(self.first, self.cells, strict=True))

    def levels(self, coarsest: int) -> list[tuple[int, ...]]:
        """Numbers of cells from the finest grid down, as those of `Levels`."""
        return halvings(self.cells, 1.5 * coarsest, TOLERANCES.few_cells)

    def halved(self, count: int) -> list[tuple[int, ...]]:
        """So many of them, whatever is coarse."""
        sizes = [self.cells]
        while len(sizes) < count:
            sizes.append(halved(sizes[-1], TOLERANCES.few_cells))
        return sizes


@dataclass(frozen=True)
class Level:
    """A region on one of its grids."""

    lower: tuple[float, ...]
    spacing: tuple[float, ...]
    rho: np.ndarray
    potential: np.ndarray
    blocked: np.ndarray | None
    periodic: tuple[bool, ...] = ()

    def carry(self, phi: np.ndarray, to: Level) -> np.ndarray:
        """φ given here, at the cell centres of another level."""
        starts = [(b - a) / h for a, b, h in zip(self.lower, to.lower, self.spacing, strict=True)]
        ratios = [fine / h for fine, h in zip(to.spacing, self.spacing, strict=True)]
        return interpolate(phi, to.rho.shape, starts, ratios, self.periodic)


def _mean_where_free(field: np.ndarray, blocked, free, cells: tuple):
    if blocked is None:
        return average(field, cells)
    return average(np.where(blocked, 0.0, field), cells) / np.maximum(free, 1e-9)


def support_box(region: Region, level: Level, density: np.ndarray, margin: float):
    """Cells (low, high) of the region that hold what ρ_k and a coarse ρ′ occupy, and a margin; all of them
    along an axis that closes on itself."""
    low, high = [], []
    occupied = (density > 0) | (level.rho > 0)
    for axis, (n, h) in enumerate(zip(region.cells, region.spacing, strict=True)):
        if any(region.periodic) and region.periodic[axis]:
            low.append(0)
            high.append(n)
            continue
        others = tuple(a for a in range(occupied.ndim) if a != axis)
        where = np.flatnonzero(occupied.any(axis=others)) * level.spacing[axis] / h
        width = where[-1] - where[0] + level.spacing[axis] / h
        slack = margin * width + 2.0 * level.spacing[axis] / h
        a, b = math.floor(where[0] - slack), math.ceil(where[0] + width + slack)
        a, b = _round_length(max(a, 0), min(b, n), n)
        low.append(a)
        high.append(b)
    return tuple(low), tuple(high)


def _round_length(low: int, high: int, n: int):
    """A few cells more, so that halving and cosine transforms meet small factors."""
    step = 32 if high - low > 256 else 16
    length = min(-(-(high - low) // step) * step, n)
    low = max(0, min(low, n - length))
    return low, low + length
