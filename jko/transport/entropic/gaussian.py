"""Entropic transport and bridges between Gaussians [JanatiEtAl2020], [MallastoGerolinMinh2022]."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.errors import fraction
from jko.measures import Gaussian
from jko.transport.distances.common_kind import checked_points
from jko.transport.entropic.bridge import SchrodingerBridge


def symmetric_root(S: np.ndarray):
    """S^½ of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(S)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def gaussian_cost(
    mean0: np.ndarray, S0: np.ndarray, mean1: np.ndarray, S1: np.ndarray, epsilon: float
) -> float:
    """min ∫|x − y|²dπ + ε KL(π | N₀⊗N₁), with s² = ε/2 and D = (4 S₀^½S₁S₀^½ + s⁴)^½:
    |m₀ − m₁|² + tr(S₀ + S₁ − D) + d s²(1 − log 2s²) + s² log det(D + s²), with D − s² for large s as it
    rounds least."""
    s2 = 0.5 * epsilon
    root = symmetric_root(S0)
    excess = _excess(np.linalg.eigvalsh(root @ S1 @ root), s2)
    shift = np.sum((np.asarray(mean0) - mean1) ** 2)
    trace = np.trace(S0) + np.trace(S1) - excess.sum()
    return float(shift + trace + s2 * np.sum(np.log1p(0.5 * excess / s2)))


def cross_covariance(S0, S1, epsilon: float):
    """Cov(X, Y) under the entropic plan, ½(S₀^½ (4S₀^½S₁S₀^½ + s⁴)^½ S₀^{−½} − s²) with s² = ε/2."""
    s2 = 0.5 * epsilon
    root = symmetric_root(S0)
    values, vectors = np.linalg.eigh(root @ S1 @ root)
    inner = (vectors * _excess(values, s2)) @ vectors.T
    return 0.5 * root @ inner @ np.linalg.inv(root)


def _excess(values: np.ndarray, s2: float):
    """(4λ + s⁴)^½ − s² without cancellation."""
    values = 4.0 * np.maximum(values, 0.0)
    return values / (np.hypot(np.sqrt(values), s2) + s2)


@dataclass(frozen=True, eq=False)
class GaussianBridge(SchrodingerBridge):
    """Marginals are Gaussian and velocities affine: with C = Cov(X₀, X₁) of the static plan,
    Σ_t = (1−t)²Σ₀ + t²Σ₁ + t(1−t)(C + Cᵀ + 2ε), and v = (E[X₁ | X_t] − X_t)/(1 − t)."""

    mu: Gaussian
    nu: Gaussian
    cross: np.ndarray

    @property
    def dimension(self) -> int:
        """d."""
        return self.mu.dimension

    def marginal(self, t) -> Gaussian:
        """ρ_t."""
        t = fraction("t", t)
        m0, m1, S0, S1 = self.mu.mean(), self.nu.mean(), self.mu.covariance(), self.nu.covariance()
        noise = self.cross + self.cross.T + 2.0 * self.epsilon * np.eye(self.dimension)
        return Gaussian((1.0 - t) * m0 + t * m1, (1.0 - t) ** 2 * S0 + t**2 * S1 + t * (1.0 - t) * noise)

    def drift(self, x, t) -> np.ndarray:
        """2ε∇log Ψ_t at points `[n, d]`."""
        return self._affine(checked_points(x, self.dimension), self._slope(t), t)

    def current_velocity(self, x, t) -> np.ndarray:
        """ε(∇log Ψ_t − ∇log Ψ̂_t) at points `[n, d]`."""
        score = -np.linalg.inv(self.marginal(t).covariance())
        slope = self._slope(t) - self.epsilon * score
        return self._affine(checked_points(x, self.dimension), slope, t)

    def _affine(self, x, slope, t):
        return self.nu.mean() - self.mu.mean() + (x - self.marginal(t).mean()) @ slope.T

    def _slope(self, t):
        """∇v: Cov(X₁ − X_t, X_t)/(1 − t) over Σ_t, in which 1 − t cancels."""
        t, C = fraction("t", t), self.cross
        S0, S1 = self.mu.covariance(), self.nu.covariance()
        moved = t * (S1 - C) - (1.0 - t) * (S0 - C.T) - 2.0 * self.epsilon * t * np.eye(self.dimension)
        return moved @ np.linalg.inv(self.marginal(t).covariance())

    def _kinetic(self, t):
        slope, shift = self._slope(t), self.nu.mean() - self.mu.mean()
        return 0.5 * (shift @ shift + np.trace(slope @ self.marginal(t).covariance() @ slope.T))

    def _start(self, n, seed: int):
        return self.mu.sample(n, seed).positions


def bridge_between_gaussians(mu, nu, epsilon: float) -> GaussianBridge:
    """½ of the static cost at 4ε, plus 2ε of the entropy of nu relative to a step of the heat flow."""
    S0, S1 = mu.covariance(), nu.covariance()
    static = gaussian_cost(mu.mean(), S0, nu.mean(), S1, 4.0 * epsilon)
    entropy = 0.5 * np.linalg.slogdet(2.0 * np.pi * math.e * S1)[1]
    cost = 0.5 * static + 2.0 * epsilon * (0.5 * mu.dimension * np.log(4.0 * np.pi * epsilon) - entropy)
    cross = cross_covariance(S0, S1, 4.0 * epsilon)
    return GaussianBridge(epsilon, float(cost), 0.0, 0.0, 0, "closed form between Gaussians", mu, nu, cross)
