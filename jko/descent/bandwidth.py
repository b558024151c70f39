"""How wide a blob is, where the user does not say."""

from __future__ import annotations

import numpy as np


def default_bandwidth(mu, kinds) -> float:
    """`silverman` for an entropy alone, whose bias is O(ε⁴); else `root_of_spacing`, for a bias of O(ε²)."""
    return root_of_spacing(mu) if "internal" in kinds else silverman(mu)


def silverman(mu) -> float:
    """σ (4/((d + 2) n))^{1/(d+4)} [Silverman1986, eq. 4.14].

    σ² is the mean variance of a coordinate and 1/n = Σ w_i².
    """
    d = mu.dimension
    return _deviation(mu) * (4.0 / ((d + 2.0) * _count(mu))) ** (1.0 / (d + 4.0))


def root_of_spacing(mu) -> float:
    """σ n^{−1/2d}: ε² is σ times the spacing σ n^{−1/d}, the W₂ error of any n particles.

    Of the vortex blob family ε ∝ h^q, 0 < q < 1, h the spacing [CarrilloCraigPatacchini2019, section 6], with
    q = ½: wide enough for particles at random, of which √n lie within a blob.
    """
    return _deviation(mu) * _count(mu) ** (-0.5 / mu.dimension)


def _deviation(mu):
    return float(np.sqrt(np.trace(np.atleast_2d(mu.covariance())) / mu.dimension))


def _count(mu):
    return 1.0 / float(np.sum(np.asarray(mu.weights, dtype=float) ** 2))
