"""What optimal maps have in common: they are gradients of convex functions, and that is checked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jko.measures import Density, Gaussian, Grid, Measure, Particles
from jko.transport.distances.atoms import optimal_plan
from jko.transport.distances.common_kind import as_densities, check_pair, checked_points, merged, torus_of
from jko.transport.distances.gaussian import optimal_matrix
from jko.transport.distances.line import matched_segments, quantile_function, turned_quantiles
from jko.transport.tolerances import TOLERANCES


class OptimalMap:
    """T = ∇u with u convex [Brenier1991]: `T(x)` `[n, d]` and `T.potential(x)` `[n]` at points `[n, d]`.

    `T.convexity_defect` is what was measured when it was made: how far, relative to the size of u, the
    support inequality u(x') ≥ u(x) + T(x)·(x' - x) fails at worst over the data; 0 for an exactly convex u.
    """

    dimension: int
    convexity_defect: float = 0.0

    def __call__(self, x) -> np.ndarray:
        """T(x) `[n, d]` at points `[n, d]`."""
        raise NotImplementedError

    def potential(self, x) -> np.ndarray:
        """u(x) `[n]` at points `[n, d]`, up to a constant."""
        raise NotImplementedError

    def _points(self, x: np.ndarray):
        return checked_points(x, self.dimension)


def support_defect(x, images, u):
    """max over i, k of u(x_i) + T(x_i)·(x_k - x_i) - u(x_k), relative to the range of the products x·y.

    Rounding is that of the sizes of x, T(x) and u: give them from the middles of both clouds.
    """
    some = np.linspace(0, len(x) - 1, min(len(x), int(TOLERANCES.checked_pairs**0.5))).astype(int)
    support = u[some] - np.sum(images[some] * x[some], axis=1)
    worst = np.max(x @ images[some].T + support - u[:, None])
    size = float(np.ptp(x, axis=0) @ np.ptp(images, axis=0))
    return max(float(worst), 0.0) / size if size > 0.0 else 0.0


def require_convex(defect, allowed):
    """Raises RuntimeError where a map is further from a convex function's gradient than `allowed`."""
    if not defect <= allowed:
        raise RuntimeError(
            f"mu, nu: the map found is not the gradient of a convex function, it fails by {defect:.1e} of "
            "its range; it did not converge: subsample the clouds, or take a finer grid"
        )


def brenier_map(mu: Measure, nu: Measure) -> OptimalMap:
    """The optimal map from mu to nu for the cost |x - y|², as the gradient of a convex potential.

    - Two Gaussians: the affine map, in any dimension (`AffineMap`).
    - A Density or Gaussian on the line, to anything: the monotone rearrangement Q1∘F0 (`MonotoneMap`).
    - Two clouds: the barycentres of what the exact plan sends from each point; a map that pushes mu to nu
      where the plan splits no mass (`.splits` False), the conditional mean of the plan elsewhere
      (`BarycentricMap`). Equal points of a cloud count as one of their weights' sum.

    - Two densities in the plane or in space, on grids of one spacing, or one of them Gaussian: the
      gradient of |x|²/2 - ψ with ψ from back-and-forth (`GridMap`).
    - A Density or Gaussian in the plane to a cloud: constant on the power cells of `semi_discrete`
      (`PowerMap`).

    - A Density on a periodic line, to anything on it: the quantile functions, one turned (`CircleMap`). Two
      densities on one grid of a torus: the lift to space of the map between nearest images (`GridMap`), of
      positive ones by Newton's method on ν(T)·det DT = μ, else by back-and-forth.

    Raises ValueError for measures of different mass or dimension, for a cloud to anything but a cloud, whose
    points would have to be torn, and for a density in space to a cloud; RuntimeError where the map found is
    not the gradient of a convex function.
    """
    check_pair(mu, nu, free=False)
    torus = torus_of(mu, nu)
    if torus is not None and mu.dimension == 1 and isinstance(mu, Density):
        return _around(mu, nu, torus)
    check_pair(mu, nu, tori=isinstance(mu, Density) and isinstance(nu, Density))
    if isinstance(mu, Gaussian) and isinstance(nu, Gaussian):
        return AffineMap(mu.mean(), nu.mean(), optimal_matrix(mu.covariance(), nu.covariance()))
    if mu.dimension == 1 and not isinstance(mu, Particles):
        return _monotone(mu, nu)
    if isinstance(mu, Particles) and not isinstance(nu, Particles):
        raise ValueError(
            f"mu, nu: no map leads from points to a {type(nu).__name__}, each would have to be torn; take "
            "semi_discrete(nu, mu) and its barycentres, or sample nu"
        )
    if isinstance(mu, Particles):
        return _barycentric(mu, nu)
    if isinstance(nu, Particles) and mu.dimension == 2:
        from jko.transport.semi_discrete_transport.map import power_map

        return power_map(mu, nu)
    if isinstance(nu, Particles):
        raise ValueError(
            f"mu, nu: a map from a {type(mu).__name__} to points is found in 1 and 2 dimensions, got "
            f"{mu.dimension}; sample mu"
        )
    from jko.transport.grids.map import grid_map

    return grid_map(*as_densities(mu, nu, "back-and-forth"))


