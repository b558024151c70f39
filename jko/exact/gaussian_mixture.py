"""Fokker-Planck with a quadratic potential, from a mixture of Gaussians."""

from __future__ import annotations

import numpy as np

from functionals.array import Array
from jko.exact.base import ExactSolution, vector
from jko.exact.ornstein_uhlenbeck import OrnsteinUhlenbeck


class GaussianMixture(ExactSolution):
    """The flow of F = θ ∫ρ log ρ + ∫ ½ xᵀ A x ρ from a mixture: linear, so each component flows by itself.

    `means` is a list of numbers or of vectors `[d]`, `stds` as many numbers (or one for all), `weights` as
    many positive numbers, equal by default and scaled to sum 1; `stiffness` and `temperature` as for
    `OrnsteinUhlenbeck`.
    """

    def __init__(
        self,
        means: list,
        stds: list,
        weights: list | None = None,
        stiffness: float = 1.0,
        temperature: float = 1.0,
    ):
        stds = np.broadcast_to(np.asarray(stds, dtype=np.float64), (len(means),))
        weights = np.ones(len(means)) if weights is None else vector("weights", weights)
        if weights.size != len(means) or not np.all(weights > 0.0):
            raise ValueError(
                f"weights: expected {len(means)} positive numbers, one a mean, got {weights.tolist()}"
            )
        self.weights = weights / weights.sum()
        self.components = tuple(
            OrnsteinUhlenbeck(mean, std, stiffness, temperature)
            for mean, std in zip(means, stds, strict=True)
        )
        self.dimension = self.components[0].dimension
        if any(part.dimension != self.dimension for part in self.components):
            raise ValueError(
                "means: expected vectors of one length, got several; give each mean the same dimension"
            )

    def formula(self, t: Array, x: Array):
        return sum(w * part.formula(t, x) for w, part in zip(self.weights, self.components, strict=True))

    def _values(self, t, x):
        return sum(w * part.density(t, x) for w, part in zip(self.weights, self.components, strict=True))
