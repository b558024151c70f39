"""Three curves between two measures: displacement, mixture, and the product coupling's."""

from __future__ import annotations

import math

import numpy as np

from jko.errors import fraction, one_of
from jko.measures import ConfinedParticles, Density, Gaussian, Grid, Measure, Particles
from jko.transport.distances.atoms import Atoms, differences, optimal_plan, plan_on_the_line, torus_plan
from jko.transport.distances.common_kind import CURVE_IN_FREE_SPACE, alike, check_pair, common_grid, torus_of
from jko.transport.distances.gaussian import optimal_matrix
from jko.transport.distances.line import matched_segments, turned_segments
from jko.transport.grids.circle import between_round, length_of, masses_round, remap_round
from jko.transport.grids.remap import cut, mass_between, remap
from jko.transport.tolerances import TOLERANCES

KINDS = ("displacement", "mixture", "product")
_FRACTIONS = np.arange(8) / 8.0  # a cell is cut in eight, since the density of a segment is constant


def interpolate(mu: Density, nu: Measure, t: float, kind: str = "displacement"):
    """The measure at t in [0, 1] of a curve from mu to nu.

    - `"displacement"`: ((1-t) id + t T)_# mu with T optimal, the geodesic of W₂ [McCann1997]. Densities on
      the line by their quantile functions, elsewhere by Kantorovich potentials; Gaussians in closed
      form, clouds along the exact plan; densities and `ConfinedParticles` on a torus by the shortest ways
      round it. In the plane and in space it errs by min(t, 1 − t) of the map's error in L² at most, in W₂;
      `brenier_map(mu, nu).pushforward_error`, W₂(T_# mu, nu), tells the size of that.
    - `"mixture"`: (1-t) mu + t nu. Of two Gaussians it is a Density, on a grid of seven standard deviations.
    - `"product"`: the law of (1-t) X + t Y with X and Y independent, ((1-t) P0 + t P1)_# (mu ⊗ nu). On grids
      the two dilations are deposited linearly and convolved, exact in the mean and O(h²) in the variance.

    A Gaussian beside a Density is taken on its grid. Raises ValueError for t outside [0, 1], and for measures
    that differ in dimension, mass, kind or grid.
    """
    t = fraction("t", t)
    one_of("kind", kind, KINDS)
    if kind == "displacement" and isinstance(mu, ConfinedParticles) and isinstance(nu, ConfinedParticles):
        check_pair(mu, nu, free=False)
        if (torus := torus_of(mu, nu)) is not None:
            return (mu, nu)[int(t)] if t in (0.0, 1.0) else _torus_displacement(mu, nu, t, torus)
    if kind == "product":
        mu, nu = alike(mu, nu, instead=CURVE_IN_FREE_SPACE)
    else:
        mu, nu = alike(mu, nu, tori=True)
    if t in (0.0, 1.0):
        return (mu, nu)[int(t)]
    return _CURVES[type(mu), kind](mu, nu, t)


def _density_displacement(mu: Density, nu: Density, t: float):
    if mu.dimension > 1:
        from jko.transport.grids.geodesic import displaced

        return displaced(mu, nu, t)
    if mu.grid.is_periodic:
        turned = turned_segments(_segments_round(mu), _segments_round(nu), length_of(mu.grid))
        edges, masses = _laid(mu, *turned, t)
        return remap_round(edges, masses, mu.grid)
    edges, masses = _laid(mu, _segments(mu), _segments(nu), t)
    return remap(edges, masses, mu.grid)


def _laid(mu: Density, first: tuple, second: tuple, t: float):
    """The edges and masses at t between two quantile functions, with gaps."""
    width, a0, b0, a1, b1 = matched_segments(first, second)
    held = width > TOLERANCES.sliver
    left, right = ((1.0 - t) * x[held] + t * y[held] for x, y in ((a0, a1), (b0, b1)))
    gap = left[1:] - right[:-1] > TOLERANCES.sliver * (mu.grid.upper[0] - mu.grid.lower[0])
    ends = np.stack([left, right], axis=1).ravel()
    masses = np.stack([width[held], np.zeros(left.size)], axis=1).ravel()[:-1]
    keep_edge, keep_mass = np.ones(ends.size, dtype=bool), np.ones(masses.size, dtype=bool)
    keep_edge[1:-1:2], keep_mass[1::2] = gap, gap
    edges = np.maximum.accumulate(ends[keep_edge])
    return edges, masses[keep_mass] * (mu.mass / width[held].sum())


def _segments_round(mu: Density):
    """The segments of a density on a circle, of mass 1."""
    edges, masses = mu.grid.edges[0], masses_round(mu.values, mu.grid) / mu.mass
    fine = np.append((edges[:-1, None] + np.diff(edges)[:, None] * _FRACTIONS).ravel(), edges[-1])
    masses = between_round(edges, masses, fine, length_of(mu.grid))
    held = masses > 0.0
    return fine[:-1][held], fine[1:][held], masses[held]


