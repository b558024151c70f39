"""Transport without diffusion along one axis: limited upwind fluxes, implicit ones for a large τ."""

from __future__ import annotations

import numpy as np

from jko.kernels.face_mobility import upwind
from jko.kernels.tridiagonal import combine_conserving, factor, solve
from jko.limits.lines import lines_along

_MOST_SUBSTEPS = 400


class Upwind:
    """Lines of ∂_tρ = ∂(ρ∂Ψ), Ψ fixed: flux −M ∂Ψ with the density M that arrives from upwind.

    Heun's method with van Leer's limiter [VanLeer1974], in substeps that let at most half of a cell out:
    order 2, positive because each stage is an average of densities. Beyond 400 substeps, and for a step of
    order 1, the implicit upwind flux: an M-matrix for any τ. Both lower ΣΨρ, by ΣM|∂Ψ|².
    """

    def __init__(self, spacing: tuple[float, ...]):
        self.spacing = spacing

    def prepare(self, psi: np.ndarray, axis: int, tau: float, second_order: bool):
        """The face velocities of one sweep in cells a step, and how to take it."""
        jump = np.diff(lines_along(psi, axis), axis=0) * (tau / self.spacing[axis] ** 2)
        right, left = np.maximum(-jump, 0.0), np.maximum(jump, 0.0)
        out = np.zeros((jump.shape[0] + 1, jump.shape[1]))
        out[:-1] += right
        out[1:] += left
        substeps = max(1, int(np.ceil(2.0 * out.max())))
        if second_order and substeps <= _MOST_SUBSTEPS:
            return jump / substeps, substeps
        multiplier, inverse = np.empty_like(right), np.empty_like(out)
        factor(np.ones_like(out), right, left, multiplier, inverse)
        return (multiplier, inverse, left), 0

    def sweep(self, rho: np.ndarray, prepared) -> np.ndarray:
        """One step of every line of `[n, lines]`."""
        data, substeps = prepared
        if substeps == 0:
            multiplier, inverse, left = data
            one, out = np.empty_like(rho), np.empty_like(rho)
            solve(multiplier, inverse, left, rho, one)
            combine_conserving(rho.sum(axis=0), 0.0, one, one, out)
            return out
        for _ in range(substeps):
            rho = 0.5 * (rho + _euler(_euler(rho, data), data))
        return rho


def _euler(rho, jump):
    mobility = np.empty_like(jump)
    upwind(rho, np.concatenate([np.zeros((1, jump.shape[1])), np.cumsum(jump, axis=0)]), mobility)
    flux = mobility * jump
    out = rho.copy()
    out[:-1] += flux
    out[1:] -= flux
    return np.maximum(out, 0.0)
