"""The optimal map between two densities on a grid, and what moves along it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from jko.transport.grid_transport import grid_transport
from jko.transport.optimal_map import OptimalMap, require_convex, support_defect
from jko.transport.overlap import fills, support
from jko.transport.pairs import alike, as_densities

_CHECKED = 2000  # cells, of those that hold more than a thousandth of the largest value
_HELD = 1e-3
_FOLDED = 1e-2  # of its range, by which u may fail to be convex: splines of it, and cells at jumps
_RIM = 3


@dataclass(frozen=True, eq=False)
class GridMap(OptimalMap):
    """T = ∇u, u = |x|²/2 − ψ with ψ the Kantorovich potential of a density on a grid: for points in its
    box.

    ψ is the quadratic spline with these `coefficients` `[*cells + 2]`: T interpolates slopes between
    cells linearly along each axis. `least_eigenvalue` `[*cells]` of D²u at the cells, whose least where
    there is mass is in `least_stretch`; `pushforward_error` is W₂(T_#mu, nu) to first order, for
    measures of mass 1.
    """

    grid: object
    coefficients: np.ndarray
    least_eigenvalue: np.ndarray
    least_stretch: float
    pushforward_error: float
    convexity_defect: float = field(default=0.0)

    @property
    def dimension(self) -> int:
        return self.grid.dimension

    def __call__(self, x):
        x = self._inside(x)
        return x - np.stack([self._spline(x, axis) for axis in range(self.dimension)], axis=1)

    def potential(self, x):
        x = self._inside(x)
        return 0.5 * np.sum(x**2, axis=1) - self._spline(x, None)

    def _inside(self, x):
        x = self._points(x)
        slack = 1e-9 * np.asarray(self.grid.spacing)
        out = np.any((x < self.grid.lower - slack) | (x > self.grid.upper + slack), axis=1)
        if out.any():
            raise ValueError(f"x: expected points in the box of mu's grid, got {int(out.sum())} outside")
        return x

    def _spline(self, x, derivative):
        """The spline of ψ, or its derivative along an axis."""
        place = (x - self.grid.lower) / self.grid.spacing - 0.5
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

    Raises ValueError where the spacings differ, RuntimeError where u is far from convex.
    """
    from jko.kernels.displacement import jacobian
    from jko.transport.back_and_forth import mismatch

    transport = grid_transport(mu, nu, fine=True)
    psi = transport.extended((1,) * mu.dimension)[0]
    kept = walls_kept(mu, nu)
    inside = tuple(slice(1, -1) if k else slice(None) for k in kept)
    coefficients = np.pad(psi[inside], [(int(k), int(k)) for k in kept], mode="edge")
    stretch = jacobian(-_hessian(coefficients, mu.grid.spacing))[1]
    held = mu.values > _HELD * mu.values.max()
    found = GridMap(
        mu.grid,
        coefficients,
        stretch,
        float(stretch[held].min()),
        mismatch(transport.overlap, transport.inner),
    )
    cells = np.flatnonzero(held.ravel())
    x = mu.grid.points[cells[np.linspace(0, cells.size - 1, min(cells.size, _CHECKED)).astype(int)]]
    defect = support_defect(x, found(x), found.potential(x))
    require_convex(defect, _FOLDED)
    object.__setattr__(found, "convexity_defect", defect)
    return found


def displaced(mu, nu, t):
    """((1 − t) id + tT)_# mu `[*cells]` on the grid that both share, from whichever end is nearer.

    The inverse of x ↦ x − t∇ψ(x) is z ↦ z − t∇φ_t(z), φ_t(z) = min |x − z|²/2t − ψ(x): a change of
    variables, smooth where pieces of cells would leave noise, and divided by what it errs in mass.
    """
    from jko.kernels.push import pull_back

    values, potential, time, rim = _from_nearer_end(mu, nu, t)
    moved, _ = pull_back(np.pad(values, [(r, r) for r in rim]), potential, time, mu.grid.spacing)
    moved = _within(moved, rim)
    return mu.with_values(moved * (mu.values.sum() / moved.sum()))


def geodesic_velocity(mu, nu, t):
    """The velocity ∇φ_t `[*cells, d]` at time t in (0, 1) of the geodesic between two densities on one
    grid, that of `interpolate`, in two and three dimensions: T(x) − x at (1 − t)x + tT(x).

    In vacuum it is the velocity of the nearest mass. Raises ValueError for t outside (0, 1) and for
    measures that differ in dimension, mass or grid.
    """
    mu, nu = as_densities(*alike(mu, nu), "back-and-forth")
    if mu.dimension == 1 or not 0.0 < t < 1.0:
        raise ValueError(
            f"t: expected a number between 0 and 1, got {t}, and densities in 2 or 3 dimensions, got "
            f"{mu.dimension}"
        )
    _, potential, _, rim = _from_nearer_end(mu, nu, t)
    slopes = [np.gradient(potential, h, axis=axis) for axis, h in enumerate(mu.grid.spacing)]
    return (1.0 if t <= 0.5 else -1.0) * np.stack([_within(s, rim) for s in slopes], axis=-1)


def _from_nearer_end(mu, nu, t):
    """The density at the nearer end, φ_t on a wider grid, the time from that end, and the rim."""
    from jko.kernels.c_transform import c_transform

    rim = tuple(0 if kept else _RIM for kept in walls_kept(mu, nu))
    psi, phi = grid_transport(mu, nu, fine=True).extended(rim)
    values, potential, time = (mu.values, psi, t) if t <= 0.5 else (nu.values, phi, 1.0 - t)
    return values, c_transform(potential, mu.grid.spacing, time), time, rim


def _within(field, rim):
    return field[tuple(slice(r, n - r) for r, n in zip(rim, field.shape, strict=True))]


def walls_kept(mu, nu):
    """For each axis, whether both densities fill the same two walls of the box, which the map then
    keeps."""
    ends = [support(m.values) for m in (mu, nu)]
    whole = [(0, n) for n in mu.grid.cells]
    return [
        ends[0][axis] == ends[1][axis] == whole[axis]
        and all(fills(m.values, axis, e) for m, e in zip((mu, nu), ends, strict=True))
        for axis in range(mu.dimension)
    ]


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
