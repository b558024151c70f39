"""Flows of costs |y − x|^p on a line: ∂_tρ = ∂_x(ρ|∂_xξ|^{q−2}∂_xξ), implicit on all cells together."""

from __future__ import annotations

from typing import Any

import numpy as np

from functionals.parts import Parts
from jko.errors import UnsupportedFunctional
from jko.limits.coupled import CoupledDiffusion
from jko.limits.tolerances import TOLERANCES
from jko.measures import Density, Grid


class CostCarrier:
    """The exponent p of a cost, q = p/(p − 1): what carries mass at the velocity −|∂_xξ|^{q−2}∂_xξ."""

    def __init__(self, exponent: float):
        self.q = exponent / (exponent - 1.0)

    def solver(self, parts: Parts, grid: Grid) -> PowerDiffusion:
        """The implicit steps of these parts."""
        return PowerDiffusion(parts, grid, self.q)


class PowerDiffusion(CoupledDiffusion):
    """ρ′ − base = s∂_x(M|∂_xξ|^{q−2}∂_xξ), ξ = δF/δρ(ρ′) + Ψ, M on the faces as in `CoupledDiffusion`.

    What leaves a cell is a multiple of what it holds, so that ρ′ ≥ 0, and the convex part of F falls by
    ΣM|∂_xξ|^q and more, whatever s.

    For q < 2 the derivative of |d|^{q−2}d is ∞ at d = 0, and Newton's method goes back and forth across it:
    there |d|^{q−2} of the last iterate stands in its place, Kačanov's method, which converges by a factor of
    at most 2 − q a step [FucikKratochvilNecas1973].
    """

    def __init__(self, parts: Parts, grid: Grid, q: float):
        super().__init__(parts, grid)
        self.q, self.spacing = q, grid.spacing[0]

    def _velocity(self, slope: np.ndarray):
        return np.sign(slope) * np.abs(slope) ** (self.q - 1.0)

    def _pull(self, drop: np.ndarray):
        slope = drop / self.spacing
        steepest = float(np.max(np.abs(slope), where=np.isfinite(slope), initial=np.finfo(float).tiny))
        near = np.maximum(np.abs(slope), TOLERANCES.flat * steepest) ** (self.q - 2.0)
        return self._velocity(slope) * self.spacing, near * max(self.q - 1.0, 1.0)

    def _blur(self, drop: np.ndarray, rounding: np.ndarray):
        slope, more = np.abs(drop) / self.spacing, rounding / self.spacing
        return (self._velocity(slope + more) - self._velocity(slope)) * self.spacing

    def _searched(self, rho, step, before, base, psi, weight):
        if self.q >= 2.0:
            return super()._searched(rho, step, before, base, psi, weight)
        new = np.maximum(rho + step, 0.1 * rho if self.steep else 0.0)  # an iteration whose residual may rise
        return new, self._residual(new, base, psi, weight), True


def refuse(F: Any, mu: Density, beside: bool) -> None:
    """Refuse what is not taken beside a cost other than the square, by name."""
    if F.parts.constraints:
        raise UnsupportedFunctional(
            f"limits.FiniteVolume takes no cap beside a cost_exponent, got {F!r}: take "
            "steps.Quantile(cost_exponent=), or leave the cap out"
        )
    if len(mu.grid.cells) > 1:
        raise ValueError(
            f"cost_exponent: limits.FiniteVolume takes one on the line, got {mu.dimension} dimensions: take "
            "Grid.radial and steps.Quantile(cost_exponent=) for what depends on |x| alone"
        )
    if beside or mu.grid.exits is not None:
        raise ValueError(
            "cost_exponent: limits.FiniteVolume takes no mobility, metric, reaction nor doors beside one: "
            "leave them out, or take cost_exponent=2"
        )
