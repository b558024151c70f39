"""Any convex internal energy and any cap along one axis: an implicit step as a convex problem a line."""

from __future__ import annotations

import numpy as np

from jko.kernels.face_mobility import blended
from jko.kernels.monotone_newton import advance, direction
from jko.kernels.tridiagonal import limit_fluxes
from jko.limits.lines import lines_along

_FLOOR = 1e-6
_TINY = 1e-300
_STALLED = 15


class NotSolved(Exception):
    """Newton's method did not reach its tolerance on some line."""


class NonlinearDiffusion:
    """Lines of ρ′ − base = s ∂(M∂ξ), ξ ∈ ∂(U + ι_[0, cap])(ρ′) + Ψ.

    With M ≥ 0 frozen this is the optimality condition of min Σ U(ρ) + Ψρ + ‖ρ − base‖²/2s in the H⁻¹ norm of weight M,
    over 0 ≤ ρ ≤ cap: whatever M and s, the solution is positive, has the mass of `base`, and (base ≥ 0) less
    energy. M is then iterated towards M(ρ′), so that fronts may cross many cells in a step.
    """

    def __init__(self, internal, cap: np.ndarray, spacing: tuple[float, ...]):
        self.internal = internal
        self.cap = cap
        self.spacing = spacing
        self.p_empty = float(self.slope(np.zeros(1))[0])

    def slope(self, rho):
        """U′(ρ)."""
        return np.asarray(self.internal.derivative(rho))

    def curvature(self, rho):
        """U″(ρ) ≥ 0, inf where the graph is vertical."""
        with np.errstate(all="ignore"):
            values = np.asarray(self.internal.second_derivative(rho))
        return np.where(np.isnan(values), np.inf, np.maximum(values, 0.0))

    def mobility(self, rho, p, psi):
        """M on the faces, ≥ 0."""
        out = np.empty((rho.shape[0] - 1, rho.shape[1]))
        xi = np.where(np.isfinite(p), p, -1e300) + psi
        safe = np.maximum(rho, _TINY)
        with np.errstate(all="ignore"):
            slope = self.slope(safe)
            pressure = safe * slope - np.asarray(self.internal.density(safe))
            diffusivity = safe * self.curvature(safe)
        blended(rho, slope, pressure, np.nan_to_num(diffusivity, nan=0.0, posinf=1e300), psi, xi, out)
        return out

    def prepare(self, psi, axis, tau, second_order):
        """What a sweep needs of a fixed Ψ `[*cells]`."""
        return lines_along(psi, axis), lines_along(self.cap, axis), tau / self.spacing[axis] ** 2, second_order

    def sweep(self, rho, prepared):
        """One step of every line of `[n, lines]`: SDIRK of order 2, or implicit Euler [Alexander1977]."""
        psi, cap, step, second_order = prepared
        if not second_order:
            return self.implicit(rho, rho, psi, cap, step)
        gamma = 1.0 - np.sqrt(0.5)
        stage = self.implicit(rho, rho, psi, cap, gamma * step)
        base = rho + (1.0 / gamma - 1.0) * (stage - rho)
        try:
            return self.implicit(base, stage, psi, cap, gamma * step)
        except NotSolved:
            # Where the extrapolated base is negative beyond what can flow in, its fluxes are limited.
            return self.implicit(_admissible(stage, base, cap), stage, psi, cap, gamma * step)

    def implicit(self, base, start, psi, cap, step, rounds=24):
        """ρ′ of one implicit stage; raises NotSolved.

        Where Newton's method fails the stage is made more convex by ε‖ρ − base‖²/2: as a
        proximal step, it lowers the energy of base for any ε, and moves the less the larger ε is.
        """
        jump = np.max(np.abs(np.diff(psi, axis=0)), initial=0.0) / max(base.max(), _TINY)
        for relative in (0.0, 0.1, 10.0, 1e3) if base.min() >= 0.0 else (0.0,):
            try:
                return self._implicit(_Line(self, base, start, psi, cap, relative * jump), step, rounds)
            except NotSolved as error:
                failure = error
        raise failure

    def _implicit(self, line, step, rounds):
        mobility = self.mobility(line.rho, line.p, line.psi)
        for count in range(rounds):
            before = line.rho.copy()
            line.newton(step * mobility, 2)
            change = np.max(np.abs(line.rho - before), initial=0.0)
            if not change > 1e-9 * np.max(line.rho, initial=_TINY):
                break
            new = self.mobility(line.rho, line.p, line.psi)
            mobility = new if count < 6 else 0.5 * (mobility + new)
        if not (line.newton(step * mobility, 40) or line.newton(step * mobility, 200, guarded=True)):
            raise NotSolved
        return conserving(line.base, line.rho, line.cap)


