"""The distance between Gaussians."""

import numpy as np


def bures_wasserstein(mean0, covariance0, mean1, covariance1):
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


def symmetric_root(matrix):
    """The positive semidefinite square root of a symmetric positive semidefinite matrix `[d, d]`."""
    values, vectors = np.linalg.eigh(np.asarray(matrix, dtype=np.float64))
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
