"""The grids of a ladder: the box of the finest cut into half as many cells, and half again."""

from __future__ import annotations

import math

from jko.loops.resample import average

_FEW = 8  # cells along an axis that are not halved


class Levels:
    """`sizes` from the finest down, the coarsest of no more than 1.5 `coarsest` cells along an axis."""

    def __init__(self, grid, coarsest):
        self.extent = tuple(n * h for n, h in zip(grid.cells, grid.spacing, strict=True))
        self.sizes = [grid.cells]
        while max(self.sizes[-1]) > 1.5 * coarsest:
            self.sizes.append(tuple(n if n <= _FEW else math.ceil(n / 2) for n in self.sizes[-1]))

    def coarsened(self, field):
        """The means of a field on all levels."""
        fields = [field]
        for size in self.sizes[1:]:
            fields.append(average(fields[-1], size))
        return fields

    def spacing(self, size):
        """Of a grid of so many cells."""
        return tuple(e / n for e, n in zip(self.extent, size, strict=True))
