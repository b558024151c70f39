"""Gaussians: their distance, and the optimal map between them."""

from __future__ import annotations

import numpy as np


def bures_wasserstein(mean0: np.ndarray, covariance0: np.ndarray, mean1: np.ndarray, covariance1: np.ndarray):
    """W₂ between N(m0, S0) and N(m1, S1): |m0-m1|² + tr(S0 + S1 - 2 (S1^½ S0 S1^½)^½) under a root.

    Means `[d]`, covariances `[d, d]` symmetric positive semidefinite. The trace is computed as |S0^½ U -
    S1^½|_F² with the best rotation U [BhatiaJainLim2019], which does not cancel: equal covariances give 0,
    not 1e-8.
    """
    root0, root1 = symmetric_root(covariance0), symmetric_root(covariance1)
    left, _, right = np.linalg.svd(root0 @ root1)
    shift = np.asarray(mean0, dtype=np.float64) - np.asarray(mean1, dtype=np.float64)
    spread = root0 @ (left @ right) - root1
    return float(np.sqrt(np.sum(shift**2) + np.sum(spread**2)))


def symmetric_root(matrix: np.ndarray):
    """The positive semidefinite square root of a symmetric positive semidefinite matrix `[d, d]`."""
    values, vectors = np.linalg.eigh(np.asarray(matrix, dtype=np.float64))
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def optimal_matrix(covariance0: np.ndarray, covariance1: np.ndarray):
    """A = S0^-½ (S0^½ S1 S0^½)^½ S0^-½, symmetric positive definite, with A S0 A = S1: x ↦ m1 + A (x -
    m0) is the optimal map from N(m0, S0) to N(m1, S1)."""
    root = symmetric_root(covariance0)
    middle = symmetric_root(root @ covariance1 @ root)
    inverse = np.linalg.inv(root)
    matrix = inverse @ middle @ inverse
    return 0.5 * (matrix + matrix.T)


def gaussian_certificate(mu, nu):
    """The quadratic potentials between two Gaussians, as functions of points `[n, d]`, and their gap."""
    from jko.transport.distances.distance import Certificate

    m0, m1, S0, S1 = mu.mean(), nu.mean(), mu.covariance(), nu.covariance()
    if np.linalg.eigvalsh(S0)[0] <= 0.0 or np.linalg.eigvalsh(S1)[0] <= 0.0:
        raise ValueError(
            "mu, nu: a Gaussian of singular covariance has no potential on all space; sample both"
        )
    forth, back = optimal_matrix(S0, S1), optimal_matrix(S1, S0)

    def psi(x):
        return _half_square(x) - _quadratic(x, m0, forth, m1)

    def phi(y):
        return _half_square(y) - _quadratic(y, m1, back, m0) + m0 @ m1

    # ∫ of a quadratic, with u(m0) = m0·m1 and u*(m1) = 0 by the choice of constants
    dual = m0 @ m0 + m1 @ m1 - 2.0 * m0 @ m1 + np.trace(S0 + S1) - np.trace(forth @ S0) - np.trace(back @ S1)
    return Certificate((psi, phi), float(bures_wasserstein(m0, S0, m1, S1) ** 2 - dual))


def _half_square(x):
    return 0.5 * np.sum(np.square(x), axis=-1)


def _quadratic(x, centre, matrix, slope):
    away = np.asarray(x, dtype=float) - centre
    return 0.5 * np.sum(away @ matrix * away, axis=-1) + x @ slope
