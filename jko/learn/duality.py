"""A bound of what a coupling costs above the least, from potentials that its pairs and c-transforms give."""

from __future__ import annotations

import numpy as np

from jko.measures import Gaussian, Particles
from jko.transport.distances.gaussian import optimal_matrix

PASSES = 8  # of c-transforms both ways at most: the dual value then rises no more
DAMPED = 0.5  # of the way to potentials that hold the pairs tight on average
ROWS = 1000  # of the matrix of costs at once: 160 MB beside 20 000 columns


def excess_of(coupling, mu: Particles, nu: Particles) -> float:
    """(cost − dual value)/cost of a coupling for |x − y|², no less than its excess over the least cost.

    For any v, u = min_y c − v and then v′ = min_x c − u are feasible, and Σau + Σbv′ is no more than the
    least cost. v begins as that of the affine map between Gaussians; between passes it goes half of the way
    to the v with which the pairs are tight on average, as they all are at the optimum.
    """
    x, y = (np.asarray(cloud.positions, dtype=np.float64) for cloud in (mu, nu))
    a, b = (np.asarray(cloud.weights, dtype=np.float64) / np.sum(cloud.weights) for cloud in (mu, nu))
    middle = a @ x
    x, y = x - middle, y - middle
    rows, columns, weights = coupling.rows, coupling.columns, coupling.weights
    costs = np.sum((x[rows] - y[columns]) ** 2, axis=1)
    cost, mass = float(weights @ costs), np.bincount(columns, weights, len(y))
    v, best = _affine_potential(x, a, y, b), -np.inf
    for _ in range(PASSES):
        u = conjugate(y, v, x)
        v = conjugate(x, u, y)
        dual = float(a @ u + b @ v)
        if dual <= best:
            break
        best = dual
        tight = np.bincount(columns, weights * (costs - u[rows]), len(y)) / mass
        v = v + DAMPED * (tight - v)
    return max(1.0 - best / cost, 0.0) if cost > 0.0 else 0.0


def conjugate(y: np.ndarray, v: np.ndarray, x: np.ndarray) -> np.ndarray:
    """min_j |x_i − y_j|² − v_j `[n]`."""
    held, out = np.sum(y**2, axis=1) - v, np.empty(len(x))
    for first in range(0, len(x), ROWS):
        table = (-2.0 * x[first : first + ROWS]) @ y.T
        table += held
        out[first : first + ROWS] = table.min(axis=1)
    return out + np.sum(x**2, axis=1)


def _affine_potential(x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray) -> np.ndarray:
    """v with ∇v = 2(y − T(y)), T the optimal map between the Gaussians of y's and of x's moments."""
    ends = [Particles(points, weights) for points, weights in ((y, b), (x, a))]
    tiny = 1e-12 * np.trace(ends[0].covariance()) * np.eye(x.shape[1])
    of_y, of_x = (Gaussian(end.mean(), end.covariance() + tiny) for end in ends)
    matrix = optimal_matrix(of_y.covariance(), of_x.covariance())
    shift = of_x.mean() - matrix @ of_y.mean()
    return np.sum(y**2, axis=1) - 2.0 * y @ shift - np.einsum("ni,ij,nj->n", y, matrix, y)
