"""The distance by each method, for a pair of measures that has been checked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from jko.measures import CellDensity, Density, Gaussian, Grid, Measure, Particles
from jko.transport.distances.atoms import atoms_of_pair
from jko.transport.distances.common_kind import as_densities, merged
from jko.transport.distances.distance import Certificate, Distance
from jko.transport.distances.gaussian import bures_wasserstein
from jko.transport.distances.line import quantile_distance, quantile_function
from jko.transport.distances.mixture_path import mixture_path_bound
from jko.transport.distances.tolerances import TOLERANCES


class Options(NamedTuple):
    """`scale`, the root of the mass, by which distances of probabilities are multiplied; what methods
    take; `torus`, the grid whose periodic axes close on themselves, None in free space."""

    scale: float = 1.0
    threads: int = 1
    epsilon: float | None = None
    torus: Grid | None = None


def quantile(mu: Density, nu: Density, options: Options, reason: str):
    """By the quantile functions, on the line."""
    radial = [isinstance(m, CellDensity) and m.grid.is_radial for m in (mu, nu)]
    if any(radial) and not all(radial):
        raise ValueError(
            f"mu, nu: a radial density has its distance to another, got {mu!r} and {nu!r}; put the other on "
            "its grid, by Density.histogram or gaussian.on(grid)"
        )
    if mu.dimension != 1 and not all(radial):
        raise ValueError(f'method: "quantile" is for the line, got {mu.dimension} dimensions; leave it out')
    first, second = quantile_function(mu), quantile_function(nu)

    def certify():
        from jko.transport.distances.line import line_certificate

        return _scaled(line_certificate(mu, nu, first, second), options.scale)

    return Distance(options.scale * quantile_distance(first, second), "quantile", reason, certify=certify)


def bures(mu: Measure, nu: Measure, options: Options, reason: str):
    """By the closed form between Gaussians."""
    if not (isinstance(mu, Gaussian) and isinstance(nu, Gaussian)):
        raise ValueError(
            f'method: "bures" is for two Gaussians, got {type(mu).__name__} and {type(nu).__name__}; '
            "leave it out"
        )

    def certify():
        from jko.transport.distances.gaussian import gaussian_certificate

        return gaussian_certificate(mu, nu)

    return Distance(_moment_distance(mu, nu), "bures", reason, certify=certify)


def back_and_forth(mu: Density, nu: Density, options: Options, reason: str):
    """By the potentials on a grid."""
    from jko.transport.grids.transport import grid_transport

    mu, nu = as_densities(mu, nu, "back-and-forth")
    found = grid_transport(mu, nu, options.threads)
    return Distance(
        options.scale * np.sqrt(found.squared),
        "back-and-forth",
        f"{reason}; {found.inner.rounds} rounds on the finest grid",
        options.scale * found.error,
        lambda: _scaled(found.certificate(), options.scale),
        options.scale**2 * found.gap,
    )


def exact(mu: Measure, nu: Measure, options: Options, reason: str):
    """By the exact plan between atoms."""
    from jko.transport.distances.atoms import atom_plan, torus_plan

    first, second = atoms_of_pair(mu, nu)
    error = options.scale * (first.error + second.error)
    if options.torus is not None:
        found = torus_plan(first, second, options.torus)
        gap = options.scale**2 * (found.squared - found.dual)
        return Distance(options.scale * math.sqrt(found.squared), "exact", reason, error, gap=gap)
    squared, certify = atom_plan(mu, nu, first, second)
    return Distance(
        options.scale * math.sqrt(squared),
        "exact",
        reason,
        error,
        lambda: _scaled(certify(), options.scale),
    )


def circle(mu: Density, nu: Density, options: Options, reason: str):
    """By the quantile functions on a circle, one turned against the other."""
    from jko.transport.distances.line import circle_distance

    if options.torus is None or mu.dimension != 1:
        raise ValueError('method: "circle" is for measures on a periodic line; leave it out')
    lower, upper = options.torus.lower[0], options.torus.upper[0]
    return Distance(options.scale * circle_distance(mu, nu, lower, upper - lower), "circle", reason)


def mixture_path(mu, nu, options, reason):
    """By the path of mixtures, from above."""
    if not (isinstance(mu, Density) and isinstance(nu, Density) and mu.grid == nu.grid):
        raise ValueError('method: "mixture-path" is for two densities on one grid; leave it out')
    path = mixture_path_bound(mu, nu)
    lower = options.scale * _moment_distance(mu, nu)
    return Distance(path, "mixture-path", f"{reason}; an upper bound", max(path - lower, 0.0))


def entropic(mu: Particles, nu: Particles, options: Options, reason: str):
    """By the Sinkhorn divergence."""
    from jko.transport.entropic.bracket import entropic_bracket
    from jko.transport.entropic.sinkhorn import sinkhorn

    epsilon = options.epsilon
    if epsilon is None:
        spread = float(np.trace(mu.covariance()) + np.trace(nu.covariance()))
        epsilon = max(TOLERANCES.temperature * (spread if spread > 0.0 else 1.0), _width(mu, nu) ** 2)
    found = sinkhorn(mu, nu, epsilon)
    value = np.sqrt(max(found.value, 0.0))
    lower, upper, certificate = entropic_bracket(mu, nu, found)
    return Distance(
        value,
        "entropic",
        f"{reason}; the Sinkhorn divergence at ε = {epsilon:.3g}",
        max(np.sqrt(upper) - value, value - np.sqrt(max(lower, 0.0)), 0.0) + options.scale * _cells(mu, nu),
        lambda: certificate,
    )


def semi_discrete(mu: Measure, nu: Particles, options: Options, reason: str):
    """By the power cells of points in a density."""
    from jko.transport.distances.atoms import conjugate_from
    from jko.transport.semi_discrete_transport.transport import gaussian_cells_error
    from jko.transport.semi_discrete_transport.transport import semi_discrete as solve

    if isinstance(mu, Particles) == isinstance(nu, Particles):
        raise ValueError(
            'method: "semi-discrete" is for a density or a Gaussian and a cloud, got '
            f"{type(mu).__name__} and {type(nu).__name__}; leave it out"
        )
    swapped = isinstance(mu, Particles)
    spread, cloud = (nu, mu) if swapped else (mu, nu)
    cloud, number = merged(cloud)
    found = solve(spread.normalized() if isinstance(spread, Density) else spread, cloud)

    def certify():
        own = 0.5 * found.weights
        pair = (conjugate_from(spread, found.points, own), own[number])
        return Certificate(pair[::-1] if swapped else pair, options.scale**2 * found.gap)

    return Distance(
        options.scale * np.sqrt(max(found.value, 0.0)),
        "semi-discrete",
        f"{reason}; {found.iterations} steps of Newton's method",
        options.scale * (gaussian_cells_error(spread) if isinstance(spread, Gaussian) else 0.0),
        certify,
        options.scale**2 * found.gap,
    )


def _width(mu: Particles, nu: Particles):
    """Of the widest cell, 0 for clouds."""
    return max((max(m.grid.spacing) for m in (mu, nu) if isinstance(m, Density)), default=0.0)


def _cells(mu: Particles, nu: Particles):
    """How far densities that are constant on each cell are from atoms at the centres, both together."""
    grid = next((m.grid for m in (mu, nu) if isinstance(m, Density)), None)
    return 0.0 if grid is None else math.sqrt(sum(h * h for h in grid.spacing) / 3.0)


def _moment_distance(mu: Measure, nu: Measure):
    """A lower bound on W₂ for any two measures, exact between Gaussians [Gelbrich1990]."""
    return bures_wasserstein(mu.mean(), _spread(mu), nu.mean(), _spread(nu))


def _spread(mu: Measure):
    """The covariance, of a Density with that within its cells, on which it is constant."""
    within = np.diag(np.square(mu.grid.spacing)) / 12.0 if isinstance(mu, Density) else 0.0
    return mu.covariance() + within


def _scaled(certificate: Certificate, scale: float):
    return certificate._replace(gap=scale**2 * certificate.gap)