@dataclass(frozen=True, eq=False)
class AffineMap(OptimalMap):
    """T(x) = m1 + A (x - m0), A symmetric positive definite; u(x) = (x - m0)ᵀA(x - m0)/2 + m1·(x - m0)."""

    source_mean: np.ndarray
    target_mean: np.ndarray
    matrix: np.ndarray

    @property
    def dimension(self) -> int:
        """The dimension d of the points."""
        return len(self.matrix)

    def __call__(self, x):
        return self.target_mean + (self._points(x) - self.source_mean) @ self.matrix

    def potential(self, x):
        x = self._points(x)
        centred = x - self.source_mean
        return 0.5 * np.sum(centred @ self.matrix * centred, axis=1) + centred @ self.target_mean


@dataclass(frozen=True, eq=False)
class MonotoneMap(OptimalMap):
    """A nondecreasing map of the line, linear between knots `[k]` with images `[k]` and of slope 1 beyond
    them.

    Two knots at one place are a jump, where the map takes its upper value.
    """

    knots: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)
    dimension: int = field(default=1, init=False)

    def __call__(self, x):
        x = self._points(x)[:, 0]
        return (np.interp(x, self.knots, self.images) + self._beyond(x))[:, None]

    def potential(self, x):
        x = self._points(x)[:, 0]
        steps = 0.5 * (self.images[1:] + self.images[:-1]) * np.diff(self.knots)
        at_knots = np.concatenate([[0.0], np.cumsum(steps)])
        k = np.clip(np.searchsorted(self.knots, x, side="right") - 1, 0, self.knots.size - 1)
        image = np.interp(x, self.knots, self.images)
        beyond = self._beyond(x)
        return (
            at_knots[k] + 0.5 * (image + self.images[k]) * (x - self.knots[k]) + 0.5 * beyond * np.abs(beyond)
        )

    def _beyond(self, x):
        return x - np.clip(x, self.knots[0], self.knots[-1])


@dataclass(frozen=True, eq=False)
class CircleMap(MonotoneMap):
    """A nondecreasing map of a circle, lifted to the line: T(x + L) = T(x) + L, L the `period`; T(x) − x
    is how far a point goes and which way round.

    The knots span one period, the last being the first a turn on. The lift's u is convex on all of the line
    [CorderoErausquin1999].
    """

    period: float = 1.0

    def __call__(self, x):
        turns, base = self._reduced(self._points(x))
        return super().__call__(base) + self.period * turns

    def potential(self, x):
        turns, base = self._reduced(self._points(x))
        whole = super().potential(self.knots[-1:])[0]
        k, away = turns[:, 0], base[:, 0] - self.knots[0]
        return (
            super().potential(base) + k * whole + self.period * (k * away + 0.5 * self.period * k * (k - 1.0))
        )

    def _reduced(self, x):
        turns = np.floor((x - self.knots[0]) / self.period)
        return turns, x - self.period * turns


