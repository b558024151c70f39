"""Loops of the dynamic step: the projection of all slices in each mode of the transforms."""

from __future__ import annotations

import numpy as np
from numba import njit

_MATH = {"contract", "nsz", "reassoc", "arcp"}


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def inverses_of_modes(laplacian: np.ndarray, mean: np.ndarray, theta: float, weight: float, out: np.ndarray):
    """out `[modes, K, K]` ← (I + L T M Tᵀ)^{-1} of each mode, T summing over later slices, M = theta·mean·B +
    weight·I with B tridiagonal of 2, the last 1, and 1 beside. As (I + T L M Tᵀ) = T (T^{-1}T^{-ᵀ} + L M) Tᵀ
    it is T^{-ᵀ}(T^{-1}T^{-ᵀ} + L M)^{-1}T^{-1}, tridiagonal inside."""
    modes, K, _ = out.shape
    low, d = np.empty(K), np.empty(K)
    for n in range(modes):
        a, b = laplacian[n] * theta * mean[n], laplacian[n] * weight
        # T^{-1} = I − (shift up): T^{-1}T^{-ᵀ} has 2 on the diagonal, the last 1, and −1 beside
        beside = a - 1.0
        for k in range(K):
            last = 1.0 if k == K - 1 else 2.0
            d[k] = last + last * a + b
            if k > 0:
                low[k] = beside / d[k - 1]
                d[k] -= low[k] * beside
        for j in range(K):
            # column j of T^{-1}, e_j − e_{j−1}, through the factors, and T^{-ᵀ} of what it gives
            for k in range(K):
                x = 1.0 if k == j else (-1.0 if k == j - 1 else 0.0)
                out[n, k, j] = x - (low[k] * out[n, k - 1, j] if k > 0 else 0.0)
            for i in range(K):
                k = K - 1 - i
                out[n, k, j] = out[n, k, j] / d[k]
                if k < K - 1:
                    out[n, k, j] -= low[k + 1] * out[n, k + 1, j]
            for i in range(K):
                k = K - 1 - i
                if k > 0:
                    out[n, k, j] -= out[n, k - 1, j]


@njit(cache=True, fastmath=_MATH, error_model="numpy")
def applied_to_modes(inverses: np.ndarray, modes: np.ndarray):
    """Each mode's matrix times its numbers of all slices, `modes` `[K, modes, species]`, in place."""
    K, count, species = modes.shape
    row = np.empty(K, modes.dtype)
    for n in range(count):
        for s in range(species):
            for i in range(K):
                row[i] = 0.0
                for j in range(K):
                    row[i] += inverses[n, i, j] * modes[j, n, s]
            for i in range(K):
                modes[i, n, s] = row[i]
