"""Entropic transport between Gaussians in closed form [JanatiEtAl2020], [MallastoGerolinMinh2022]."""

from __future__ import annotations

import numpy as np


def symmetric_root(S):
    """S^½ of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(S)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def gaussian_cost(mean0, S0, mean1, S1, epsilon) -> float:
    """min ∫|x − y|²dπ + ε KL(π | N₀⊗N₁), with s² = ε/2 and D = (4 S₀^½S₁S₀^½ + s⁴)^½:
    |m₀ − m₁|² + tr(S₀ + S₁ − D) + d s²(1 − log 2s²) + s² log det(D + s²)."""
    s2 = 0.5 * epsilon
    root = symmetric_root(S0)
    d = np.sqrt(4.0 * np.maximum(np.linalg.eigvalsh(root @ S1 @ root), 0.0) + s2**2)
    shift = np.sum((np.asarray(mean0) - mean1) ** 2)
    trace = np.trace(S0) + np.trace(S1) - d.sum()
    # s²[log((d + s²)/2s²) + 1] an axis
    return float(shift + trace + s2 * np.sum(1.0 + np.log((d + s2) / (2.0 * s2))))


def cross_covariance(S0, S1, epsilon):
    """Cov(X, Y) under the entropic plan, ½(S₀^½ (4S₀^½S₁S₀^½ + s⁴)^½ S₀^{−½} − s²) with s² = ε/2."""
    s2 = 0.5 * epsilon
    root = symmetric_root(S0)
    inner = symmetric_root(4.0 * root @ S1 @ root + s2**2 * np.eye(len(S0)))
    return 0.5 * (root @ inner @ np.linalg.inv(root) - s2 * np.eye(len(S0)))
