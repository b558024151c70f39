"""Dynamic optimal transport: the least kinetic energy between two densities."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from jko.errors import fraction, one_of, positive_number, whole_number
from jko.measures import Density, Gaussian, Grid
from jko.transport.distances.common_kind import alike, common_grid
from jko.transport.distances.gaussian import bures_wasserstein
from jko.transport.dynamic.saddle import Saddle, centred, pairing, project_in_double
from jko.transport.dynamic.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class DynamicTransport:
    """A minimiser of ∫₀¹∫ρ|v|² dx dt, on a grid staggered in time.

    `value` is W₂²; `times` `[k+1]` and `density` `[k+1, *cells]` the densities then; `velocity` `[k,
    *cells, d]` at cell centres half-way between the times, which the dual problem extends into vacuum;
    `kinetic_energy` `[k]` then, constant along a geodesic. `continuity_residual` is ∫₀¹∫|∂tρ + div m| of
    the density and momentum over the mass, `mismatch` how far the density is from the one that minimises
    cell by cell, in L1 over the mass: what has not converged. `iterations` from the finest grid to the
    coarsest.
    """

    value: float
    grid: Grid
    times: np.ndarray = field(repr=False)
    density: np.ndarray = field(repr=False)
    velocity: np.ndarray = field(repr=False)
    kinetic_energy: np.ndarray = field(repr=False)
    continuity_residual: float
    mismatch: float
    iterations: tuple

    def at(self, t: float) -> Density:
        """The Density at t in [0, 1], linear between the times; what is below 0 is cut off."""
        place = fraction("t", t) * (len(self.times) - 1)
        k = min(int(place), len(self.times) - 2)
        values = np.maximum(self.density[k] + (place - k) * (self.density[k + 1] - self.density[k]), 0.0)
        return Density(self.grid, values * (self.density[0].sum() / values.sum()))


def benamou_brenier(
    mu: Density,
    nu: Density,
    n_times: int = 32,
    tolerance: float = 1e-5,
    max_iterations: int = 5000,
    method: str = "saddle",
) -> DynamicTransport:
    """W₂² = min ∫₀¹∫ρ|v|² dx dt under ∂tρ + div(ρv) = 0, ρ₀ = mu, ρ₁ = nu [BenamouBrenier2000].

    A convex saddle point in density and momentum on a staggered grid of the box, no flux through its
    walls, in one or two dimensions, n_times steps in time: `Saddle`, from coarse grids to fine, in
    single precision but for the last projection. mu and nu are densities on one grid, or one of them a
    Gaussian; two Gaussians are put on a grid of seven standard deviations, 1000 or 160² cells.
    `tolerance` bounds what ten iterations still change, a tenth of it in the value, ten times it in the
    density; discretisation errs beside it.

    Raises ValueError for measures of different mass, dimension or grid, for clouds, and off one and two
    dimensions; RuntimeError where `max_iterations` on one grid do not suffice.
    """
    mu, nu = alike(mu, nu)
    steps = whole_number("n_times", n_times, least=2)
    tolerance = positive_number("tolerance", tolerance)
    most = whole_number("max_iterations", max_iterations, least=10)
    if isinstance(mu, Gaussian) and mu.dimension <= 2:
        grid = common_grid(mu, nu)
        mu, nu = mu.on(grid), nu.on(grid)
    if not isinstance(mu, Density) or mu.dimension > 2:
        raise ValueError(
            f"mu, nu: expected densities on a grid of 1 or 2 dimensions, got {type(mu).__name__} in "
            f"{mu.dimension}; use mu.on(grid), Density.kernel_estimate, or interpolate"
        )
    if one_of("method", method, ("saddle", "cvxpy")) == "cvxpy":
        return _by_cones(mu, nu, steps)
    length = bures_wasserstein(mu.mean(), mu.covariance(), nu.mean(), nu.covariance())
    length = TOLERANCES.unit_of_length * max(length, max(mu.grid.spacing))
    peak = max(mu.values.max(), nu.values.max())
    saddle, iterations = None, []
    for cells, times in reversed(_levels(mu.grid.cells, steps)):
        finer = _saddle(mu, nu, cells, times, length, peak)
        if saddle is not None:
            finer.start_from(saddle)
        saddle = finer
        if not saddle.solve(tolerance, most):
            raise RuntimeError(
                f"the dynamic problem did not converge in {most} iterations on {times} x {cells} cells: the "
                f"value moves by {saddle.change:.1e} in ten of them, the density is off by "
                f"{saddle.mismatch:.1e}; raise max_iterations or tolerance"
            )
        iterations.append(saddle.iterations)
    return _answer(mu, saddle, length, peak, tuple(reversed(iterations)))


def _by_cones(mu: Density, nu: Density, steps: int):
    from jko.transport.dynamic.conic import conic_fields

    density, velocity, energies, residual, iterations = conic_fields(mu, nu, steps)
    times = np.linspace(0.0, 1.0, steps + 1)
    value = float(energies.mean())
    return DynamicTransport(value, mu.grid, times, density, velocity, energies, residual, 0.0, (iterations,))


def _levels(cells: tuple, steps: int):
    levels = [(cells, steps)]
    while max(levels[-1][0]) > 2 * TOLERANCES.coarsest:
        cells, steps = levels[-1]
        levels.append(
            (tuple(n if n < TOLERANCES.coarsest else math.ceil(n / 2) for n in cells), max(steps // 2, 1))
        )
    return [(c, max(k, min(TOLERANCES.fewest_times, levels[0][1]))) for c, k in levels]


def _saddle(mu: Density, nu: Density, cells: tuple, times: int, length: float, peak: float):
    from jko.loops.grids.resample import average

    extent = [n * h for n, h in zip(mu.grid.cells, mu.grid.spacing, strict=True)]
    lengths = [e / (n * length) for e, n in zip(extent, cells, strict=True)] + [1.0]
    ends = [average(m.values, cells) / peak for m in (mu, nu)]
    ends[1] *= ends[0].sum() / ends[1].sum()
    plane = cells if len(cells) == 2 else (*cells, 1)
    return Saddle(*(end.reshape(plane) for end in ends), times, lengths[:2])


def _answer(mu: Density, saddle: Saddle, length: float, peak: float, iterations: tuple):
    grid, d = mu.grid, mu.dimension
    u, left = project_in_double(saddle.u, saddle)
    means, y = centred(u), [x.astype(float) for x in saddle.y]
    steps = saddle.shape[0]
    weight = 2.0 * peak * grid.cell_volume * length**2
    by_time = np.sum(sum(a * b for a, b in zip(means, y, strict=True)), axis=(1, 2))
    return DynamicTransport(
        value=float(weight * pairing(means, y) / steps),
        grid=grid,
        times=np.linspace(0.0, 1.0, steps + 1),
        density=peak * u[0].reshape(steps + 1, *grid.cells),
        velocity=length * np.stack(y[1 : 1 + d], axis=-1).reshape(steps, *grid.cells, d),
        kinetic_energy=weight * by_time,
        continuity_residual=float(np.abs(left).sum() / (steps * u[0][0].sum())),
        mismatch=saddle.mismatch,
        iterations=iterations,
    )
