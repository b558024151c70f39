"""Distances between measures of any two kinds: W₂, with large clouds thinned, and L1 on the finer grid."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from jko.comparison.tolerances import TOLERANCES
from jko.measures import (
    CellDensity,
    ConfinedParticles,
    Density,
    Gaussian,
    Grid,
    Measure,
    Particles,
    Population,
    Species,
)
from jko.transport.grids.remap import mass_between
from jko.transport.wasserstein import wasserstein_distance

SHAPES = "shapes"  # of measures of unlike masses
PLAN = 1000  # particles of a cloud that enter an exact plan in two dimensions or more


class Measured(NamedTuple):
    """A distance; a word on how it was measured, "" where exactly; a bound on the discretisation's error."""

    value: float
    method: str = ""
    error_bound: float = 0.0
    of_shapes: bool = False  # each measure divided by its mass, since masses differ


def w2_distance(mu: Density, nu: Density, seed: int = 0, torus: Grid | None = None) -> Measured:
    """W₂(mu, nu), each divided by its mass, which `of_shapes` says where they differ; in d ≥ 2 from `PLAN`
    particles at most, drawn by `seed`.

    Beside a density on a periodic grid, or with a periodic grid as `torus`, it is that of the torus: to the
    nearest image. A Gaussian has none there, NaN: method "no W2 of a Gaussian on a torus".
    """
    if isinstance(mu, Species) and isinstance(nu, Species):
        return _over_species(w2_distance, mu, nu, math.hypot, seed, torus)
    torus = _torus(torus, mu, nu)
    if torus is not None and any(isinstance(m, Gaussian) for m in (mu, nu)):
        return Measured(math.nan, "no W2 of a Gaussian on a torus")
    first, second = _probability(mu), _probability(nu)
    method = ""
    if mu.dimension > 1:
        first, second = _thinned(first, seed), _thinned(second, seed + 1)
        method = "subsampled" if _was_thinned(mu, nu) else ""
    shapes = abs(mu.mass - nu.mass) > TOLERANCES.same_mass * max(mu.mass, nu.mass)
    distance = wasserstein_distance(first, second, torus=torus)
    return Measured(distance.value, method, distance.error_bound, shapes)


def l1_distance(mu: Density, nu: Density, torus: Grid | None = None) -> Measured:
    """`∫|ρ − σ| dx` between the densities of two measures: 0 where they agree, 2 where they are apart.

    Densities are compared on the finer of their grids, to which the other is carried conservatively
    (monotone cubics through the cumulative mass, order 2). A cloud enters through its kernel density
    estimate, and the other side is smoothed by the same kernel, so that what is left is noise and not
    smoothing: method "kernel estimate". Mass outside the common grid counts in full. On a torus, as for
    `w2_distance`, clouds are wrapped and kernels go round. NaN in more than three dimensions and for a cloud
    that is flat.
    """
    if isinstance(mu, Species) and isinstance(nu, Species):
        return _over_species(l1_distance, mu, nu, lambda *values: sum(values), torus)
    torus = _torus(torus, mu, nu)
    mu, nu = (_wrapped(m, torus) for m in (mu, nu))
    if any(map(_is_uneven, (mu, nu))):
        return _on_edges(mu, nu)
    if mu.dimension > 3:
        return Measured(math.nan)
    clouds = [m for m in (mu, nu) if isinstance(m, Particles)]
    if any(np.ptp(cloud.positions, axis=0).min() == 0.0 for cloud in clouds):
        return Measured(math.nan)
    grid = common_grid([mu, nu], torus)
    width = np.max([_bandwidth(cloud) for cloud in clouds], axis=0) if clouds else None
    first, outside_first = _values_on(mu, grid, width)
    second, outside_second = _values_on(nu, grid, width)
    value = float(np.abs(first - second).sum() * grid.cell_volume) + outside_first + outside_second
    return Measured(value, "kernel estimate" if clouds else "")


def _is_uneven(mu: Measure) -> bool:
    return isinstance(mu, CellDensity) and not mu.grid.is_uniform


def _on_edges(mu: Measure, nu: Measure) -> Measured:
    """L1 where a density has edges of its own, on the finer of two such grids, to which the other is carried
    in the volume; NaN beside what is no density on the same line, or in the same shells."""
    line = max((m.grid for m in (mu, nu) if _is_uneven(m)), key=lambda grid: grid.size)
    value, outside = np.zeros(line.size), 0.0
    for measure, sign in ((mu, 1.0), (nu, -1.0)):
        grid = measure.grid if isinstance(measure, CellDensity) else None
        if grid is None or (grid.is_radial, grid.dimension) != (line.is_radial, line.dimension):
            return Measured(math.nan)
        masses = measure.masses
        if measure.grid != line:
            ends = (line.volume_within(edges) for edges in (measure.grid.edges[0], line.edges[0]))
            masses = mass_between(next(ends), masses, next(ends))
        value, outside = value + sign * masses, outside + abs(measure.mass - float(masses.sum()))
    return Measured(float(np.abs(value).sum()) + outside)


