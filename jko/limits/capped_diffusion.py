"""Any convex internal energy under a cap in the plane and in space: an implicit step on the whole grid."""

from __future__ import annotations

import numpy as np

from jko.limits.faces import Faces
from jko.limits.line_newton import LineNewton
from jko.limits.lines import substeps
from jko.limits.nonlinear_diffusion import NonlinearDiffusion, NotSolved, conserving
from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.face_mobility import blended


class CappedDiffusion(NonlinearDiffusion):
    """ρ′ − ρ = s∇·(M∇ξ), ξ ∈ ∂(U + ι_[0, cap])(ρ′) + Ψ, on all axes together.

    As in `CrowdMotion` M is that of the side from which ξ falls, which Newton's method finds with ξ, so that
    each solve is a convex problem and lowers ΣU(ρ) + Ψρ for any s. M is iterated towards M(ρ′): beside vacuum
    M(ρ) is next to nothing. Order 1 in τ, substeps by the slope of Ψ.
    """

    def __init__(self, internal, cap: np.ndarray, faces: Faces):
        super().__init__(internal, cap)
        self.faces = faces
        self.column = faces.of(cap).reshape(-1, 1)

    def evolve(self, rho: np.ndarray, psi: np.ndarray, tau: float, second_order: bool):
        """ρ `[*cells]` after τ with Ψ fixed; raises NotSolved."""
        weight, flat, psi = tau * self.faces.inverse_square, self.faces.of(rho), self.faces.of(psi)
        out = self.faces.leaving(weight * self.faces.difference(psi))
        most = out[flat > TOLERANCES.held * flat.max()].max(initial=0.0)
        count = substeps(most / TOLERANCES.capped_share, TOLERANCES.capped_substeps if second_order else 1)
        now, psi = flat.reshape(-1, 1), psi.reshape(-1, 1)
        for _ in range(count):
            now = self._substep(now, psi, weight / count, TOLERANCES.capped_halvings)
        return self.faces.field(now[:, 0])

    def _substep(self, rho: np.ndarray, psi: np.ndarray, weight: np.ndarray, depth: int):
        try:
            return self._carried(rho, psi, weight)
        except NotSolved:
            if depth == 0:
                raise
        for _ in range(2):
            rho = self._substep(rho, psi, 0.5 * weight, depth - 1)
        return rho

    def _carried(self, rho: np.ndarray, psi: np.ndarray, weight: np.ndarray):
        """A stage with M iterated until its change falls, and is small: M beside vacuum lets next to nothing
        through at first, and changes grow; raises NotSolved."""
        after, change = self._stage(rho, rho, psi, weight), 0.0
        for _ in range(TOLERANCES.capped_rounds):
            before, last, after = after, change, self._stage(rho, after, psi, weight)
            change = np.abs(after - before).max()
            if change <= min(TOLERANCES.capped_settled * after.max(), last):
                return after
        raise NotSolved("M does not settle at that of the answer")

    def _stage(self, base: np.ndarray, carried: np.ndarray, psi: np.ndarray, weight: np.ndarray):
        """ρ′ from `base`, with the M of the density `carried`."""
        fields = carried, *self.diffusion(carried), psi
        sides = [self.faces.by_lines(blended, rising, *fields) for rising in (-1.0, 1.0)]
        newton = GridNewton(self, base, carried, psi, self.column)
        solved = newton.newton(weight[:, None] * np.stack(sides, axis=1), TOLERANCES.capped_iterations)
        if not (solved or newton.worst < TOLERANCES.accepted):
            raise NotSolved(f"residual {newton.worst:.1e} of the tolerance")
        return conserving(base, newton.rho, self.column)


class GridNewton(LineNewton):
    """`LineNewton` with the cells of the grid as one line `[cells, 1]`; M `[faces, 2]` from the lower and the
    higher cell."""

    def _direction(
        self, mobility: np.ndarray, step_rho: np.ndarray, step_p: np.ndarray, residual: np.ndarray
    ):
        faces = self.problem.faces
        rho, p, psi, base, side = (f[:, 0] for f in (self.rho, self.p, self.psi, self.base, self.side))
        curvature = self.problem.curvature(rho)
        flat, size = self._upwind(mobility, self.p + self.psi), np.abs(p) + np.abs(psi)
        with np.errstate(invalid="ignore", over="ignore"):
            right = base - rho + faces.gather(flat * faces.difference(p + psi))
            rounding = (flat * (size[faces.low] + size[faces.high])).max(initial=0.0)
        if not np.isfinite(rounding):
            step_p[:], residual[:] = np.nan, np.inf
            return
        tolerance = 1e-13 * base.max() + 1e-15 * rounding
        residual[:] = np.abs(right).max() / tolerance if tolerance > 0.0 else 0.0
        stiff = (side != 0) | ~np.isfinite(curvature)
        bent = np.where(stiff, 0.0, curvature)
        moves = stiff | (bent * faces.around(flat) > TOLERANCES.negligible)
        inverse = np.divide(1.0, bent, out=np.zeros_like(rho), where=moves & ~stiff)
        change = faces.solve(flat, inverse, right, moves)
        step_p[:, 0] = change
        passed = right + faces.gather(flat * faces.difference(change))
        step_rho[:, 0] = np.where(moves, inverse * change, passed)

    def _upwind(self, mobility: np.ndarray, xi: np.ndarray):
        return np.where(self.problem.faces.difference(xi[:, 0]) > 0.0, mobility[:, 1], mobility[:, 0])

    def _conductance(self, mobility: np.ndarray):
        return self.problem.faces.around(self._upwind(mobility, self.p + self.psi))[:, None]

    def _tension(self, mobility, xi):
        return np.array([self._upwind(mobility, xi) @ self.problem.faces.difference(xi[:, 0]) ** 2])
