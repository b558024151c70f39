"""Transport under a cap without diffusion, along one axis: crowd motion with its pressure."""

from __future__ import annotations

import numpy as np

from jko.kernels.box_newton import minimise
from jko.kernels.face_mobility import upwind
from jko.limits.lines import lines_along
from jko.limits.nonlinear_diffusion import NotSolved, conserving

_MOST_SUBSTEPS = 100
_SOFTNESS = 1e-4
_ACCEPTED = 1e5  # of a tolerance of 1e-13: mass is made exact and the energy is checked


class CrowdMotion:
    """Lines of ∂_tρ = ∂(ρ∂(p + Ψ)), 0 ≤ ρ ≤ cap, p ≥ 0, p(cap − ρ) = 0 [MauryRoudneffChupinSantambrogio2010].

    In substeps that carry at most half of a cell away, each the minimiser of Ψ·ρ + ‖ρ − base‖²/2s in H⁻¹(M)
    over 0 ≤ ρ ≤ cap, M the limited upwind density. The problem is made strictly convex by ε‖ρ − base‖²/2, ε
    = 10⁻⁴ times the jump of Ψ between cells over the largest density: a proximal term, which cannot raise
    the energy.
    """

    def __init__(self, cap: np.ndarray, spacing: tuple[float, ...]):
        self.cap, self.spacing = cap, spacing

    def prepare(self, psi, axis, tau, second_order):
        """Ψ and cap on lines, and the substeps."""
        psi = lines_along(psi, axis)
        step = tau / self.spacing[axis] ** 2
        out = step * np.max(np.abs(np.diff(psi, axis=0)), initial=0.0)
        substeps = int(np.clip(np.ceil(2.0 * out), 1, _MOST_SUBSTEPS if second_order else 1))
        return psi, lines_along(self.cap, axis), step / substeps, substeps

    def sweep(self, rho, prepared):
        """One step of every line of `[n, lines]`; raises NotSolved."""
        psi, cap, step, substeps = prepared
        for _ in range(substeps):
            middle = 0.5 * (rho + self._stage(rho, rho, psi, cap, step))
            rho = self._stage(rho, middle, psi, cap, step)
        return rho

    def _stage(self, base, carried, psi, cap, step):
        mobility = np.empty((base.shape[0] - 1, base.shape[1]))
        upwind(carried, psi, mobility)
        jump = np.max(np.abs(np.diff(psi, axis=0)), initial=0.0)
        if jump == 0.0:
            return base
        softness = _SOFTNESS * jump / base.max()
        tolerance = 1e-13 * base.max() + 1e-14 * step * mobility.max() * np.abs(psi).max()
        rho, _, worst = minimise(
            np.zeros_like(base), psi, base, cap, step * mobility, softness, 60, tolerance
        )
        if not worst <= _ACCEPTED * tolerance:
            raise NotSolved(f"residual {worst:.1e}, tolerance {tolerance:.1e}")
        return conserving(base, rho, cap)
