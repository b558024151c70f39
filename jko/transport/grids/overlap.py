"""Two densities brought over one another, so that the box of their transport is as small as can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.measures import Density, Grid
from jko.transport.grids.tolerances import TOLERANCES


@dataclass(frozen=True)
class Overlap:
    """Densities `first`, `second` `[*cells]` of mass 1 on one box of cells, the second moved back by
    `shift`.

    `origin` is the centre of the box's cell 0 in the first's coordinates. For the cost |x − y|²/2 and y
    = y′ + s, potentials of the pair in the box and of the given pair differ by the linear functions −s·x
    and s·y′, and W₂² by 2s·(m₁ − m₀) − |s|²: translations cost nothing. Along `periodic`
    axes the box is the torus, and nothing is shifted.
    """

    spacing: tuple[float, ...]
    first: np.ndarray
    second: np.ndarray
    origin: np.ndarray
    shift: np.ndarray
    surplus: float
    periodic: tuple[bool, ...] = ()

    @classmethod
    def of(cls, mu: Density, nu: Density) -> Overlap:
        """The overlap of two densities whose grids have one spacing."""
        spacing, periodic = mu.grid.spacing, _turning(mu, nu)
        if not np.allclose(nu.grid.spacing, spacing, rtol=TOLERANCES.alike, atol=0.0):
            raise ValueError(
                f"mu, nu: expected grids of one spacing, got {spacing} and {nu.grid.spacing}; put both on "
                'one grid, or take method="exact"'
            )
        ends = [
            [
                (0, n) if turns else held
                for held, n, turns in zip(support(np.asarray(m.values)), m.grid.cells, periodic, strict=True)
            ]
            for m in (mu, nu)
        ]
        middles = [(m.mean() - m.grid.lower) / spacing - 0.5 for m in (mu, nu)]
        places = [
            (n, 0, 0) if turns else _place(axis, (mu.values, nu.values), ends, [m[axis] for m in middles])
            for axis, (n, turns) in enumerate(zip(mu.grid.cells, periodic, strict=True))
        ]
        cells = tuple(n for n, _, _ in places)
        boxed = []
        for which, m in enumerate((mu, nu)):
            box = np.zeros(cells)
            inside = tuple(slice(a, b) for a, b in ends[which])
            at = tuple(
                slice(p[1 + which], p[1 + which] + b - a)
                for p, (a, b) in zip(places, ends[which], strict=True)
            )
            box[at] = np.asarray(m.values)[inside]
            boxed.append(box / (box.sum() * m.grid.cell_volume))
        first, second = (
            np.array(
                [m.grid.lower[a] + (e[a][0] - p[1 + which] + 0.5) * spacing[a] for a, p in enumerate(places)]
            )
            for which, (m, e) in enumerate(zip((mu, nu), ends, strict=True))
        )
        shift = second - first
        surplus = float(2.0 * shift @ (nu.mean() - mu.mean()) - shift @ shift)
        return cls(spacing, *boxed, first, shift, surplus, periodic)

    def cells_of(self, grid: Grid, shift: float | np.ndarray = 0.0):
        """The first cell of the box in the numbering of a grid whose points are moved back by `shift`."""
        corner = np.asarray(grid.lower) + 0.5 * np.asarray(grid.spacing) - shift
        return np.rint((self.origin - corner) / self.spacing).astype(int)


def _turning(mu: Density, nu: Density) -> tuple[bool, ...]:
    """The axes that close on themselves; raises ValueError where the two tori differ."""
    if mu.grid.is_periodic and mu.grid != nu.grid:
        raise ValueError(
            f"mu, nu: expected densities on one grid of a torus, got {mu.grid!r} and {nu.grid!r}; make the "
            "second anew on the first's grid"
        )
    return mu.grid.periodic


def support(values: np.ndarray):
    """The cells (first, last + 1) that hold mass, along each axis."""
    held = values > TOLERANCES.empty * values.max()
    ends = []
    for axis in range(values.ndim):
        where = np.flatnonzero(held.any(axis=tuple(a for a in range(values.ndim) if a != axis)))
        ends.append((int(where[0]), int(where[-1]) + 1))
    return ends


def _place(axis: int, values: tuple, ends: list, middles: list):
    """Cells of the box along an axis, and where in it the first and the second begin."""
    spans = [e[axis] for e in ends]
    widths = [b - a for a, b in spans]
    if widths[0] == widths[1] and all(fills(v, axis, e) for v, e in zip(values, ends, strict=True)):
        return widths[0], 0, 0
    before = [m - a for m, (a, _) in zip(middles, spans, strict=True)]
    lag = round(before[0] - before[1])
    starts = max(-lag, 0), max(lag, 0)
    width = max(s + w for s, w in zip(starts, widths, strict=True))
    margin = int(np.ceil(TOLERANCES.margin * width)) + 2
    cells = width + 2 * margin
    cells += -cells % (16 if cells > 64 else 4)  # halves, and small factors, on the coarser grids
    return cells, starts[0] + margin, starts[1] + margin


def fills(values: np.ndarray, axis: int, ends: list):
    """Whether the outermost layers of a support along an axis hold mass all over: walls that a map
    keeps, where both measures have them."""
    box = np.asarray(values)[tuple(slice(a, b) for a, b in ends)]
    return bool(np.all(box.take([0, -1], axis) > TOLERANCES.empty * box.max()))


def walls_kept(mu, nu):
    """For each axis, whether both densities fill the same two walls of the box, which the map then
    keeps; no axis that closes on itself has any."""
    ends = [support(m.values) for m in (mu, nu)]
    whole = [(0, n) for n in mu.grid.cells]
    return [
        not mu.grid.periodic[axis]
        and ends[0][axis] == ends[1][axis] == whole[axis]
        and all(fills(m.values, axis, e) for m, e in zip((mu, nu), ends, strict=True))
        for axis in range(mu.dimension)
    ]
