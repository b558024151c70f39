"""Uniform grids on a box, a torus or a room."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from jko.errors import finite_array, shown, whole_number
from jko.measures.cells import Cells, chosen
from jko.measures.line_grid import LineGrid

if TYPE_CHECKING:
    from jko.measures.density import Density

_MOST_CELLS = 2_000_000_000  # 16 GB a density, and below 2³¹, which indices hold


@dataclass(frozen=True)
class Grid:
    """A uniform grid of cells on the box [lower, upper] in R^d, d = 1, 2, 3; make it with `Grid.uniform`.

    Along an axis with `periodic` the upper end is the lower end again: a torus of that length, where
    differences of points are those to the nearest image. Along the others the box has walls.

    A `room` is the cells that mass may be in, all others being walls; None is the whole box. Its `exits` are
    cells where mass leaves.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    cells: tuple[int, ...]
    periodic: tuple[bool, ...] = ()
    room: Cells | None = None
    exits: Cells | None = None

    # what every grid answers: cells of one size, and none of them a shell
    is_uniform: ClassVar[bool] = True
    is_radial: ClassVar[bool] = False

    def __post_init__(self):
        if not self.periodic:
            object.__setattr__(self, "periodic", (False,) * len(self.cells))

    @classmethod
    def uniform(
        cls,
        lower: float | tuple,
        upper: float | tuple,
        cells: int | tuple,
        periodic: bool | tuple[bool, ...] = False,
        inside: np.ndarray | Callable | None = None,
        doors: np.ndarray | Callable | None = None,
    ) -> Grid:
        """A grid from its corners and its number of cells; numbers in one dimension, tuples in several.

        A single number among tuples is taken for every axis. periodic: whether the box closes on itself, for
        all axes or one bool an axis. inside: the cells of a room, all others being walls, as a boolean array
        `[*cells]` or a jax function of a point `[d]`, true, or positive, at the centres of its cells. doors:
        cells of the room, likewise, where mass leaves.

        Raises ValueError for an empty box, fewer than 2 cells along an axis, lengths that differ, more than
        three dimensions, a mask of another shape or of no cell, and doors in walls; TypeError for a periodic
        that is no bool and a mask that is neither.
        """
        sizes = [np.size(value) for value in (lower, upper, cells)]
        dimension = max(sizes)
        if any(size not in (1, dimension) for size in sizes) or any(
            np.ndim(v) > 1 for v in (lower, upper, cells)
        ):
            raise ValueError(f"lower, upper and cells: expected one number an axis, got lengths {sizes}")
        if not 1 <= dimension <= 3:
            raise ValueError(
                f"cells: expected a grid of 1, 2 or 3 dimensions, got {dimension}: use Particles instead"
            )
        low = np.broadcast_to(finite_array("lower", lower), (dimension,))
        high = np.broadcast_to(finite_array("upper", upper), (dimension,))
        if not np.all(high > low):
            raise ValueError(
                f"upper: expected to exceed lower along every axis, got lower={shown(lower)}, "
                f"upper={shown(upper)}"
            )
        numbers = [whole_number("cells", n, least=2) for n in np.atleast_1d(cells).tolist()]
        numbers = numbers * dimension if len(numbers) == 1 else numbers
        if math.prod(numbers) > _MOST_CELLS:
            raise ValueError(f"cells: expected {_MOST_CELLS:.0e} cells at most, got {math.prod(numbers):.1e}")
        if np.any((high - low) / numbers < 1e-12 * np.maximum(np.abs(low), np.abs(high))):
            raise ValueError(
                "cells: the cells are too small for float64 so far from 0: shift the coordinates"
            )
        turns = _flags(periodic, dimension)
        box = cls(tuple(map(float, low)), tuple(map(float, high)), tuple(numbers), turns)
        return box if inside is None and doors is None else _furnished(box, inside, doors)

    @classmethod
    def from_edges(cls, edges: ArrayLike) -> LineGrid:
        """A line of cells between increasing edges `[n + 1]` of one's own, such as np.geomspace(0.01, 10.0,
        200): `limits.FiniteVolume` and `steps.Quantile` take them. Raises ValueError where they do not
        increase."""
        return LineGrid.of(edges)

    @classmethod
    def radial(cls, edges: ArrayLike, dimension: int) -> LineGrid:
        """Spherical shells between increasing radii `[n + 1]` in R^d, d = `dimension`, for densities,
        potentials and kernels that depend on |x| alone; begin at 0, unless a ball is left out."""
        return LineGrid.of(edges, dimension, radial=True)

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.cells)

    @property
    def is_periodic(self) -> bool:
        """Whether any axis closes on itself."""
        return any(self.periodic)

    @property
    def is_room(self) -> bool:
        """Whether some cells are walls or doors."""
        return self.room is not None or self.exits is not None

    @cached_property
    def inside(self) -> np.ndarray:
        """The cells that are no walls, boolean `[*cells]`: all of them but in a room."""
        return np.ones(self.cells, dtype=bool) if self.room is None else self.room.values

    @cached_property
    def doors(self) -> np.ndarray:
        """The cells where mass leaves, boolean `[*cells]`: none but those given as `doors`."""
        return np.zeros(self.cells, dtype=bool) if self.exits is None else self.exits.values

    def distance(self, to: np.ndarray | Callable | None = None) -> np.ndarray:
        """The length of the shortest way through the inside to the cells `to`, by default the doors,
        `[*cells]`; order 1 in h. `to` is a mask or a function, as `inside` is.

        Walls, which no way reaches, get the largest value inside, so that the array may be a potential:
        fn.Potential.gridded(grid.distance(), grid.lower, grid.upper). Raises ValueError where there are
        neither doors nor `to`, for cells in walls, and where some cells have no way there.
        """
        from jko.loops.grids.eikonal import distances

        if to is None and self.exits is None:
            raise ValueError(
                f"to: expected some cells, since {self!r} has no doors: give a mask or a function"
            )
        goal = self.doors if to is None else chosen("to", to, self.points, self.cells)
        if (goal & ~self.inside).any():
            raise ValueError(
                f"to: expected cells of the room, got {int((goal & ~self.inside).sum())} in walls"
            )
        found = distances(self.inside, goal, self.spacing, self.periodic)
        lost = int(np.sum(~np.isfinite(found[self.inside])))
        if lost:
            raise ValueError(
                f"to: no way leads there from {lost} of {int(self.inside.sum())} cells of the room"
            )
        return np.where(self.inside, found, found[self.inside].max())

    def density(self, values: np.ndarray) -> Density:
        """The density of these values `[*cells]` at the centres."""
        from jko.measures.density import Density

        return Density(self, values)

    def volume_within(self, x: np.ndarray) -> np.ndarray:
        """On a line the distance from the lower end: in it a density is constant in a cell."""
        return np.asarray(x) - self.lower[0]

    def require_box(self, name: str, instead: str) -> None:
        """Raises ValueError for a periodic grid and for a room, in the name of an argument, saying what to do
        instead."""
        if self.is_periodic or self.is_room:
            raise ValueError(f"{name}: expected a density in a box, got one on {self!r}: {instead}")

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """h along each axis."""
        return tuple((u - lo) / n for lo, u, n in zip(self.lower, self.upper, self.cells, strict=True))

    @cached_property
    def cell_volume(self) -> float:
        """|c| = Πh."""
        return math.prod(self.spacing)

    @cached_property
    def size(self) -> int:
        """The number of cells."""
        return math.prod(self.cells)

    @cached_property
    def edges(self) -> list[np.ndarray]:
        """Cell edges along each axis, `[cells + 1]` each."""
        return [
            np.linspace(lo, u, n + 1) for lo, u, n in zip(self.lower, self.upper, self.cells, strict=True)
        ]

    @cached_property
    def axes(self) -> list[np.ndarray]:
        """Cell centres along each axis, `[cells]` each."""
        return [
            lo + (np.arange(n) + 0.5) * h
            for lo, n, h in zip(self.lower, self.cells, self.spacing, strict=True)
        ]

    @cached_property
    def centers(self) -> np.ndarray:
        """Cell centres, `[*cells, d]`."""
        return np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1)

    @cached_property
    def points(self) -> np.ndarray:
        """Cell centres as a list, `[size, d]`."""
        return self.centers.reshape(-1, self.dimension)

    def __repr__(self) -> str:
        turns = self.periodic[0] if len(set(self.periodic)) == 1 else self.periodic
        turns = f", periodic={turns}" if self.is_periodic else ""
        turns += "" if self.room is None else f", inside={self.room!r}"
        turns += "" if self.exits is None else f", doors={self.exits!r}"
        if self.dimension == 1:
            return f"Grid.uniform({self.lower[0]:g}, {self.upper[0]:g}, {self.cells[0]}{turns})"
        return f"Grid.uniform({self.lower}, {self.upper}, {self.cells}{turns})"


def _furnished(box: Grid, inside, doors) -> Grid:
    """The box with walls where it is not inside, and doors."""
    points, shape = box.points, box.cells
    within = np.ones(shape, bool) if inside is None else chosen("inside", inside, points, shape)
    room = None if within.all() else Cells(within)
    if doors is None:
        return replace(box, room=room)
    leaving = chosen("doors", doors, points, shape)
    if (leaving & ~within).any():
        raise ValueError(
            f"doors: expected cells of the room, got {int((leaving & ~within).sum())} in its walls: make the "
            "room larger, or the doors cells of it"
        )
    if not (within & ~leaving).any():
        raise ValueError("doors: expected a room with some cells that are no doors, got doors everywhere")
    return replace(box, room=room, exits=Cells(leaving))


def _flags(periodic: bool, dimension: int) -> tuple[bool, ...]:
    flags = np.atleast_1d(np.asarray(periodic))
    if flags.dtype != bool or flags.ndim != 1:
        raise TypeError(f"periodic: expected True, False or one of them an axis, got {shown(periodic)}")
    if flags.size not in (1, dimension):
        raise ValueError(f"periodic: expected one bool or {dimension}, one an axis, got {flags.size}")
    return tuple(np.broadcast_to(flags, (dimension,)).tolist())
