"""Newton's method for the pressure of a JKO step that tears mass apart: steep wells, large τ."""

from __future__ import annotations

import numpy as np

from jko.loops.monge_ampere import LEAST, transported
from jko.loops.weighted_multigrid import WeightedMultigrid
from jko.steps.pressure.newton import Iterate, PressureNewton, transport_cost

_DENSE = 14.0  # of log ρ_k below its maximum, where much compression is taken for what it is
_HELD = 24.0  # of log ρ′ below its maximum, from where on p only follows its neighbours
_FOLLOWS = 16.0  # cells, over which it does
_STIFFEST = 100.0  # cells, over which a correction reaches at most
_LARGEST = 1.0  # of ρU″ at the maximum, the residual that a logarithmic row answers
_NEGATIVE = -1e-3  # least eigenvalue of DS that rounding explains
_HALVINGS = 5
_HELPS = 0.7  # times the gap, at most, after an iteration that is worth another


class SteepNewton(PressureNewton):
    """U′(ρ̂) + V = p with ρ̂ = ρ_k(S)·det DS where det DS falls by many powers of ten.

    Where mass is torn apart det DS is tiny, and ρ̂ = U*′(p − V) is linear in it: a row of Newton's equation
    for ρ̂ itself asks for the right determinant at once, one for log ρ̂ overshoots to folded maps. Where
    ρ_k(S) is small, or ρ̂ below its goal, it is the other way round. So each row takes the form in which it
    overshoots least; p − V is shifted so that U*′ has the mass of ρ̂, and in far tails p follows its
    neighbours. The merit of the line search is the Fenchel–Young gap.
    """

    halvings, helps = _HALVINGS, _HELPS

    def __init__(self, energy, tau, spacing, log_density, potential, free, before=None):
        super().__init__(energy, tau, spacing, log_density, potential, free, np.inf, np.inf, before)
        self.bar = float(log_density.max()) - _DENSE
        self.cell_volume = float(np.prod(spacing))

    def at(self, p) -> Iterate:
        log, diagonal, least = transported(self.log_density, p, self.tau, self.spacing, self.free, self.bar)
        share = np.minimum(least.astype(float) / LEAST, 1.0)
        with np.errstate(all="ignore"):
            full = np.exp(log)
            density = full * np.maximum(share, 0.0)
            if not 0.0 < density.sum() < np.inf:
                return Iterate(p, log, density, diagonal, log, 1.0, np.inf, np.nan, 1.0, least, full)
            shift, answer = self.energy.dual.normalise(self.potential - p, float(density.sum()), 1e-9)
            p = p + shift
            work = p - self.potential
            residual, stiffness = self._rows(log, full, share, least, diagonal, work, answer)
            gap = self.energy.gap(density, answer, work) * self.cell_volume
            folds = least < _NEGATIVE
            folded = float(answer[folds].sum() / answer.sum()) if folds.any() else 0.0
            transport = transport_cost(p, density, self.tau, self.spacing)
            log = np.where(share < 1.0, np.log(np.maximum(density, 1e-300)), log)
        gap = gap if np.isfinite(gap) else np.inf
        return Iterate(p, log, density, diagonal, residual, stiffness, gap, transport, folded, least, full)

    def _rows(self, log, full, share, least, diagonal, work, answer):
        """(r, κ) of δ − (κ/ρ̂)∇·(ρ̂ (DS)⁻¹∇δ) = r, single precision."""
        slope, stiffness = self.energy.slope(log, full)
        reach = sum(self.tau / h**2 * g for g, h in zip(diagonal, self.spacing, strict=True))
        excess = slope - work
        linear = np.isfinite(least) & ((excess > 0.0) | (share < 1.0)) & np.isfinite(answer)
        ratio = answer / full
        bend = full * self.energy.internal.second_derivative(np.maximum(answer, 1e-30 * full))
        natural = np.where(linear, bend, stiffness)
        largest = _LARGEST * float(np.broadcast_to(stiffness, full.shape).flat[answer.argmax()])
        held = answer < np.exp(-_HELD) * answer.max()
        kappa = np.minimum(natural, np.where(held, _FOLLOWS, _STIFFEST) ** 2 / reach)
        logarithmic = np.clip(excess, -largest, largest) * (kappa / natural)
        residual = np.where(linear, (share - ratio) * kappa, logarithmic)
        residual[held] = 0.0
        return residual.astype(np.float32), kappa.astype(np.float32)

    def _correction(self, now, reduction):
        mobility = [self.tau / h**2 * g for g, h in zip(now.diagonal, self.spacing, strict=True)]
        log = np.log(np.maximum(now.full, 1e-300))
        correction, spent = WeightedMultigrid(log, now.stiffness, mobility).solve(now.residual, reduction)
        self.linear_iterations += spent
        return correction
