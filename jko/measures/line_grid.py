"""Cells between edges of one's own: on a line, or spherical shells between radii."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike

from functionals import pointwise
from functionals.programs import kept
from functionals.time_dependence import is_traced
from jko.errors import finite_array, whole_number
from jko.measures.tolerances import TOLERANCES

if TYPE_CHECKING:
    from jko.measures.line_density import LineDensity


@dataclass(frozen=True)
class LineGrid:
    """Cells [r_i, r_{i+1}] between increasing edges; make it with `Grid.from_edges` or `Grid.radial`.

    Of a `radial` grid in R^d, d = `dimension`, the edges are radii r ≥ 0 and the cells spherical shells:
    `face_areas` a_i = ω r_i^{d−1} and `cell_volume` |c_i| = ω (r_{i+1}^d − r_i^d)/d, ω the area of the unit
    sphere, 2 for d = 1. Of a line a_i = 1 and |c_i| are the widths. `points` are the cells' centroids, r e₁
    in a radial grid. No mass flows through the first and the last edge.
    """

    faces: tuple[float, ...]
    dimension: int = 1
    radial: bool = False

    @classmethod
    def of(cls, edges: ArrayLike, dimension: int = 1, radial: bool = False) -> LineGrid:
        """The grid of edges `[n + 1]`; raises ValueError where they do not increase, are fewer than 3, or are
        negative radii."""
        radii, name = finite_array("edges", edges), "radii of at least 0" if radial else "numbers"
        if radii.ndim != 1 or radii.size < 3:
            raise ValueError(
                f"edges: expected 3 or more {name}, the edges of two cells, got shape {radii.shape}: add some"
            )
        if not np.all(np.diff(radii) > TOLERANCES.apart * np.maximum(np.abs(radii[1:]), np.abs(radii[:-1]))):
            raise ValueError(f"edges: expected increasing {name}, got {radii.tolist()!s:.60}: sort them")
        if radial and radii[0] < 0.0:
            raise ValueError(f"edges: expected radii of at least 0, got {radii[0]:g}: begin at 0")
        return cls(tuple(radii.tolist()), whole_number("dimension", dimension), radial)

    # what every grid answers: one axis, walls at both ends
    periodic = (False,)
    is_periodic = is_room = is_uniform = False
    room = exits = None

    @property
    def is_radial(self) -> bool:
        """Whether the cells are shells."""
        return self.radial

    @property
    def cells(self) -> tuple[int, ...]:
        """The number of cells along the one axis."""
        return (self.size,)

    @property
    def size(self) -> int:
        """The number of cells."""
        return len(self.faces) - 1

    @property
    def lower(self) -> tuple[float, ...]:
        """The first edge."""
        return self.faces[:1]

    @property
    def upper(self) -> tuple[float, ...]:
        """The last edge."""
        return self.faces[-1:]

    @cached_property
    def edges(self) -> list[np.ndarray]:
        """The edges `[n + 1]` of the one axis."""
        return [np.array(self.faces)]

    @property
    def spacing(self) -> tuple[float, ...]:
        """The mean width: a length to compare others with, no cell's own."""
        return ((self.faces[-1] - self.faces[0]) / self.size,)

    @cached_property
    def inside(self) -> np.ndarray:
        """All cells."""
        return np.ones(self.cells, dtype=bool)

    @cached_property
    def doors(self) -> np.ndarray:
        """No cells."""
        return np.zeros(self.cells, dtype=bool)

    def require_box(self, name: str, instead: str) -> None:
        """Nothing: there are walls at the ends alone."""

    @cached_property
    def sphere(self) -> float:
        """ω, the area of the unit sphere in R^d; 1 on a line."""
        d = self.dimension
        return 2.0 * math.pi ** (0.5 * d) / math.gamma(0.5 * d) if self.radial else 1.0

    def volume_between(self, low: np.ndarray, widths: np.ndarray) -> np.ndarray:
        """The volume of shells from the radii `low`, so wide; no digits are lost in a narrow one."""
        high, d = low + widths, self.dimension
        return self.sphere / d * widths * sum(low**k * high ** (d - 1 - k) for k in range(d))

    @cached_property
    def cell_volume(self) -> np.ndarray:
        """|c| of each cell, `[n]`."""
        edges = self.edges[0]
        return self.volume_between(edges[:-1], np.diff(edges))

    def area(self, r: np.ndarray) -> np.ndarray:
        """a(r), the area of the sphere of radius r; 1 on a line."""
        return self.sphere * np.asarray(r, dtype=float) ** (self.dimension - 1)

    @cached_property
    def face_areas(self) -> np.ndarray:
        """a at the edges, `[n + 1]`."""
        return self.area(self.edges[0])

    def volume_within(self, r: np.ndarray) -> np.ndarray:
        """The volume of the ball of radius r; on a line the distance from the first edge."""
        return (
            self.sphere / self.dimension * np.asarray(r) ** self.dimension
            if self.radial
            else (np.asarray(r) - self.faces[0])
        )

    def radius_of(self, volume: np.ndarray) -> np.ndarray:
        """The inverse of `volume_within`."""
        if not self.radial:
            return self.faces[0] + np.asarray(volume)
        return (np.asarray(volume) * self.dimension / self.sphere) ** (1.0 / self.dimension)

    @cached_property
    def axes(self) -> list[np.ndarray]:
        """The centroids `[n]` of the cells along the one axis: ∫r over the cell, by its volume."""
        low, width = self.edges[0][:-1], np.diff(self.edges[0])
        if not self.radial:
            return [low + 0.5 * width]
        above = LineGrid(self.faces, self.dimension + 1, True)  # ∫r r^{d−1} is a volume one dimension up
        return [self.sphere / above.sphere * above.volume_between(low, width) / self.cell_volume]

    @cached_property
    def points(self) -> np.ndarray:
        """The centroids as points `[n, d]`, on the first axis."""
        points = np.zeros((self.size, self.dimension))
        points[:, 0] = self.axes[0]
        return points

    def density(self, values: np.ndarray) -> LineDensity:
        """The density of these values `[n]` in the cells."""
        from jko.measures.line_density import LineDensity

        return LineDensity(self, values)

    def require_radial(self, V: Callable) -> None:
        """Refuse a jax function of a point that is none of |x| alone, where the grid is radial."""
        if self.radial and not is_traced(V) and not _is_radial(V, self):
            raise ValueError(
                f"functional: {pointwise.describe(V)} is no function of |x| alone, as a radial grid needs: "
                "write it as one, or take Grid.uniform"
            )

    def shows_radial(self, values: Callable[[np.ndarray], np.ndarray]) -> bool:
        """Whether values at points `[n, d]` are the same at the cells in some random directions."""
        directions = np.random.default_rng(20261129).normal(size=(TOLERANCES.directions, 1, self.dimension))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        along = values(self.points)
        other = values((self.axes[0][:, None] * directions).reshape(-1, self.dimension))
        size = np.max(np.abs(along[np.isfinite(along)]), initial=0.0)
        other = other.reshape(TOLERANCES.directions, -1)
        return np.allclose(other, along, rtol=0.0, atol=TOLERANCES.alike * size, equal_nan=True)

    def __repr__(self) -> str:
        edges = np.array(self.faces)
        kind = f"radial in d = {self.dimension}" if self.radial else "from_edges"
        # told from other edges of the same number, as a checkpoint must
        return (
            f"<Grid {kind}, {self.size} cells of [{edges[0]:g}, {edges[-1]:g}], {crc32(edges.tobytes()):08x}>"
        )


@kept
def _is_radial(V, grid: LineGrid) -> bool:
    return grid.shows_radial(lambda x: pointwise.values(V, x))
