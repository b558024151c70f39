"""Sums with a Gaussian kernel between two clouds in the log domain: log Σ_j exp(l_j − |x_i − y_j|²/ε)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jko.loops.sums.log_gaussian import NEGLIGIBLE


def log_sums(x: np.ndarray, y: np.ndarray, epsilon: float, logs: np.ndarray):
    """At points x `[n, d]`, from logarithms `[m]` at y `[m, d]`; −∞ stands for 0."""
    out = np.empty(len(x))
    _sums(*_scaled(x, y, epsilon), np.ascontiguousarray(logs), out)
    return out


def log_sums_and_means(x, y, epsilon: float, logs):
    """The sums `[n]`, and the means of y `[n, d]` under their terms."""
    out, means = np.empty(len(x)), np.empty_like(x)
    _means(*_scaled(x, y, epsilon), np.ascontiguousarray(logs), np.ascontiguousarray(y.T), out, means)
    return out, means


def _scaled(x: np.ndarray, y: np.ndarray, epsilon: float):
    middle = y.mean(axis=0)
    return tuple(np.ascontiguousarray(((p - middle) / math.sqrt(epsilon)).T) for p in (x, y))


@njit(cache=True, fastmath={"contract", "nsz"})
def _exponents(x: np.ndarray, y: np.ndarray, i: int, logs: np.ndarray, exponents: np.ndarray):
    exponents[:] = logs
    for a in range(x.shape[0]):
        for j in range(y.shape[1]):
            step = x[a, i] - y[a, j]
            exponents[j] -= step * step
    return exponents.max()


@njit(cache=True)
def _sums(x: np.ndarray, y: np.ndarray, logs: np.ndarray, out: np.ndarray):
    exponents = np.empty(y.shape[1])
    for i in range(x.shape[1]):
        top, total = _exponents(x, y, i, logs, exponents), 0.0
        for j in range(y.shape[1]):
            if exponents[j] > top + NEGLIGIBLE:
                total += math.exp(exponents[j] - top)
        out[i] = top + math.log(total)


@njit(cache=True)
def _means(x, y, logs, points, out, means):
    exponents = np.empty(y.shape[1])
    for i in range(x.shape[1]):
        top, total = _exponents(x, y, i, logs, exponents), 0.0
        means[i] = 0.0
        for j in range(y.shape[1]):
            if exponents[j] > top + NEGLIGIBLE:
                weight = math.exp(exponents[j] - top)
                total += weight
                for a in range(points.shape[0]):
                    means[i, a] += weight * points[a, j]
        out[i] = top + math.log(total)
        means[i] /= total
