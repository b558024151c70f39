"""The optimal map between two densities on a grid."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from jko.measures.confined import Folding
from jko.transport.grids.overlap import walls_kept
from jko.transport.grids.tolerances import TOLERANCES
from jko.transport.grids.transport import trusted
from jko.transport.maps.brenier import OptimalMap, require_convex, support_defect


@dataclass(frozen=True, eq=False)
class GridMap(OptimalMap):
    """T = ∇u, u = |x|²/2 − ψ with ψ the Kantorovich potential of a density on a grid: for points in its
    box.

    On a torus T is lifted to space, T(x + Lₐeₐ) = T(x) + Lₐeₐ: T(x) − x is how far a point goes and which way
    round, and u is convex on all of it [CorderoErausquin1999].

    ψ is the quadratic spline with these `coefficients` `[*cells + 2]`: T interpolates slopes between
    cells linearly along each axis. `least_eigenvalue` `[*cells]` of D²u at the cells, whose least where
    there is mass is in `least_stretch`; `pushforward_error` is W₂(T_#mu, nu) to first order, for
    measures of mass 1. `method` is "newton", whose answer turns with data on a torus, or "back-and-forth",
    which depends on where cells lie, and `relative_gap` the duality gap of the potentials over W₂²: their
    map may be off by about its root times W₂ in L²(mu).
    """

    grid: object
    coefficients: np.ndarray = field(repr=False)
    least_eigenvalue: np.ndarray = field(repr=False)
    least_stretch: float
    pushforward_error: float
    method: str
    relative_gap: float
    convexity_defect: float = field(default=0.0)

    @property
    def dimension(self) -> int:
        """The dimension d of the points."""
        return self.grid.dimension

    def __call__(self, x):
        x = self._inside(x)
        return x - np.stack([self._spline(x, axis) for axis in range(self.dimension)], axis=1)

    def potential(self, x):
        x = self._inside(x)
        # up to the constant |c|²/2, c the middle of the box, beside which u would lose its digits
        middle = 0.5 * (np.array(self.grid.lower) + self.grid.upper)
        away = x - middle
        return 0.5 * np.sum(away**2, axis=1) + away @ middle - self._spline(x, None)

    def _inside(self, x):
        x = self._points(x)
        slack = 1e-9 * np.asarray(self.grid.spacing)
        turns = np.array(self.grid.periodic)
        out = np.any(((x < self.grid.lower - slack) | (x > self.grid.upper + slack)) & ~turns, axis=1)
        if out.any():
            raise ValueError(f"x: expected points in the box of mu's grid, got {int(out.sum())} outside")
        return x

    def _spline(self, x, derivative):
        """The spline of ψ, or its derivative along an axis."""
        place = Folding.into(self.grid)(x, np) if self.grid.is_periodic else x
        place = (place - self.grid.lower) / self.grid.spacing - 0.5
        nearest = np.clip(np.rint(place).astype(int), 0, np.array(self.grid.cells) - 1)
        weights = [
            _slopes(t, h) if axis == derivative else _values(t)
            for axis, (t, h) in enumerate(zip((place - nearest).T, self.grid.spacing, strict=True))
        ]
        total = np.zeros(len(x))
        for taps in itertools.product(range(3), repeat=self.dimension):
            part = self.coefficients[tuple(nearest[:, a] + tap for a, tap in enumerate(taps))]
            for axis, tap in enumerate(taps):
                part = part * weights[axis][tap]
            total += part
        return total


def _values(t):
    return 0.5 * (0.5 - t) ** 2, 0.75 - t * t, 0.5 * (0.5 + t) ** 2


def _slopes(t, h):
    return (t - 0.5) / h, -2.0 * t / h, (t + 0.5) / h


def grid_map(mu, nu) -> GridMap:
    """The map from one density to another, their grids of one spacing, with its checks.

    Raises ValueError where the spacings differ, RuntimeError where the gap stays open or u is far from
    convex.
    """
    from jko.loops.transport.displacement import jacobian
    from jko.transport.grids.back_and_forth import mismatch

    transport = trusted(mu, nu)
    psi = transport.extended((1,) * mu.dimension)[0]
    kept = walls_kept(mu, nu)
    inside = tuple(slice(1, -1) if k else slice(None) for k in kept)
    coefficients = np.pad(psi[inside], [(int(k), int(k)) for k in kept], mode="edge")
    stretch = jacobian(-_hessian(coefficients, mu.grid.spacing))[1]
    held = mu.values > TOLERANCES.checked_density * mu.values.max()
    found = GridMap(
        mu.grid,
        coefficients,
        stretch,
        float(stretch[held].min()),
        mismatch(transport.overlap, transport.inner),
        "newton" if transport.inner.smooth else "back-and-forth",
        transport.gap / transport.squared if transport.gap > 0.0 else 0.0,
    )
    cells = np.flatnonzero(held.ravel())
    x = mu.grid.points[
        cells[np.linspace(0, cells.size - 1, min(cells.size, TOLERANCES.checked_cells)).astype(int)]
    ]
    defect = support_defect(x, found(x), found.potential(x))
    require_convex(defect, TOLERANCES.folded)
    object.__setattr__(found, "convexity_defect", defect)
    return found


def _hessian(wide, spacing):
    """Rows of the upper triangle of D² at the cells, from a field with a layer more."""
    d = wide.ndim

    def at(a, up, b, right):
        steps = np.zeros(d, int)
        steps[a] += up
        steps[b] += right
        return wide[tuple(slice(1 + s, n - 1 + s) for s, n in zip(steps, wide.shape, strict=True))]

    rows = []
    for a in range(d):
        for b in range(a, d):
            if a == b:
                bend = at(a, 1, b, 0) + at(a, -1, b, 0) - 2.0 * at(a, 0, b, 0)
            else:
                bend = 0.25 * (at(a, 1, b, 1) - at(a, 1, b, -1) - at(a, -1, b, 1) + at(a, -1, b, -1))
            rows.append(bend / (spacing[a] * spacing[b]))
    return np.stack(rows)