def _segments(mu: Density):
    edges, masses = cut(mu)
    fine = np.append((edges[:-1, None] + np.diff(edges)[:, None] * _FRACTIONS).ravel(), edges[-1])
    masses = mass_between(edges, masses, fine)
    held = masses > 0.0
    return fine[:-1][held], fine[1:][held], masses[held]


def _density_mixture(mu, nu, t):
    return mu.with_values((1.0 - t) * mu.values + t * nu.values)


def _density_product(mu, nu, t):
    values = convolved(dilated(mu.values, 1.0 - t), dilated(nu.values, t))
    return mu.with_values(np.maximum(values, 0.0) * (mu.grid.cell_volume / mu.mass))


def dilated(field, factor):
    """The masses of a field, its cell i moved to factor·i along every axis and shared by the two
    neighbours."""
    for axis, n in enumerate(field.shape):
        place = factor * np.arange(n)
        low = place.astype(int)
        weight = (place - low).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
        out = np.zeros(field.shape)
        lines = np.moveaxis(out, axis, 0)
        np.add.at(lines, low, np.moveaxis(field * (1.0 - weight), axis, 0))
        np.add.at(lines, np.minimum(low + 1, n - 1), np.moveaxis(field * weight, axis, 0))
        field = out
    return field


def convolved(a, b):
    """Σ_j a_j b_{i-j} of two fields `[*cells]` on those cells, for dilations by 1-t and t: what rounding of
    the dilations puts beyond the upper wall is laid down in the cell before it."""
    from scipy.signal import fftconvolve

    full = fftconvolve(a, b)
    for axis, n in enumerate(a.shape):
        full = np.moveaxis(full, axis, 0)
        kept = full[:n].copy()
        kept[-1] += full[n:].sum(axis=0)
        full = np.moveaxis(kept, 0, axis)
    return full


def _gaussian_displacement(mu, nu, t):
    d = mu.dimension
    matrix = (1.0 - t) * np.eye(d) + t * optimal_matrix(mu.covariance(), nu.covariance())
    return Gaussian(_mean(mu, nu, t), matrix @ mu.covariance() @ matrix)


def _gaussian_product(mu, nu, t):
    return Gaussian(_mean(mu, nu, t), (1.0 - t) ** 2 * mu.covariance() + t**2 * nu.covariance())


def _mean(mu, nu, t):
    return (1.0 - t) * mu.mean() + t * nu.mean()


def _gaussian_mixture(mu, nu, t):
    grid = common_grid(mu, nu)
    return _density_mixture(mu.on(grid), nu.on(grid), t)


def plan_of(mu, nu):
    """The optimal plan between clouds, whatever their dimension."""
    return plan_on_the_line(mu, nu) if mu.dimension == 1 else optimal_plan(mu, nu)


def _cloud_displacement(mu, nu, t):
    rows, columns, weights, _ = plan_of(mu, nu)
    return Particles(_between(mu.positions[rows], nu.positions[columns], t), weights)


def _torus_displacement(mu: ConfinedParticles, nu: ConfinedParticles, t: float, torus: Grid):
    first, second = (
        Atoms(np.asarray(m.positions, dtype=float), np.asarray(m.weights) / np.sum(m.weights), 0.0)
        for m in (mu, nu)
    )
    plan = torus_plan(first, second, torus)
    x, y = first.positions[plan.rows], second.positions[plan.columns]
    periods = np.where(torus.periodic, np.subtract(torus.upper, torus.lower), np.inf)
    return ConfinedParticles(x + t * differences(y, x, periods), torus, plan.weights)


def _cloud_mixture(mu, nu, t):
    positions = np.concatenate([mu.positions, nu.positions])
    return Particles(positions, np.concatenate([(1.0 - t) * mu.weights, t * nu.weights]))


def _cloud_product(mu, nu, t):
    if mu.n * nu.n > TOLERANCES.largest_product:
        raise ValueError(
            f"mu, nu: the product coupling has a point for each of {mu.n} x {nu.n} pairs; subsample the "
            f"clouds to {math.isqrt(int(TOLERANCES.largest_product))} points or fewer"
        )
    positions = _between(mu.positions[:, None], nu.positions[None], t).reshape(-1, mu.dimension)
    return Particles(positions, np.outer(mu.weights, nu.weights).ravel())


def _between(x, y, t):
    return ((1.0 - t) * x + t * y).astype(np.result_type(x, y))


_CURVES = {
    (Density, "displacement"): _density_displacement,
    (Density, "mixture"): _density_mixture,
    (Density, "product"): _density_product,
    (Gaussian, "displacement"): _gaussian_displacement,
    (Gaussian, "mixture"): _gaussian_mixture,
    (Gaussian, "product"): _gaussian_product,
    (Particles, "displacement"): _cloud_displacement,
    (Particles, "mixture"): _cloud_mixture,
    (Particles, "product"): _cloud_product,
}
