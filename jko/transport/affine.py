"""The optimal map between Gaussians."""

import numpy as np

from jko.transport.bures import symmetric_root


def optimal_matrix(covariance0, covariance1):
    """A = S0^-½ (S0^½ S1 S0^½)^½ S0^-½, symmetric positive definite, with A S0 A = S1: x ↦ m1 + A (x - m0) is
    the optimal map from N(m0, S0) to N(m1, S1)."""
    root = symmetric_root(covariance0)
    middle = symmetric_root(root @ covariance1 @ root)
    inverse = np.linalg.inv(root)
    matrix = inverse @ middle @ inverse
    return 0.5 * (matrix + matrix.T)
