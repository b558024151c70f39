"""The transposed of a stencil whose weights differ from cell to cell."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, fastmath={"contract", "nsz"})
def scatter(field: np.ndarray, weights: np.ndarray, places: np.ndarray, offsets: np.ndarray, out: np.ndarray):
    """out[places + offsets_k] += weights_k·field: `field` and `places` `[N]`, `weights` `[N, K]`."""
    for i in range(field.size):
        value, place = field[i], places[i]
        for k in range(offsets.size):
            out[place + offsets[k]] += weights[i, k] * value
