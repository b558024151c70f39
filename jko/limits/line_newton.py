"""Newton's method for an implicit stage on lines, with a line search on its convex dual."""

from __future__ import annotations

import numpy as np

from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.monotone_newton import advance, direction

TINY = 1e-300


class LineNewton:
    """The iterate of Newton's method: (ρ, p) on the graph p = U′(ρ), all lines at once."""

    def __init__(self, problem, base: np.ndarray, start: np.ndarray, psi: np.ndarray, cap: np.ndarray):
        self.problem, self.base, self.psi, self.cap = problem, base, psi, cap
        self.scale = base.mean(axis=0)
        self.empty = self.scale <= TINY
        with np.errstate(all="ignore"):
            self.p_full = np.where(np.isfinite(cap), self.slope(np.where(np.isfinite(cap), cap, 1.0)), np.inf)
        self.p_empty = np.full(base.shape, problem.p_empty)
        floor = 0.0 if np.isfinite(problem.p_empty) else TOLERANCES.newton_floor
        self.rho = np.clip(np.maximum(start, floor * self.scale), 0.0, cap)
        self.rho[:, self.empty] = 0.0
        vertical = np.isinf(problem.curvature(np.zeros(1))[0])
        self.side = np.where((self.rho == 0.0) & vertical & ~self.empty, -1, 0).astype(np.int8)
        self.p = self.slope(self.rho)
        self.p[:, self.empty] = 0.0

    def slope(self, rho: np.ndarray):
        """The p of ρ on the graph."""
        return self.problem.slope(rho)

    def newton(self, mobility: np.ndarray, most: int, guarded: bool = False):
        """At most so many iterations; returns whether all lines reached the tolerance."""
        shape = self.base.shape
        step_rho, step_p, residual = np.empty(shape), np.empty(shape), np.empty(shape[1])
        mobility = np.where(self.empty, 0.0, mobility)
        best, since = np.inf, 0
        for _ in range(most):
            self._direction(mobility, step_rho, step_p, residual)
            done = (residual <= 1.0) | self.empty
            self.worst = float(residual.max())
            if done.all():
                return True
            worst = float(residual.sum())
            best, since = (worst, 0) if worst < 0.99 * best else (best, since + 1)
            if since > (3 if guarded else 1) * TOLERANCES.stalled_iterations or not np.all(
                np.isfinite(step_p) & np.isfinite(step_rho)
            ):
                return False
            if guarded:
                self._searched(mobility, step_rho, step_p, done)
            else:
                self.rho, self.p, self.side = self._moved(mobility, step_rho, step_p, done)
        return False

    def _direction(
        self, mobility: np.ndarray, step_rho: np.ndarray, step_p: np.ndarray, residual: np.ndarray
    ):
        """Newton's step for a fixed M, and each line's residual over its tolerance."""
        curvature = self.problem.curvature(self.rho)
        state = self.rho, self.p, self.psi, self.base, curvature, self.side
        direction(
            *state,
            mobility,
            TOLERANCES.line_touch / mobility.shape[0] ** 2,
            step_rho,
            step_p,
            residual,
        )

    def _conductance(self, mobility: np.ndarray):
        """The sum of M over the faces of each cell."""
        out = np.zeros(self.rho.shape)
        out[:-1] += mobility
        out[1:] += mobility
        return out

    def _tension(self, mobility: np.ndarray, xi: np.ndarray):
        """ΣM|Δξ|² on each line."""
        return (mobility * np.diff(xi, axis=0) ** 2).sum(axis=0)

    def _moved(self, mobility: np.ndarray, step_rho: np.ndarray, step_p: np.ndarray, done: np.ndarray):
        rho, p, side = self.rho.copy(), self.p.copy(), self.side.copy()
        by_pressure = np.empty(rho.shape, dtype=np.bool_)
        limits = self.p_empty, self.p_full, self.cap, self.scale
        advance(rho, p, side, step_rho, step_p, self._conductance(mobility), *limits, done, by_pressure)
        return rho, np.where(by_pressure, p, self.slope(rho)), side

    def _searched(self, mobility: np.ndarray, step_rho: np.ndarray, step_p: np.ndarray, done: np.ndarray):
        """The step, halved on each line until the convex dual of the stage no longer rises."""
        before = self._dual(mobility, self.rho, self.p)
        length = np.ones(len(self.scale))
        for _ in range(30):
            rho, p, side = self._moved(mobility, length * step_rho, length * step_p, done)
            after = self._dual(mobility, rho, p)
            bad = ~(after <= before + TOLERANCES.dual_rounding * np.abs(before)) & ~done
            if not bad.any():
                break
            length[bad] *= 0.5
        self.rho, self.p, self.side = rho, p, side

    def _dual(self, mobility: np.ndarray, rho: np.ndarray, p: np.ndarray):
        """Σ U*(p) − base·(p + Ψ) + ½ M|Δ(p + Ψ)|² on each line, U* by Fenchel's equality on the graph."""
        excess = rho - self.base
        with np.errstate(all="ignore"):
            value = excess * p - self.problem.energy(rho)
        return value.sum(axis=0) + 0.5 * self._tension(mobility, p + self.psi)