class _Line:
    """The iterate of Newton's method: (ρ, p) on the graph p = U′(ρ) + ε(ρ − base), all lines at once."""

    def __init__(self, problem, base, start, psi, cap, proximal):
        self.problem, self.base, self.psi, self.cap, self.proximal = problem, base, psi, cap, proximal
        self.scale = base.mean(axis=0)
        self.empty = self.scale <= _TINY
        with np.errstate(all="ignore"):
            self.p_full = np.where(np.isfinite(cap), self.slope(np.where(np.isfinite(cap), cap, 1.0)), np.inf)
        self.p_empty = problem.p_empty - proximal * base
        floor = 0.0 if np.isfinite(problem.p_empty) else _FLOOR
        self.rho = np.clip(np.maximum(start, floor * self.scale), 0.0, cap)
        self.rho[:, self.empty] = 0.0
        self.side = np.zeros(base.shape, dtype=np.int8)
        self.p = self.slope(self.rho)
        self.p[:, self.empty] = 0.0

    def slope(self, rho):
        """The p of ρ on the graph."""
        return self.problem.slope(rho) + self.proximal * (rho - self.base)

    def newton(self, mobility, most, guarded=False):
        """At most so many iterations; returns whether all lines reached the tolerance."""
        shape = self.base.shape
        step_rho, step_p, residual = np.empty(shape), np.empty(shape), np.empty(shape[1])
        mobility = np.where(self.empty, 0.0, mobility)
        best, since = np.inf, 0
        for _ in range(most):
            curvature = self.problem.curvature(self.rho) + self.proximal
            direction(
                self.rho, self.p, self.psi, self.base, curvature, self.side, mobility, step_rho, step_p, residual
            )
            done = (residual <= 1.0) | self.empty
            if done.all():
                return True
            worst = float(residual.sum())
            best, since = (worst, 0) if worst < 0.99 * best else (best, since + 1)
            if since > _STALLED or not np.all(np.isfinite(step_p) & np.isfinite(step_rho)):
                return False
            if guarded:
                self._searched(mobility, step_rho, step_p, done)
            else:
                self.rho, self.p, self.side = self._moved(mobility, step_rho, step_p, done)
        return False

    def _moved(self, mobility, step_rho, step_p, done):
        rho, p, side = self.rho.copy(), self.p.copy(), self.side.copy()
        by_pressure = np.empty(rho.shape, dtype=np.bool_)
        limits = self.p_empty, self.p_full, self.cap, self.scale
        advance(rho, p, side, step_rho, step_p, mobility, *limits, done, by_pressure)
        return rho, np.where(by_pressure, p, self.slope(rho)), side

    def _searched(self, mobility, step_rho, step_p, done):
        """The step, halved on each line until the convex dual of the stage no longer rises."""
        before = self._dual(mobility, self.rho, self.p)
        length = np.ones(len(self.scale))
        for _ in range(30):
            rho, p, side = self._moved(mobility, length * step_rho, length * step_p, done)
            after = self._dual(mobility, rho, p)
            bad = ~(after <= before + 1e-13 * np.abs(before)) & ~done
            if not bad.any():
                break
            length[bad] *= 0.5
        self.rho, self.p, self.side = rho, p, side

    def _dual(self, mobility, rho, p):
        """Σ U*(p) − base·(p + Ψ) + ½ M|Δ(p + Ψ)|² on each line, U* by Fenchel's equality on the graph."""
        excess = rho - self.base
        with np.errstate(all="ignore"):
            value = excess * p - np.asarray(self.problem.internal.density(rho)) - 0.5 * self.proximal * excess**2
        return value.sum(axis=0) + 0.5 * (mobility * np.diff(p + self.psi, axis=0) ** 2).sum(axis=0)


def _admissible(stage, base, cap):
    """From stage towards base, as far as 0 and the cap allow: cell by cell at 0, line by line at the cap."""
    limited = np.empty_like(base)
    limit_fluxes(stage, base, 0.0, limited)
    move = limited - stage
    room = np.divide(cap - stage, move, out=np.ones_like(move), where=(limited > cap) & (move > 0.0))
    return np.maximum(stage + np.clip(room.min(axis=0), 0.0, 1.0) * move, 0.0)


def conserving(base, rho, cap):
    """ρ with the mass of `base` on each line: what rounding left is spread where there is room."""
    defect = base.sum(axis=0) - rho.sum(axis=0)
    room = np.minimum(rho, cap - rho)
    total = room.sum(axis=0)
    return rho + room * np.divide(defect, total, out=np.zeros_like(defect), where=total > 0)
