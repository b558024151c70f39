"""How wide a blob is, where the user does not say."""

from __future__ import annotations

import numpy as np


def silverman(mu) -> float:
    """σ (4/((d + 2) n))^{1/(d+4)} [Silverman1986, eq. 4.14].

    σ² is the mean variance of a coordinate and 1/n = Σ w_i².
    """
    d = mu.dimension
    deviation = float(np.sqrt(np.trace(np.atleast_2d(mu.covariance())) / d))
    count = 1.0 / float(np.sum(np.asarray(mu.weights, dtype=float) ** 2))
    return deviation * (4.0 / ((d + 2.0) * count)) ** (1.0 / (d + 4.0))
