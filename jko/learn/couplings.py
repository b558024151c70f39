"""Optimal couplings of consecutive snapshots: where the points of one go, and where those of the next come
from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.measures import Particles
from jko.transport.paths.interpolation import plan_of

MOST_ATOMS = 6000  # of a cloud in an exact plan; larger ones are drawn from, or coupled by entropic transport


@dataclass(frozen=True, eq=False)
class Coupling:
    """γ between clouds x `[n]` and y `[n′]`: the pairs that carry mass, as `rows`, `columns`, `weights`."""

    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    n: int
    n_after: int

    def images(self, y: np.ndarray) -> np.ndarray:
        """E[y | x_i], `[n, d]`."""
        return _means(self.rows, self.weights, y[self.columns], self.n)

    def origins(self, x: np.ndarray) -> np.ndarray:
        """E[x | y_j], `[n′, d]`."""
        return _means(self.columns, self.weights, x[self.rows], self.n_after)


def optimal_coupling(mu: Particles, nu: Particles) -> Coupling:
    """By exact transport. Raises ValueError where the plan would not fit in memory."""
    if mu.dimension > 1 and max(mu.n, nu.n) > MOST_ATOMS:
        raise ValueError(
            f"snapshots: an exact coupling of {mu.n} and {nu.n} points is too large for memory; thin the "
            f'clouds to {MOST_ATOMS} points with .subsample, or take step="flow", which couples nothing'
        )
    plan = plan_of(mu, nu)
    return Coupling(plan.rows, plan.columns, plan.weights, mu.n, nu.n)


def _means(index: np.ndarray, weights: np.ndarray, values: np.ndarray, n: int):
    mass = np.bincount(index, weights, n)
    sums = [np.bincount(index, weights * values[:, a], n) for a in range(values.shape[1])]
    return np.stack(sums, axis=1) / mass[:, None]
