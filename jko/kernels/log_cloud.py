"""Sums with a Gaussian kernel between two clouds in the log domain: log Σ_j exp(l_j − |x_i − y_j|²/ε)."""

from __future__ import annotations

import numpy as np

_CHUNK = 2**18  # pairs at a time: they stay in the cache


def log_sums(x, y, epsilon, logs):
    """At points x `[n, d]`, from logarithms `[m]` at y `[m, d]`; −∞ stands for 0."""
    middle = y.mean(axis=0)
    x, y = (x - middle) / np.sqrt(epsilon), (y - middle) / np.sqrt(epsilon)
    column = logs - np.sum(y**2, axis=1)
    out = np.empty(len(x))
    rows = max(1, _CHUNK // len(y))
    for first in range(0, len(x), rows):
        part = x[first : first + rows]
        exponents = 2.0 * part @ y.T
        exponents += column
        top = exponents.max(axis=1)
        exponents -= top[:, None]
        with np.errstate(under="ignore"):
            total = np.exp(exponents, out=exponents).sum(axis=1)
        out[first : first + rows] = top + np.log(total) - np.sum(part**2, axis=1)
    return out