def _over_species(distance, mu, nu, total, *how) -> Measured:
    """A distance of each species by its name, and their total: √Σ of squares for W₂, the sum for L1."""
    if mu.names != nu.names:
        raise ValueError(
            f"measures: expected the same species, got {', '.join(mu.names)} and {', '.join(nu.names)}"
        )
    found = [distance(mu[name], nu[name], *how) for name in mu.names]
    methods = dict.fromkeys(each.method for each in found if each.method)
    return Measured(
        total(*(each.value for each in found)), ", ".join(methods), total(*(e.error_bound for e in found))
    )


def common_grid(measures: list, torus: Grid | None = None) -> Grid:
    """The finest grid among the densities, or without one the torus or a box around clouds and Gaussians."""
    grids = [m.grid for m in measures if isinstance(m, Density)]
    if not grids and torus is not None:
        return torus
    if grids:
        return min(grids, key=lambda grid: grid.cell_volume)
    corners = [m.extent for m in measures]
    lower, upper = np.min([c[0] for c in corners], axis=0), np.max([c[1] for c in corners], axis=0)
    margin = 0.08 * (upper - lower)
    cells = TOLERANCES.cells[len(lower) - 1]
    return Grid.uniform(tuple(lower - margin), tuple(upper + margin), (cells,) * len(lower))


def carried(mu: Density, grid: Grid) -> np.ndarray:
    """Cell averages `[*cells]` of a density on another grid, conservative and positive, axis by axis."""
    values = np.asarray(mu.values)
    for axis, (edges, target) in enumerate(zip(mu.grid.edges, grid.edges, strict=True)):
        values = _carried_along(values, edges, target, axis)
    return values


def _carried_along(values, edges, target, axis: int):
    from scipy.interpolate import PchipInterpolator

    masses = np.moveaxis(values, axis, 0) * (edges[1] - edges[0])
    cumulative = np.concatenate([np.zeros((1, *masses.shape[1:])), np.cumsum(masses, axis=0)])
    at_target = PchipInterpolator(edges, cumulative, axis=0)(np.clip(target, edges[0], edges[-1]))
    return np.moveaxis(np.maximum(np.diff(at_target, axis=0), 0.0) / (target[1] - target[0]), 0, axis)


def _values_on(mu: Density, grid: Grid, width):
    """Values on a grid, smoothed by a kernel of `width` unless it is None, and the mass that lies outside."""
    if isinstance(mu, Particles):
        return _estimate_on(mu, grid, width)
    if isinstance(mu, Gaussian):
        values, outside = mu.on(grid).values, 0.0
    elif mu.grid == grid:
        values, outside = np.asarray(mu.values), 0.0
    else:
        values = carried(mu, grid)
        outside = max(mu.mass - float(values.sum() * grid.cell_volume), 0.0)
    return (values if width is None else _smoothed(values, grid, width)), outside


def _estimate_on(cloud, grid: Grid, width):
    inside = np.all((cloud.positions >= grid.lower) & (cloud.positions <= grid.upper), axis=1)
    positions, weights = (
        np.asarray(cloud.positions, dtype=float)[inside],
        np.asarray(cloud.weights, dtype=float),
    )
    masses, _ = np.histogramdd(positions, bins=grid.edges, weights=weights[inside])
    return _smoothed(masses / grid.cell_volume, grid, width), float(weights[~inside].sum())


def _smoothed(values, grid: Grid, width):
    from scipy.ndimage import gaussian_filter

    sigma = [w / h for w, h in zip(width, grid.spacing, strict=True)]
    mode = ["wrap" if turns else "reflect" for turns in grid.periodic]
    return np.maximum(gaussian_filter(values, sigma, mode=mode, truncate=6.0), 0.0)


def _bandwidth(cloud):
    """Silverman's rule along each axis [Silverman1986]."""
    d, effective = cloud.dimension, cloud.mass**2 / np.sum(np.asarray(cloud.weights, dtype=float) ** 2)
    return np.sqrt(np.diag(cloud.covariance())) * (4.0 / ((d + 2) * effective)) ** (1.0 / (d + 4))


def _torus(torus: Grid, *measures):
    grids = [torus, *(m.grid for m in measures if isinstance(m, Density))]
    grids += [m.domain for m in measures if isinstance(m, ConfinedParticles)]
    return next((grid for grid in grids if grid is not None and grid.is_periodic), None)


def _wrapped(mu: Density, torus: Grid):
    """A cloud with its coordinates along periodic axes in the box."""
    if torus is None or not isinstance(mu, Particles):
        return mu
    lower, sides = np.array(torus.lower), np.subtract(torus.upper, torus.lower)
    inside = lower + np.mod(mu.positions - lower, sides)
    return mu.with_positions(np.where(torus.periodic, inside, mu.positions))


def _probability(mu: Density):
    return mu.normalized() if isinstance(mu, (CellDensity, Population)) else mu


def _thinned(mu: Measure, seed: int):
    return mu.subsample(PLAN, seed) if isinstance(mu, Particles) and mu.n > PLAN else mu


def _was_thinned(*measures):
    return any(isinstance(m, Particles) and m.n > PLAN for m in measures)
