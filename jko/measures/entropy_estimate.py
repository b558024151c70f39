"""∫ρ log ρ from samples, by nearest neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.errors import whole_number

_SHARED = 0.6  # of ψ′(k): what shared neighbours add to a variance, 0.3 to 0.7 of it on uniform samples
_UNBIASED = 3  # dimensions up to which the standard error exceeds the bias


@dataclass(frozen=True)
class EntropyEstimate:
    """An estimate of ∫ρ log ρ, its uncertainty, and log ρ at the particles, `[n]`.

    `bias` is what was taken off the plain estimate in four dimensions and more, 0 in fewer.
    """

    value: float
    uncertainty: float
    log_density: np.ndarray
    bias: float = 0.0


def entropy_estimate(particles, neighbours: int | None = None) -> EntropyEstimate:
    """Kozachenko–Leonenko's estimate of ∫ρ log ρ for the law that the particles sample.

    log ρ̂_i = ψ(k) − log(n − 1) − log(c_d r_i^d), r_i the distance to the k-th neighbour, c_d the volume of
    the unit ball, averaged over the particles [KozachenkoLeonenko1987; KraskovStoegbauerGrassberger2004];
    unequal weights replace k/(n − 1) by the mass of the k neighbours over that of the others. The uncertainty
    is one standard error of that average; the bias, O((k/n)^{2/d}) for a smooth ρ, is the smaller up to three
    dimensions for the default `neighbours`. From four on it is the larger, units at d = 20: what the same
    estimate is off by on as many draws of the Gaussian of the same covariance is taken off, and enters the
    uncertainty as well, since another law of that covariance has another bias. Where k + 1 particles
    coincide, or from four dimensions on the covariance is singular, the estimate is +∞. Of a `Population` of
    mass M the estimate is M(∫q log q + log M), q = ρ/M. Raises ValueError for n ≤ k.
    """
    n, d = particles.n, particles.dimension
    neighbours = default_neighbours(d) if neighbours is None else whole_number("neighbours", neighbours)
    if n <= neighbours:
        raise ValueError(
            f"particles: an entropy by {neighbours} neighbours needs more than {neighbours}, got {n}"
        )
    positions = np.asarray(particles.positions, dtype=float)
    weights, mass = np.asarray(particles.weights, dtype=float) / particles.mass, float(particles.mass)
    log_density = _log_density(positions, weights, neighbours)
    error, bias = standard_error(log_density, weights, neighbours), 0.0
    if d > _UNBIASED:
        bias, of_bias = _gaussian_bias(positions, weights, neighbours)
        error = math.sqrt(error**2 + of_bias**2 + bias**2)
        log_density = log_density - bias
    if mass != 1.0:
        log_density = log_density + math.log(mass)
    return EntropyEstimate(mass * float(weights @ log_density), mass * error, log_density, mass * bias)


def _log_density(positions: np.ndarray, weights: np.ndarray, neighbours: int) -> np.ndarray:
    """log ρ̂ at the positions."""
    from scipy.spatial import cKDTree
    from scipy.special import digamma, gammaln

    n, d = positions.shape
    equal = np.ptp(weights) <= 1e-6 * weights.mean()
    if equal and d == 1:
        radii, log_mass = _distance_on_line(positions[:, 0], neighbours), math.log(neighbours / (n - 1))
    else:
        distances, nearest = cKDTree(positions).query(positions, k=neighbours + 1)
        others = weights[nearest].sum(axis=1) - weights
        radii, log_mass = distances[:, -1], np.log(others / (1.0 - weights))
    log_ball = 0.5 * d * math.log(math.pi) - gammaln(0.5 * d + 1.0)
    with np.errstate(divide="ignore"):
        return digamma(neighbours) - math.log(neighbours) + log_mass - log_ball - d * np.log(radii)


def _gaussian_bias(positions: np.ndarray, weights: np.ndarray, neighbours: int) -> tuple[float, float]:
    """(the error of the estimate on draws of the Gaussian of this covariance, its standard error)."""
    centred = positions - weights @ positions
    values, axes = np.linalg.eigh((weights[:, None] * centred).T @ centred)
    if not values[0] > np.finfo(float).eps * len(values) * values[-1]:
        return -math.inf, math.inf
    z = np.random.default_rng(0).standard_normal(positions.shape)
    z = (z - weights @ z) * np.sqrt(values)
    log_density = _log_density(z @ axes.T, weights, neighbours)
    exact = -0.5 * (len(values) * math.log(2.0 * math.pi * math.e) + float(np.log(values).sum()))
    return float(weights @ log_density) - exact, standard_error(log_density, weights, neighbours)


def standard_error(
    values: np.ndarray, weights: np.ndarray, neighbours: int, temperature: float = 1.0
) -> float:
    """The standard error of Σ w_i f_i, f_i = θ log ρ̂_i + g(x_i), as an estimate of the mean of θ log ρ + g.

    The variance of the f_i, and 0.6 θ²ψ′(k) for the correlation of those whose neighbours are shared: that
    excess is 0.3 to 0.7 ψ′(k) on uniform samples in 1, 2 and 3 dimensions.
    """
    from scipy.special import polygamma

    if not np.all(np.isfinite(values)):
        return math.inf
    noise = _SHARED * temperature**2 * polygamma(1, neighbours)
    variance = weights @ (values - weights @ values) ** 2 + noise
    return float(np.sqrt(variance * np.sum(weights**2)))


def default_neighbours(dimension: int) -> int:
    """k = 3 on the line and in the plane; 1 in more dimensions, where bias would be the larger error."""
    return 3 if dimension <= 2 else 1


def _distance_on_line(x: np.ndarray, neighbours: int) -> np.ndarray:
    """The distance to the k-th neighbour on the line: sorted, it is among k on either side."""
    order = np.argsort(x)
    window = np.pad(x[order], neighbours, constant_values=np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(window, 2 * neighbours + 1)
    distances = np.abs(windows - x[order][:, None])
    radii = np.empty_like(x)
    radii[order] = np.partition(distances, neighbours, axis=1)[:, neighbours]
    return radii
