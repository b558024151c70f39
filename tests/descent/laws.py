"""Exact laws in one dimension, and W₂ of a cloud to them."""

from functools import lru_cache

import numpy as np
from scipy.stats import norm


def distance_to_gaussian(particles, mean, std):
    """W₂ of n equal particles on the line to N(mean, std²), by the quantile integral in closed form."""
    x = np.sort(np.asarray(particles.positions, dtype=float)[:, 0])
    first, second = _cell_moments(len(x))
    target_square = mean**2 + 2.0 * mean * std * first + std**2 * second
    return float(np.sqrt(max(0.0, np.mean(x**2 - 2.0 * x * (mean + std * first) + target_square))))


@lru_cache(maxsize=8)
def _cell_moments(n):
    """E[z], E[z²] of a standard normal z on each of n intervals of equal mass."""
    edges = norm.ppf(np.arange(n + 1) / n)
    density = norm.pdf(edges)
    first = n * (density[:-1] - density[1:])
    tails = np.where(np.isfinite(edges), edges, 0.0) * density
    return first, 1.0 + n * (tails[:-1] - tails[1:])


def gaussian_quantiles(n, mean, std):
    """n equal particles `[n, 1]` at the mid-quantiles of N(mean, std²)."""
    return mean + std * norm.ppf((np.arange(n) + 0.5) / n)[:, None]


@lru_cache(maxsize=8)
def sampling_error(n, std, draws=40):
    """The root mean square of W₂ between n draws from N(0, std²) and the law, 1.9 std/√n."""
    from jko.measures import Particles

    squares = [
        distance_to_gaussian(Particles(np.random.default_rng(1000 + s).normal(size=(n, 1))), 0.0, 1.0) ** 2
        for s in range(draws)
    ]
    return std * float(np.sqrt(np.mean(squares)))


def parabola_quantiles(q, radius):
    """Quantiles of the density ∝ (R² − x²)₊ on the line: u = x/R solves ½ + ¾u − ¼u³ = q."""
    return radius * 2.0 * np.sin(np.arcsin(2.0 * q - 1.0) / 3.0)
