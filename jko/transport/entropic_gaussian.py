"""Entropic transport between Gaussians in closed form [JanatiEtAl2020], [MallastoGerolinMinh2022]."""

from __future__ import annotations

import numpy as np


def symmetric_root(S):
    """S^½ of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(S)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def gaussian_cost(mean0, S0, mean1, S1, epsilon) -> float:
    """min ∫|x − y|²dπ + ε KL(π | N₀⊗N₁), with s² = ε/2 and D = (4 S₀^½S₁S₀^½ + s⁴)^½:
    |m₀ − m₁|² + tr(S₀ + S₁ − D) + d s²(1 − log 2s²) + s² log det(D + s²), with D − s² for large s as it
    rounds least."""
    s2 = 0.5 * epsilon
    root = symmetric_root(S0)
    excess = _excess(np.linalg.eigvalsh(root @ S1 @ root), s2)
    shift = np.sum((np.asarray(mean0) - mean1) ** 2)
    trace = np.trace(S0) + np.trace(S1) - excess.sum()
    return float(shift + trace + s2 * np.sum(np.log1p(0.5 * excess / s2)))


def cross_covariance(S0, S1, epsilon):
    """Cov(X, Y) under the entropic plan, ½(S₀^½ (4S₀^½S₁S₀^½ + s⁴)^½ S₀^{−½} − s²) with s² = ε/2."""
    s2 = 0.5 * epsilon
    root = symmetric_root(S0)
    values, vectors = np.linalg.eigh(root @ S1 @ root)
    inner = (vectors * _excess(values, s2)) @ vectors.T
    return 0.5 * root @ inner @ np.linalg.inv(root)


def _excess(values, s2):
    """(4λ + s⁴)^½ − s² without cancellation."""
    values = 4.0 * np.maximum(values, 0.0)
    return values / (np.hypot(np.sqrt(values), s2) + s2)
