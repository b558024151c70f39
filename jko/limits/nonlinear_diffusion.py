"""Any convex internal energy and any cap along one axis: an implicit step as a convex problem a line."""

from __future__ import annotations

import numpy as np

from jko.limits.line_newton import TINY, LineNewton
from jko.limits.lines import Lines, substeps
from jko.limits.tolerances import TOLERANCES
from jko.loops.elliptic.face_mobility import blended
from jko.loops.elliptic.tridiagonal import limit_fluxes


class NotSolved(Exception):
    """Newton's method did not reach its tolerance on some line."""


class Frozen(NotSolved):
    """M is 0 beside a cell that holds mass on a slope: shorter steps follow it, no other start does."""


class NonlinearDiffusion:
    """Lines of ρ′ − base = s ∂(M∂ξ), ξ ∈ ∂(U + ι_[0, cap])(ρ′) + Ψ.

    With M ≥ 0 frozen this is the optimality condition of min Σ U(ρ) + Ψρ + ‖ρ − base‖²/2s in the H⁻¹ norm
    of weight M, over 0 ≤ ρ ≤ cap: whatever M and s, the solution is positive, has the mass of `base`, and
    (base ≥ 0) less energy. M is then iterated towards M(ρ′), so that fronts may cross many cells in a step.

    On a line with edges of its own the unknown is the mass m in cells of the `volumes` `[n, 1]`: U is then
    |c|U(m/|c|), and M that of the density m/|c|.
    """

    most_substeps = TOLERANCES.line_substeps

    def __init__(self, internal, cap: np.ndarray, volumes: np.ndarray | float = 1.0):
        self.internal = internal
        self.cap = cap
        self.volumes = volumes
        self.p_empty = float(np.ravel(self.slope(np.zeros(1)))[0])

    def slope(self, rho: np.ndarray):
        """U′."""
        return np.asarray(self.internal.derivative(rho / self.volumes))

    def curvature(self, rho: np.ndarray):
        """U″ ≥ 0, inf where the graph is vertical."""
        return self._bend(rho / self.volumes) / self.volumes

    def _bend(self, density: np.ndarray):
        with np.errstate(all="ignore"):
            values = np.asarray(self.internal.second_derivative(density))
        return np.where(np.isnan(values), np.inf, np.maximum(values, 0.0))

    def energy(self, rho: np.ndarray):
        """U in each cell."""
        return self.volumes * np.asarray(self.internal.density(rho / self.volumes))

    def mobility(self, rho: np.ndarray, p: np.ndarray, psi: np.ndarray):
        """M on the faces, ≥ 0."""
        out = np.empty((rho.shape[0] - 1, rho.shape[1]))
        xi = np.where(np.isfinite(p), p, -1e300) + psi
        blended(rho / self.volumes, *self.diffusion(rho), psi, xi, out)
        return out

    def diffusion(self, rho: np.ndarray):
        """U′, φ = ρU′ − U and ρU″, a little above vacuum where ρ = 0."""
        safe = np.maximum(rho / self.volumes, TINY)
        with np.errstate(all="ignore"):
            slope = np.asarray(self.internal.derivative(safe))
            pressure = safe * slope - np.asarray(self.internal.density(safe))
            diffusivity = safe * self._bend(safe)
        return slope, pressure, np.nan_to_num(diffusivity, nan=0.0, posinf=1e300)

    def prepare(self, lines: Lines, psi: np.ndarray, tau: float, second_order: bool):
        """What a sweep of lines needs of a fixed Ψ `[*cells]`."""
        return lines.of(psi), lines.of(self.cap) * self.volumes, tau * lines.conductance, second_order

    def sweep(self, rho: np.ndarray, prepared: tuple):
        """One step of every line of `[n, lines]`: SDIRK of order 2, or implicit Euler [Alexander1977]."""
        psi, cap, step, second_order = prepared
        count = substeps(self.crossed(rho, psi, step), self.most_substeps)
        for _ in range(count):
            rho = self._sweep(rho, psi, cap, step / count, second_order)
        return rho

    def crossed(self, rho: np.ndarray, psi: np.ndarray, step: float | np.ndarray):
        """Over how many cells the drift carries mass where it outweighs the diffusion, M being upwind there:
        as many substeps follow it."""
        density = rho / self.volumes
        drift, held = np.abs(np.diff(psi, axis=0)), density > TOLERANCES.held * density.max()
        diffusivity = np.where(held, self.diffusion(rho)[2], 0.0)
        alone = (drift > diffusivity[:-1] + diffusivity[1:]) & (held[:-1] | held[1:])
        volumes = np.broadcast_to(self.volumes, rho.shape)
        crossed = step * drift / np.minimum(volumes[1:], volumes[:-1])
        return np.max(crossed[alone], initial=0.0) / TOLERANCES.carried

    def _sweep(self, rho: np.ndarray, psi: np.ndarray, cap: np.ndarray, step, second_order: bool):
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

    def implicit(
        self,
        base: np.ndarray,
        start: np.ndarray,
        psi: np.ndarray,
        cap: np.ndarray,
        step: float | np.ndarray,
        rounds: int = 24,
    ):
        """ρ′ of one implicit stage; raises NotSolved.

        Where Newton's method fails it begins again at the stage made more convex by ε‖ρ − base‖²/2: that
        moves the less the larger ε is, so that it is a start and no answer.
        """
        jump = np.max(np.abs(np.diff(psi, axis=0)), initial=0.0) / max(base.max(), TINY)
        for relative in (0.0, 0.1, 10.0, 1e3) if base.min() >= 0.0 else (0.0,):
            try:
                if relative:
                    convex = LineNewton(self, base, start, psi, cap, relative * jump)
                    start = self._implicit(convex, step, rounds)
                return self._implicit(LineNewton(self, base, start, psi, cap, 0.0), step, rounds)
            except Frozen:
                raise
            except NotSolved as error:
                failure = error
        raise failure

    def _implicit(self, line: LineNewton, step: float | np.ndarray, rounds: int):
        mobility = self.mobility(line.rho, line.p, line.psi)
        for count in range(rounds):
            before = line.rho.copy()
            line.newton(step * mobility, 2)
            change = np.max(np.abs(line.rho - before) / self.volumes, initial=0.0)
            if not change > TOLERANCES.mobility_settled * np.max(line.rho / self.volumes, initial=TINY):
                break
            new = self.mobility(line.rho, line.p, line.psi)
            mobility = new if count < 6 else 0.5 * (mobility + new)
        solved = line.newton(step * mobility, 40) or line.newton(step * mobility, 200, guarded=True)
        if not (solved or line.worst < TOLERANCES.accepted):
            raise NotSolved(f"residual {line.worst:.1e} of the tolerance")
        rho = conserving(line.base, line.rho, line.cap)
        if self._frozen(line, rho, step, mobility):
            raise Frozen
        return rho

    def _frozen(self, line: LineNewton, rho: np.ndarray, step: float | np.ndarray, mobility: np.ndarray):
        """Whether a face lets nothing through where M(ρ′) would empty the cell beside it.

        A cell that a long step empties has M(0) = 0, with which it keeps all it had: of the iteration of M
        that is a cycle, and either end of it satisfies an equation that is not the one asked for.
        """
        level = np.maximum(line.p, line.p_empty)
        level = np.where(np.isfinite(level), level, 0.0) + line.psi
        due, density = self.mobility(rho, level - line.psi, line.psi), rho / self.volumes
        beside = np.maximum(rho[1:], rho[:-1])
        mass = np.maximum(density[1:], density[:-1]) > TOLERANCES.mobility_settled * density.max(axis=0)
        leaves = step * due * np.abs(np.diff(level, axis=0)) > beside
        return bool(np.any(mass & leaves & (mobility < TOLERANCES.capped_settled * due)))


def _admissible(stage: np.ndarray, base: np.ndarray, cap: np.ndarray):
    """From stage towards base, as far as 0 and the cap allow: cell by cell at 0, line by line at the cap."""
    limited = np.empty_like(base)
    limit_fluxes(stage, base, 0.0, limited)
    move = limited - stage
    room = np.divide(cap - stage, move, out=np.ones_like(move), where=(limited > cap) & (move > 0.0))
    return np.maximum(stage + np.clip(room.min(axis=0), 0.0, 1.0) * move, 0.0)


def conserving(base: np.ndarray, rho: np.ndarray, cap: np.ndarray):
    """ρ with the mass of `base` on each line: what rounding left is spread where there is room."""
    defect = base.sum(axis=0) - rho.sum(axis=0)
    room = np.minimum(rho, cap - rho)
    total = room.sum(axis=0)
    return rho + room * np.divide(defect, total, out=np.zeros_like(defect), where=total > 0)
