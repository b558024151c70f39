"""W₂ on a circle: the quantile functions continued by periods, one turned against the other."""

from __future__ import annotations

import math

import numpy as np

from jko.measures import Density, Particles
from jko.transport.quantile import quantile_distance, quantile_function

_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
_ROUNDS = 80  # of golden section, after which the bracket is 4e-17 of a turn


def circle_distance(mu, nu, lower, period):
    """min over θ of (∫₀¹|Q₀(q) − Q₁(q − θ)|²dq)^½, Q(q + 1) = Q(q) + period, for measures of mass 1.

    It is W₂ for the distance to the nearest image, convex in θ, and at θ = ±1 all points are on one side of
    those they go to, so that the least is between [DelonSalomonSobolevski2010]. Densities are constant on
    each cell; a cloud is wrapped onto [lower, lower + period).
    """
    first, second = (quantile_function(_wrapped(m, lower, period)) for m in (mu, nu))
    second = (*second[:2], second[2] / second[2].sum())

    def distance(turn):
        return quantile_distance(first, _turned(*second, turn, period))

    low, high = -1.0, 1.0
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    values = [distance(turn) for turn in inner]
    for _ in range(_ROUNDS):
        if values[0] <= values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - _GOLDEN * (high - low)
            values[0] = distance(inner[0])
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + _GOLDEN * (high - low)
            values[1] = distance(inner[1])
    return min(*values, distance(0.0))


def _wrapped(mu, lower, period):
    if isinstance(mu, Density):
        return mu
    positions = np.asarray(mu.positions, dtype=float)
    return Particles(lower + np.mod(positions - lower, period), np.asarray(mu.weights, dtype=float))


def _turned(left, right, masses, turn, period):
    """The segments of q ↦ Q(q − turn) on [0, 1]: the last of the mass comes first, a period back."""
    rounds = math.floor(turn)
    levels = np.concatenate([[0.0], np.cumsum(masses)])
    cut = min(max(levels[-1] - (turn - rounds), 0.0), levels[-1])
    k = min(int(np.searchsorted(levels, cut, side="right")) - 1, masses.size - 1)
    part = (cut - levels[k]) / masses[k]
    middle = left[k] + part * (right[k] - left[k])
    back = rounds * period
    return (
        np.concatenate([[middle], left[k + 1 :], left[: k + 1] + period]) - period - back,
        np.concatenate([right[k:], right[:k] + period, [middle + period]]) - period - back,
        np.concatenate([[(1.0 - part) * masses[k]], masses[k + 1 :], masses[:k], [part * masses[k]]]),
    )
