"""Quantile functions on the line, piecewise linear, and the exact distance between two of them."""

import numpy as np

from jko.measures import Density, Gaussian, Particles

_GAUSSIAN_REACH = 9.0
_GAUSSIAN_CELLS = 40_000


def quantile_function(mu):
    """Positions `(left [n], right [n])` and masses `[n]` of the segments of the quantile function of a
    measure on the line.

    On the i-th segment, of length masses[i], the quantile runs linearly from left[i] to right[i]: an atom
    has left = right, a Density is constant on each cell, a Gaussian is cut at nine standard deviations into
    40 000 cells of exact mass, which is 2e-8 standard deviations from it.
    """
    if isinstance(mu, Density):
        return _density_segments(mu)
    if isinstance(mu, Particles):
        return _particle_segments(mu)
    if isinstance(mu, Gaussian):
        return _gaussian_segments(mu)
    raise TypeError(
        f"mu: expected a Density, Particles or a Gaussian, got {type(mu).__name__}; convert it to one of "
        "these"
    )


def quantile_distance(first, second):
    """W₂ = (∫₀¹ |Q0 - Q1|² dq)^½ between two quantile functions as `quantile_function` returns them,
    exactly."""
    width, a0, b0, a1, b1 = matched_segments(first, second)
    a, b = a0 - a1, b0 - b1
    return float(np.sqrt(np.sum(width * (a * a + a * b + b * b)) / 3.0))


def matched_segments(first, second):
    """Two quantile functions cut at the levels of both: widths `[n]` of sum 1, and the ends (left,
    right) `[n]` of each segment in the first, then in the second."""
    left0, right0, levels0 = _levels(*first)
    left1, right1, levels1 = _levels(*second)
    levels = np.union1d(levels0, levels1)
    width = np.diff(levels)
    keep = width > 0.0
    start, stop = levels[:-1][keep], levels[1:][keep]
    a0, b0 = _restrict(left0, right0, levels0, start, stop)
    a1, b1 = _restrict(left1, right1, levels1, start, stop)
    return width[keep], a0, b0, a1, b1


def _levels(left, right, masses):
    levels = np.concatenate([[0.0], np.cumsum(masses)])
    return left, right, levels / levels[-1]


def _restrict(left, right, levels, start, stop):
    where = np.clip(np.searchsorted(levels, start, side="right") - 1, 0, left.size - 1)
    span = levels[where + 1] - levels[where]
    safe = np.where(span > 0.0, span, 1.0)

    # a fraction of the segment, since right - left over a span of 1e-320 overflows
    def at(level):
        fraction = np.clip((level - levels[where]) / safe, 0.0, 1.0)
        return left[where] + fraction * (right[where] - left[where])

    return at(start), at(stop)


def _density_segments(mu):
    edges = np.asarray(mu.grid.edges[0], dtype=np.float64)
    masses = np.asarray(mu.masses, dtype=np.float64)
    held = masses > 0.0
    return edges[:-1][held], edges[1:][held], masses[held]


def _particle_segments(mu):
    positions = np.asarray(mu.positions, dtype=np.float64)[:, 0]
    order = np.argsort(positions, kind="stable")
    weights = np.asarray(mu.weights, dtype=np.float64)[order]
    held = weights > 0.0
    positions = positions[order][held]
    return positions, positions, weights[held]


def _gaussian_segments(mu):
    from scipy.special import ndtr

    mean, std = float(mu.mean()[0]), float(np.sqrt(mu.covariance()[0, 0]))
    z = np.linspace(-_GAUSSIAN_REACH, _GAUSSIAN_REACH, _GAUSSIAN_CELLS + 1)
    half = np.diff(ndtr(z[: _GAUSSIAN_CELLS // 2 + 1]))
    masses = np.concatenate([half, half[::-1]])
    edges = mean + std * z
    return edges[:-1], edges[1:], masses
