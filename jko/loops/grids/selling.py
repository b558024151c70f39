"""A positive definite matrix as a sum of few outer products of grid offsets."""

from __future__ import annotations

import numpy as np


def decompose(matrices: np.ndarray, rounds: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """D = Σₖ λₖ eₖeₖᵀ with λₖ ≥ 0 and eₖ integer, for each of `[n, d, d]`, d = 1, 2.

    In the plane Selling's algorithm: a superbase (b₀, b₁, b₂) of ℤ², b₀ + b₁ + b₂ = 0, is reduced until
    bᵢ·Db_j ≤ 0 for all pairs; then λₖ = −bᵢ·Db_j and eₖ ⟂ bₖ [Selling1874, BonnansZidani2003]. Returns the
    offsets `[n, r, d]`, one of ±e, and the weights `[n, r]`, r = 1 or 3. Each of the `rounds`, ten usually,
    makes the bases more obtuse.
    """
    n, d = matrices.shape[:2]
    if d == 1:
        return np.ones((n, 1, 1), dtype=int), matrices[:, 0, :]
    base = np.tile(np.array([[-1, -1], [1, 0], [0, 1]]), (n, 1, 1))
    for _ in range(rounds):
        products = _products(base, matrices)
        worst = products.argmax(axis=1)
        active = np.flatnonzero(products.max(axis=1) > 1e-13 * np.trace(matrices, axis1=1, axis2=2))
        if active.size == 0:
            break
        k = worst[active]
        i, j = (k + 1) % 3, (k + 2) % 3
        first, second = base[active, i], base[active, j]
        base[active, k], base[active, i], base[active, j] = first - second, -first, second
    weights = np.maximum(-_products(base, matrices), 0.0)
    return _one_of_two_signs(np.stack([-base[..., 1], base[..., 0]], axis=-1)), weights


def _products(base: np.ndarray, matrices: np.ndarray):
    """bᵢ·Db_j for the pair that leaves k out, `[n, 3]`."""
    gram = np.einsum("nia,nab,njb->nij", base, matrices, base)
    return np.stack([gram[:, 1, 2], gram[:, 2, 0], gram[:, 0, 1]], axis=1)


def _one_of_two_signs(e: np.ndarray):
    negative = (e[..., 0] < 0) | ((e[..., 0] == 0) & (e[..., 1] < 0))
    return np.where(negative[..., None], -e, e)
