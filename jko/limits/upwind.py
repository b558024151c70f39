"""Transport without diffusion along one axis: limited upwind fluxes, implicit ones for a large τ."""

from __future__ import annotations

import numpy as np

from jko.limits.line_solves import Resolvent
from jko.limits.lines import Lines, jumps, leaving, substeps
from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.face_mobility import upwind
from jko.loops.elliptic.tridiagonal import combine_conserving


class Upwind:
    """Lines of ∂_tρ = ∂(ρ∂Ψ), Ψ fixed: flux −M ∂Ψ with the density M that arrives from upwind.

    Heun's method with van Leer's limiter [VanLeer1974], in substeps that let at most half of a cell out:
    order 2, positive because each stage is an average of densities. Beyond 400 substeps, and for a step of
    order 1, the implicit upwind flux: an M-matrix for any τ. Both lower ΣΨρ, by ΣM|∂Ψ|².
    """

    def prepare(self, lines: Lines, psi: np.ndarray, tau: float, second_order: bool):
        """The face velocities of one sweep of lines in cells a step, and how to take it."""
        turns = lines.closes
        jump = jumps(lines.of(psi), turns) * (tau * lines.conductance)
        if lines.beside_doors is not None:  # which let nothing back
            low, high = lines.beside_doors
            jump = np.clip(jump, np.where(low, 0.0, -np.inf), np.where(high, 0.0, np.inf))
        right, left = lines.a_cell(np.maximum(-jump, 0.0), np.maximum(jump, 0.0))
        count = substeps(2.0 * leaving(right, left, turns).max(), TOLERANCES.upwind_substeps + 1)
        if second_order and count <= TOLERANCES.upwind_substeps:
            return (jump / count, turns, lines.volumes), count
        return Resolvent(right, left, turns), 0

    def sweep(self, rho: np.ndarray, prepared: tuple) -> np.ndarray:
        """One step of every line of `[n, lines]`."""
        data, count = prepared
        if count == 0:
            one, out = data(rho.copy(), True), np.empty_like(rho)
            combine_conserving(rho.sum(axis=0), 0.0, one, one, out)
            return out
        for _ in range(count):
            rho = 0.5 * (rho + _euler(_euler(rho, *data), *data))
        return rho


def _euler(rho: np.ndarray, jump: np.ndarray, periodic: bool, volumes: np.ndarray | None):
    if periodic:
        return _euler_around(rho, jump)
    mobility, density = np.empty_like(jump), rho if volumes is None else rho / volumes
    upwind(density, np.concatenate([np.zeros((1, jump.shape[1])), np.cumsum(jump, axis=0)]), mobility)
    flux = mobility * jump
    out = rho.copy()
    out[:-1] += flux
    out[1:] -= flux
    return np.maximum(out, 0.0)


def _euler_around(rho: np.ndarray, jump: np.ndarray):
    """Two cells of the other end on either side, as far as the limiter looks."""
    around = np.arange(-2, rho.shape[0] + 2) % rho.shape[0]
    wide = np.ascontiguousarray(rho[around])
    faces = jump[around[:-1]]
    mobility = np.empty_like(faces)
    upwind(wide, np.concatenate([np.zeros((1, jump.shape[1])), np.cumsum(faces, axis=0)]), mobility)
    flux = mobility[2:-1] * jump
    return np.maximum(rho + flux - np.roll(flux, 1, axis=0), 0.0)
