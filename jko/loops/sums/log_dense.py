"""Sums with a dense kernel in the log domain: log Σⱼ exp(lⱼ − rate·cᵢⱼ), c = ∞ leaving a pair out."""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.sums.log_gaussian import NEGLIGIBLE


@njit(cache=True)
def log_sums(costs: np.ndarray, rate: float, logs: np.ndarray):
    """The sums `[n]` over costs `[n, n]`, from logarithms `[n]`; −∞ stands for 0."""
    n = costs.shape[0]
    out = np.empty(n)
    for i in range(n):
        top = _largest(costs[i], rate, logs)
        total = 0.0
        if top > -np.inf:
            for j in range(n):
                exponent = logs[j] - rate * costs[i, j] - top
                if exponent > NEGLIGIBLE:
                    total += np.exp(exponent)
        out[i] = top + np.log(total) if total > 0.0 else -np.inf
    return out


@njit(cache=True)
def mean_costs(costs: np.ndarray, rate: float, logs: np.ndarray):
    """The mean of cᵢⱼ `[n]` by the weights exp(lⱼ − rate·cᵢⱼ)."""
    n = costs.shape[0]
    out = np.zeros(n)
    for i in range(n):
        top, total, weighted = _largest(costs[i], rate, logs), 0.0, 0.0
        for j in range(n):
            exponent = logs[j] - rate * costs[i, j] - top
            if exponent > NEGLIGIBLE:
                weight = np.exp(exponent)
                total += weight
                weighted += weight * costs[i, j]
        out[i] = weighted / total if total > 0.0 else 0.0
    return out


@njit(cache=True)
def least_differences(costs: np.ndarray, rate: float, prices: np.ndarray):
    """min over j of rate·cᵢⱼ − priceⱼ, `[n]`."""
    out = np.empty(costs.shape[0])
    for i in range(costs.shape[0]):
        out[i] = -_largest(costs[i], rate, prices)
    return out


@njit(cache=True)
def _largest(costs, rate, logs):
    top = -np.inf
    for j in range(costs.size):
        top = max(top, logs[j] - rate * costs[j])
    return top