def _around(mu, nu, torus: Grid):
    """The map of a circle from a density to what lies on it; linear where the density leaves a gap."""
    period = torus.upper[0] - torus.lower[0]
    nu = nu.normalized() if isinstance(nu, Density) else nu
    _, a0, b0, a1, b1 = matched_segments(*turned_quantiles(mu.normalized(), nu, torus.lower[0], period))
    knots, images = (np.maximum.accumulate(np.stack(ends, axis=1).ravel()) for ends in ((a0, b0), (a1, b1)))
    return CircleMap(
        np.append(knots, knots[0] + period), np.append(images, images[0] + period), period=period
    )


def _monotone(mu, nu):
    _, a0, b0, a1, b1 = matched_segments(quantile_function(mu), quantile_function(nu))
    knots = np.maximum.accumulate(np.stack([a0, b0], axis=1).ravel())
    images = np.stack([a1, b1], axis=1).ravel()
    # cumulative sums of masses leave segments whose ends are out of order by rounding, and by no more
    back, span = float(np.max(images[:-1] - images[1:])), float(np.ptp(images))
    defect = max(back, 0.0) / span if span > 0.0 else 0.0
    require_convex(defect, TOLERANCES.map_rounding)
    monotone = MonotoneMap(knots, np.maximum.accumulate(images))
    object.__setattr__(monotone, "convexity_defect", defect)
    return monotone


@dataclass(frozen=True, eq=False)
class BarycentricMap(OptimalMap):
    """T(x_i) = Σ_j P_ij y_j / Σ_j P_ij at the points x `[n, d]` of a cloud: `images` `[n, d]`.

    u(x) = max_j (x - a)·(y_j - b) - c_j + b·(x - a) is convex, a and b the `middles` of the clouds and c
    from the dual of the plan, and every T(x_i) is a subgradient of it. Off the cloud T is its gradient, the
    y_j where the maximum is.
    """

    points: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)
    heights: np.ndarray = field(repr=False)
    middles: tuple[np.ndarray, np.ndarray] = field(repr=False)
    splits: bool
    convexity_defect: float

    @property
    def dimension(self) -> int:
        """The dimension d of the points."""
        return self.points.shape[1]

    def __call__(self, x):
        from scipy.spatial import cKDTree

        x = self._points(x)
        distance, nearest = cKDTree(self.points).query(x)
        off = self.targets[
            _highest_plane(x - self.middles[0], self.targets - self.middles[1], self.heights)[0]
        ]
        return np.where((distance == 0.0)[:, None], self.images[nearest], off)

    def potential(self, x):
        away = self._points(x) - self.middles[0]
        height = _highest_plane(away, self.targets - self.middles[1], self.heights)[1]
        return height + away @ self.middles[1]


def _highest_plane(x, slopes, heights):
    """Which of the planes x·slopes_j - heights_j is highest at each point `[n, d]`, and how high."""
    number, height = np.empty(len(x), dtype=int), np.empty(len(x))
    block = max(1, TOLERANCES.planes_at_once // len(slopes))
    for first in range(0, len(x), block):
        part = slice(first, first + block)
        planes = x[part] @ slopes.T - heights
        number[part], height[part] = planes.argmax(axis=1), planes.max(axis=1)
    return number, height


def _barycentric(mu, nu):
    (mu, number), (nu, _) = merged(mu), merged(nu)
    x, y = (np.asarray(m.positions, dtype=float) for m in (mu, nu))
    plan = optimal_plan(mu, nu)
    sent = np.bincount(plan.rows, weights=plan.weights, minlength=len(x))[:, None]
    images = np.stack(
        [np.bincount(plan.rows, weights=plan.weights * c, minlength=len(x)) for c in y[plan.columns].T],
        axis=1,
    )
    images /= sent
    splits = bool(np.bincount(plan.rows, minlength=len(x)).max() > 1)
    # |x − y|² = |x′ − y′|² + 2s·(x′ − y′) + |s|² with x′ = x − a, y′ = y − b and s = a − b
    a, b = x.mean(axis=0), y.mean(axis=0)
    away, slopes = x - a, y - b
    heights = 0.5 * np.sum(slopes**2, axis=1) - slopes @ (a - b) - 0.5 * plan.potential
    defect = support_defect(away, images - b, _highest_plane(away, slopes, heights)[1])
    require_convex(defect, TOLERANCES.map_rounding)
    return BarycentricMap(x[number], images[number], y, heights, (a, b), splits, defect)
