"""The 2-Wasserstein distance between any two measures of the house."""

from dataclasses import dataclass

import numpy as np

from jko.measures import Density, Gaussian, Particles
from jko.transport.atoms import atoms_of_pair
from jko.transport.bures import bures_wasserstein
from jko.transport.mixture_path import mixture_path_bound
from jko.transport.quantile import quantile_distance, quantile_function

_LARGEST_PLAN = 4e7
_ITERATIONS = 100_000_000
_SAME_MASS = 1e-6
_LARGEST_SOLVE = 300**2
_CLOSE = 1.01


@dataclass(frozen=True)
class Distance:
    """A distance, the method that gave it, and a bound on its error from discretising the measures (0 where
    exact)."""

    value: float
    method: str
    error_bound: float = 0.0


def wasserstein(mu, nu):
    """W₂(mu, nu) = (min over couplings of ∫ |x - y|²)^½, a float; `wasserstein_distance` says how and how
    well.

    Measures of a common mass M other than 1 are M^½ as far apart as they are once normalised.

    Raises TypeError for something that is no measure, ValueError for measures of different dimension or
    mass, or for clouds whose exact plan would not fit in memory.
    """
    return wasserstein_distance(mu, nu).value


def wasserstein_distance(mu, nu):
    """The distance as a `Distance`, with its method.

    On the line by the quantile functions, exactly, a Density being constant on each cell. Between Gaussians
    in any dimension by the Bures formula. Everything else by the exact plan between atoms
    [BonneelEtAl2011], through POT: clouds as they are, densities and Gaussians gathered to at most 1200
    atoms with the error bounded in `error_bound`. A plan between gathered atoms cannot see densities that
    are closer than their cells: for two densities on one grid the path of their mixtures bounds W₂ from
    above (`mixture_path_bound`), their moments from below, and the smaller of path and plan is returned.
    """
    _check(mu, nu)
    if isinstance(mu, Gaussian) and isinstance(nu, Gaussian):
        return Distance(_moment_distance(mu, nu), "Bures formula")
    scale = float(np.sqrt(_mass(mu)))
    if mu.dimension == 1:
        value = quantile_distance(quantile_function(mu), quantile_function(nu))
        return Distance(scale * value, "quantile functions")
    mu, nu = _on_common_grid(mu, nu)
    first, second = atoms_of_pair(mu, nu)
    error = scale * (first.error + second.error)
    if not (isinstance(mu, Density) and isinstance(nu, Density) and mu.grid == nu.grid):
        return Distance(scale * _plan_distance(first, second), "exact plan between atoms", error)
    return _between_densities(mu, nu, first, second, scale, error)


def _between_densities(mu, nu, first, second, scale, error):
    lower = scale * _moment_distance(mu, nu)
    path = mixture_path_bound(mu, nu) if mu.grid.size <= _LARGEST_SOLVE else np.inf
    along_path = Distance(path, "path of mixtures, an upper bound", max(path - lower, 0.0))
    if path <= max(error, lower * _CLOSE):
        return along_path
    plan = Distance(scale * _plan_distance(first, second), "exact plan between atoms", error)
    return min(plan, along_path, key=lambda distance: distance.value)


def _moment_distance(mu, nu):
    # a lower bound on W2 for any two measures, exact between Gaussians [Gelbrich1990]
    return bures_wasserstein(mu.mean(), mu.covariance(), nu.mean(), nu.covariance())


def _on_common_grid(mu, nu):
    if isinstance(mu, Density) and isinstance(nu, Gaussian) and _holds(mu.grid, nu):
        return mu, nu.on(mu.grid)
    if isinstance(nu, Density) and isinstance(mu, Gaussian) and _holds(nu.grid, mu):
        return mu.on(nu.grid), nu
    return mu, nu


def _holds(grid, gaussian):
    reach = 4.5 * np.sqrt(np.diag(gaussian.covariance()))
    mean = gaussian.mean()
    return bool(np.all(mean - reach >= grid.lower) and np.all(mean + reach <= grid.upper))


def _check(mu, nu):
    for name, measure in (("mu", mu), ("nu", nu)):
        if not isinstance(measure, Density | Particles | Gaussian):
            raise TypeError(
                f"{name}: expected a Density, Particles or a Gaussian, got {type(measure).__name__}; "
                "convert it to one of these"
            )
    if mu.dimension != nu.dimension:
        raise ValueError(
            f"mu, nu: expected the same dimension, got {mu.dimension} and {nu.dimension}; project one "
            "or lift the other"
        )
    if abs(_mass(mu) - _mass(nu)) > _SAME_MASS * max(_mass(mu), _mass(nu)):
        raise ValueError(
            f"mu, nu: expected the same mass, got {_mass(mu):.6g} and {_mass(nu):.6g}; call "
            ".normalized() on the densities"
        )


def _mass(mu):
    return float(mu.mass) if isinstance(mu, Density) else 1.0


def _plan_distance(first, second):
    import ot

    n, m = len(first.masses), len(second.masses)
    if n * m > _LARGEST_PLAN:
        raise ValueError(
            f"mu, nu: an exact plan between {n} and {m} atoms needs {8 * n * m / 1e9:.1f} GB; "
            f"subsample the clouds to {int(_LARGEST_PLAN**0.5)} atoms or fewer"
        )
    # centred, so that far-away measures do not lose their distance to cancellation in the costs
    middle = 0.5 * (first.masses @ first.positions + second.masses @ second.positions)
    cost = ot.dist(first.positions - middle, second.positions - middle, metric="sqeuclidean")
    squared, log = ot.emd2(first.masses, second.masses, cost, numItermax=_ITERATIONS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(
            f"mu, nu: the exact plan did not converge ({log['warning']}); subsample the clouds"
        )
    return float(np.sqrt(max(squared, 0.0)))
