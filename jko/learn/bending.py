"""How far the mean of a time course bends off the chord, by each given time left out in its turn."""

from __future__ import annotations

import numpy as np

NEAREST = 4  # snapshots that a curve runs through: one of more swings between them


def bend(times: np.ndarray, means: np.ndarray, t: float) -> np.ndarray:
    """The polynomial through the means `[K, d]` of the nearest times, less the chord at t."""
    k = int(np.clip(np.searchsorted(times, t, side="right"), 1, len(times) - 1))
    share = (t - times[k - 1]) / (times[k] - times[k - 1])
    chord = (1.0 - share) * means[k - 1] + share * means[k]
    first = int(np.clip(k - NEAREST // 2, 0, max(len(times) - NEAREST, 0)))
    near = slice(first, first + NEAREST)
    return lagrange(times[near], t) @ means[near] - chord


def lagrange(times: np.ndarray, t: float) -> np.ndarray:
    """The weights `[K]` of values at the times in the polynomial through them at t."""
    away = times[:, None] - times
    np.fill_diagonal(away, 1.0)
    factors = (t - times) / away
    np.fill_diagonal(factors, 1.0)
    return factors.prod(axis=1)


def share_of_bend(times: np.ndarray, means: np.ndarray) -> float:
    """So much of the bend, from 0 to 1, as foretells the mean of each inner time from the others best."""
    along = size = 0.0
    for k in range(1, len(times) - 1):
        others = np.delete(np.arange(len(times)), k)
        curve = bend(times[others], means[others], times[k])
        share = (times[k] - times[k - 1]) / (times[k + 1] - times[k - 1])
        chord = (1.0 - share) * means[k - 1] + share * means[k + 1]
        along, size = along + curve @ (means[k] - chord), size + curve @ curve
    return float(np.clip(along / size, 0.0, 1.0)) if size > 0.0 else 0.0
