"""∫ρ log ρ from samples, by nearest neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.errors import whole_number

_SHARED = 0.6


@dataclass(frozen=True)
class EntropyEstimate:
    """An estimate of ∫ρ log ρ, its standard error, and log ρ at the particles, `[n]`."""

    value: float
    uncertainty: float
    log_density: np.ndarray


def entropy_estimate(particles, neighbours: int | None = None) -> EntropyEstimate:
    """Kozachenko–Leonenko's estimate of ∫ρ log ρ for the law that the particles sample.

    log ρ̂_i = ψ(k) − log(n − 1) − log(c_d r_i^d), r_i the distance to the k-th neighbour, c_d the volume of
    the unit ball, averaged over the particles [KozachenkoLeonenko1987; KraskovStoegbauerGrassberger2004];
    unequal weights replace k/(n − 1) by the mass of the k neighbours over that of the others. The uncertainty
    is one standard error of that average; the bias, O((k/n)^{2/d}) for a smooth ρ, is not in it, and the
    default `neighbours` keep it the smaller. Where k + 1 particles coincide the estimate is +∞. Raises
    ValueError for n ≤ k.
    """
    from scipy.spatial import cKDTree
    from scipy.special import digamma, gammaln

    n, d = particles.n, particles.dimension
    neighbours = default_neighbours(d) if neighbours is None else whole_number("neighbours", neighbours)
    if n <= neighbours:
        raise ValueError(
            f"particles: an entropy by {neighbours} neighbours needs more than {neighbours}, got {n}"
        )
    positions = np.asarray(particles.positions, dtype=float)
    weights = np.asarray(particles.weights, dtype=float)
    equal = np.ptp(weights) <= 1e-6 * weights.mean()
    if equal and d == 1:
        radii, log_mass = _distance_on_line(positions[:, 0], neighbours), math.log(neighbours / (n - 1))
    else:
        distances, nearest = cKDTree(positions).query(positions, k=neighbours + 1)
        others = weights[nearest].sum(axis=1) - weights
        radii, log_mass = distances[:, -1], np.log(others / (1.0 - weights))
    log_ball = 0.5 * d * math.log(math.pi) - gammaln(0.5 * d + 1.0)
    with np.errstate(divide="ignore"):
        log_density = digamma(neighbours) - math.log(neighbours) + log_mass - log_ball - d * np.log(radii)
    value = float(weights @ log_density)
    return EntropyEstimate(value, standard_error(log_density, weights, neighbours), log_density)


def standard_error(values, weights, neighbours: int, temperature: float = 1.0) -> float:
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


def _distance_on_line(x, neighbours: int) -> np.ndarray:
    """The distance to the k-th neighbour on the line: sorted, it is among k on either side."""
    order = np.argsort(x)
    window = np.pad(x[order], neighbours, constant_values=np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(window, 2 * neighbours + 1)
    distances = np.abs(windows - x[order][:, None])
    radii = np.empty_like(x)
    radii[order] = np.partition(distances, neighbours, axis=1)[:, neighbours]
    return radii
