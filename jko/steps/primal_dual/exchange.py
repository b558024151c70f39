"""What changes the mass of a cell during a slice: flows through the faces across an axis, and sources."""

from __future__ import annotations

import math

import numpy as np

from jko.loops.elliptic.dynamic_step import face_pass, source_pass
from jko.steps.grid.source import largest_source, source_cost, source_rate
from jko.steps.primal_dual.tolerances import TOLERANCES


class Faces:
    """The faces across an axis of cells `shape` of three axes: a flow v takes v from the lower cell and
    gives it to the upper one, r − Dv, at a cost of v²/M(θ), θ = S r the mean of both, M = θ − `crowding` θ².

    Where the axis `turns` one more face leads from the last cell to the first. No mass passes between
    `blocked` cells and others. `length` is the spacing h, `modes` the eigenvalues of DDᵀ under the
    transforms of the grid, with SᵀS = 1 − DDᵀ/4 by mirrored walls.
    """

    def __init__(
        self,
        shape: tuple,
        axis: int,
        spacing: float,
        turns: bool,
        blocked: np.ndarray | None,
        crowding: float = 0.0,
    ):
        self.axis, self.turns, self.length, self.cells = axis, turns, spacing, shape
        self.crowding = crowding
        n = shape[axis]
        self.shape = tuple((n if turns else n - 1) if a == axis else m for a, m in enumerate(shape))
        self._outer = math.prod(shape[:axis])
        self._lower = tuple(
            slice(None, None if turns else -1) if a == axis else slice(None) for a in range(3)
        )
        self._upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        self.closed = np.zeros(self.shape, bool)
        if blocked is not None:
            lower, upper = self.sides(blocked)
            self.closed = np.ascontiguousarray(lower | upper)

    def zeros(self) -> np.ndarray:
        """A flow that moves nothing."""
        return np.zeros(self.shape)

    def drop(self, potential: np.ndarray) -> np.ndarray:
        """Dᵀp: what a potential falls by through the faces, 0 where they are closed."""
        lower, upper = self.sides(potential)
        return np.where(self.closed, 0.0, lower - upper)

    def mean(self, cells: np.ndarray) -> np.ndarray:
        """S of a field of cells."""
        lower, upper = self.sides(cells)
        return 0.5 * (lower + upper)

    def mobility(self, theta: np.ndarray) -> np.ndarray:
        """M(θ)."""
        return theta - self.crowding * theta**2 if self.crowding > 0.0 else theta

    def cost(self, flow: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """v²/M(θ), ∞ for a flow through a face without mass."""
        theta, square = self.mobility(theta), flow**2
        with np.errstate(over="ignore"):
            return np.divide(square, theta, out=np.where(square > 0.0, np.inf, 0.0), where=theta > 0.0)

    def rate(self, drop: np.ndarray, action: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """g²M′(θ)/4α, which the least α v²/M(θ) − g v falls by with θ."""
        paid = drop**2 / (4.0 * action)
        return paid * (1.0 - 2.0 * self.crowding * theta) if self.crowding > 0.0 else paid

    def largest(self, theta: np.ndarray, drop: float, action: np.ndarray) -> np.ndarray:
        """The flow of a drop."""
        return self.mobility(theta) * (drop / (2.0 * action))

    def spread(self, faces: np.ndarray, out: np.ndarray):
        """out += Sᵀ of a field of faces."""
        self._give(0.5 * faces, 0.5 * faces, out)

    def move(self, flow: np.ndarray, r: np.ndarray):
        """r −= Dv."""
        self._give(-flow, flow, r)

    def beside(self, faces: np.ndarray) -> np.ndarray:
        """The cells beside chosen faces."""
        cells = np.zeros(self.cells)
        self._give(faces, faces, cells)
        return cells > 0.0

    def within(self, box: list) -> tuple:
        """The index of the faces between cells of a box, which holds the whole of an axis that turns."""
        if self.turns:
            return tuple(box)
        return tuple(slice(b.start, b.stop - 1) if a == self.axis else b for a, b in enumerate(box))

    def sides(self, cells: np.ndarray):
        """A field of cells at the lower and the upper side of the faces."""
        if self.turns:
            return cells, np.roll(cells, -1, self.axis)
        return cells[self._lower], cells[self._upper]

    def _give(self, lower: np.ndarray, upper: np.ndarray, out: np.ndarray):
        out[self._lower] += lower
        if self.turns:
            out += np.roll(upper, 1, self.axis)
        else:
            out[self._upper] += upper

    @property
    def modes(self) -> np.ndarray:
        """Eigenvalues of DDᵀ, `[.., n, ..]` with one cell along the other axes."""
        n = self.cells[self.axis]
        turn = np.fft.fftfreq(n) * 2.0 if self.turns else np.arange(n) / n
        return 4.0 * np.sin(0.5 * np.pi * turn).reshape([-1 if a == self.axis else 1 for a in range(3)]) ** 2

    def walls(self, cells: np.ndarray) -> np.ndarray:
        """The cells at the walls, which are their own mirror images, `[outer, 2 or 0, inner]`."""
        lines = cells.reshape(self._outer, self.cells[self.axis], -1)
        return np.ascontiguousarray(lines[:, [] if self.turns else [0, -1], :])

    def _lined(self, field: np.ndarray) -> np.ndarray:
        """A field of cells or faces as lines `[outer, ..]` along the axis."""
        return field.reshape(self._outer, -1)

    def proximal(self, before, after, potential, copy, action, weights, relaxation, out, sums):
        """The prox of the cost at the relaxed projection, in place of `copy`; what it gives to the next
        projection into `out` (the divergence and the means)."""
        lined = self._lined
        face_pass(
            (lined(before), lined(after), lined(potential)),
            (lined(copy.flow), lined(copy.flow_dual), lined(copy.theta), lined(copy.theta_dual)),
            copy.wall, lined(self.closed), lined(action), math.prod(self.cells[self.axis + 1 :]),
            (*weights, relaxation), self.crowding, TOLERANCES.block, lined(out[0]), lined(out[1]), sums,
        )  # fmt: skip

    def gather(self, copy, out):
        """What a copy gives to the next projection."""
        divergence, means = out
        self.move(copy.flow_dual - copy.flow, divergence)
        self.spread(copy.theta - copy.theta_dual, means)
        lines = means.reshape(self._outer, self.cells[self.axis], -1)
        for side in range(copy.wall.shape[1]):
            lines[:, -side] += 0.5 * copy.wall[:, side]

    @property
    def mean_modes(self) -> np.ndarray:
        """Eigenvalues of SᵀS."""
        return 1.0 - 0.25 * self.modes


class Source:
    """Mass w made in each cell, lost where w < 0, at Fisher's and Rao's cost of it (jko.steps.grid.source),
    near w²/η, η the cell's own density: a face to the outside, whose potential is 0, of a `length` δ beside
    the faces' h. None in `blocked` cells.
    """

    def __init__(self, shape: tuple, length: float, blocked: np.ndarray | None):
        self.shape, self.length, self.crowding = shape, length, 0.0
        self.closed = np.zeros(shape, bool) if blocked is None else np.ascontiguousarray(blocked)
        self.modes = self.mean_modes = np.ones((1, 1, 1))

    def zeros(self) -> np.ndarray:
        """A source that makes nothing."""
        return np.zeros(self.shape)

    def drop(self, potential: np.ndarray) -> np.ndarray:
        """−p: what the potential falls by on the way in."""
        return np.where(self.closed, 0.0, -potential)

    def mean(self, cells: np.ndarray) -> np.ndarray:
        """The density itself."""
        return cells.copy()

    def cost(self, flow: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """8η − 4√(4η² − w²)."""
        return source_cost(flow, theta)

    def rate(self, drop: np.ndarray, action: float, theta: np.ndarray) -> np.ndarray:
        """Its conjugate."""
        return source_rate(drop, action)

    def largest(self, theta: np.ndarray, drop: float, action: float) -> np.ndarray:
        """The source of a potential."""
        return largest_source(theta, drop, action)

    def spread(self, sources: np.ndarray, out: np.ndarray):
        """out += the field."""
        out += sources

    def move(self, flow: np.ndarray, r: np.ndarray):
        """r += w."""
        r += flow

    def beside(self, chosen: np.ndarray) -> np.ndarray:
        """The cells themselves."""
        return chosen

    def walls(self, cells: np.ndarray) -> np.ndarray:
        """None."""
        return np.zeros((0, 0, 0))

    def proximal(self, before, after, potential, copy, action, weights, relaxation, out, sums):
        """The prox of the cost at the relaxed projection, as that of `Faces`."""
        arrays = (before, after, potential, copy.flow, copy.flow_dual, copy.theta, copy.theta_dual)
        flat = (x.ravel() for x in (*arrays, self.closed))
        source_pass(*flat, action, weights, relaxation, out[0].ravel(), out[1].ravel(), sums)

    def gather(self, copy, out):
        """What a copy gives to the next projection."""
        divergence, means = out
        divergence -= copy.flow - copy.flow_dual
        means += copy.theta - copy.theta_dual
