"""Any convex internal energy and any cap along one axis: an implicit step as a convex problem a line."""

from __future__ import annotations

import numpy as np

from jko.limits.line_newton import TINY, LineNewton
from jko.limits.lines import Lines
from jko.limits.tolerances import TOLERANCES
from jko.limits.upwind_stage import UpwindStage
from jko.loops.elliptic.face_mobility import blended
from jko.loops.elliptic.tridiagonal import limit_fluxes


class NotSolved(Exception):
    """A stage has no answer to its tolerance on some line: a shorter one may."""


class NonlinearDiffusion:
    """Lines of ρ′ − base = s ∂(M∂ξ), ξ ∈ ∂(U + ι_[0, cap])(ρ′) + Ψ.

    With M ≥ 0 frozen this is the optimality condition of min Σ U(ρ) + Ψρ + ‖ρ − base‖²/2s in the H⁻¹ norm
    of weight M, over 0 ≤ ρ ≤ cap: whatever M and s, the solution is positive, has the mass of `base`, and
    (base ≥ 0) less energy. M is then iterated towards M(ρ′), so that fronts may cross many cells in a step.

    On a line with edges of its own the unknown is the mass m in cells of the `volumes` `[n, 1]`: U is then
    |c|U(m/|c|), and M that of the density m/|c|.
    """

    def __init__(self, internal, cap: np.ndarray, volumes: np.ndarray | float = 1.0):
        self.internal = internal
        self.cap = cap
        self.volumes = volumes
        self.p_empty = float(np.ravel(self.slope(np.zeros(1)))[0])

    def slope(self, rho: np.ndarray):
        """U′, inf where an iterate is beyond numbers."""
        with np.errstate(over="ignore"):
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
        """One step of every line of `[n, lines]`: SDIRK of order 2 [Alexander1977], or implicit Euler,
        with an upwind M where the other does not settle; raises NotSolved."""
        psi, cap, step, second_order = prepared
        if second_order:
            return self._two_stages(rho, psi, cap, step)
        after, settled = self.implicit(rho, rho, psi, cap, step)
        if not settled.all():
            rest = np.flatnonzero(~settled)
            lines = (np.ascontiguousarray(field[:, rest]) for field in (rho, psi, cap))
            after[:, rest], solved = UpwindStage(self, *lines, step).solve()
            if not solved.all():
                raise NotSolved("Newton's method did not reach its tolerance")
        return after

    def _two_stages(self, rho: np.ndarray, psi: np.ndarray, cap: np.ndarray, step):
        gamma = 1.0 - np.sqrt(0.5)
        stage, settled = self.implicit(rho, rho, psi, cap, gamma * step)
        if settled.all():
            base = rho + (1.0 / gamma - 1.0) * (stage - rho)
            after, settled = self.implicit(base, stage, psi, cap, gamma * step)
            if not settled.all():
                # Where the extrapolated base is negative beyond what can flow in, its fluxes are limited.
                base = _admissible(stage, base, cap)
                after, settled = self.implicit(base, stage, psi, cap, gamma * step)
        if not settled.all():
            raise NotSolved("M does not settle at that of the answer")
        return after

    def crossed(self, rho: np.ndarray, psi: np.ndarray, cap: np.ndarray, step: float | np.ndarray):
        """(Over how many cells −∂ξ carries mass where the drift outweighs the diffusion, what share of its
        mass, or of its neighbours', a cell gains or loses); differences of ξ that are rounding are none.

        At rest both are 0, as a drift is not, and where a thin film runs steadily the second is. Nothing runs
        into full cells.
        """
        density = rho / self.volumes
        held, full = density > TOLERANCES.held * density.max(), rho >= cap * (1.0 - TOLERANCES.capped_settled)
        floor = 0.0 if np.isfinite(self.p_empty) else TOLERANCES.tail_floor * rho.mean() + TINY
        level = self.slope(np.maximum(rho, floor)) + psi
        fall, size = -np.diff(level, axis=0), np.abs(level) + 2.0 * np.abs(psi)
        fall = np.where(np.abs(fall) > TOLERANCES.level_rounding * (size[1:] + size[:-1]), fall, 0.0)
        right = step * np.where(full[1:], 0.0, np.maximum(fall, 0.0))
        left = step * np.where(full[:-1], 0.0, np.maximum(-fall, 0.0))
        diffusivity = np.where(held, self.diffusion(rho)[2], 0.0)
        alone = np.abs(np.diff(psi, axis=0)) > diffusivity[:-1] + diffusivity[1:]
        volumes = np.broadcast_to(self.volumes, rho.shape)
        crossed = held[:-1] * right / volumes[:-1] + held[1:] * left / volumes[1:]
        crossed += step * _pushed(psi, full) / np.minimum(volumes[1:], volumes[:-1])
        flux, change = right * density[:-1] - left * density[1:], np.zeros(rho.shape)
        change[:-1] -= flux
        change[1:] += flux
        around = np.maximum(density, TOLERANCES.held * density.max())
        around[1:] = np.maximum(around[1:], density[:-1])
        around[:-1] = np.maximum(around[:-1], density[1:])
        changed = np.abs(change) / (self.volumes * around)
        return np.max(crossed[alone], initial=0.0) / TOLERANCES.carried, np.max(changed, initial=0.0)

    def implicit(
        self,
        base: np.ndarray,
        start: np.ndarray,
        psi: np.ndarray,
        cap: np.ndarray,
        step: float | np.ndarray,
        rounds: int = 24,
    ):
        """(ρ′ of one implicit stage, which lines it holds on with M(ρ′))."""
        line = LineNewton(self, base, start, psi, cap)
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
            return line.rho, np.zeros(base.shape[1], dtype=bool)
        rho = conserving(line.base, line.rho, line.cap)
        with np.errstate(invalid="ignore"):
            return rho, self._settled(line, rho, step)

    def _settled(self, line: LineNewton, rho: np.ndarray, step: float | np.ndarray):
        """On which lines ρ′ − base = s div(M(ρ′)∂ξ) holds, ξ as low in an empty cell as holds it at 0."""
        level = line.p + line.psi
        through = step * self.mobility(rho, line.p, line.psi)
        flux, size = through * np.diff(level, axis=0), np.abs(level) + 2.0 * np.abs(line.psi)
        missing, blur = line.base - rho, np.zeros(rho.shape)
        missing[:-1] += flux
        missing[1:] -= flux
        rounding = TOLERANCES.level_rounding * through * (size[1:] + size[:-1])
        blur[:-1] += rounding
        blur[1:] += rounding
        lost = np.abs((line.base - line.rho).sum(axis=0)) <= TOLERANCES.lost * line.base.sum(axis=0).max()
        density = np.maximum(rho, np.abs(line.base)) / self.volumes
        cell = TOLERANCES.settled * density + TOLERANCES.mobility_settled * density.max()
        return lost & np.all(np.abs(missing) <= cell * self.volumes + blur, axis=0)


def _pushed(psi: np.ndarray, full: np.ndarray):
    """|∂ξ| on the faces inside blocks of full cells between walls: ξ is linear there between their ends."""
    if not full.any():
        return 0.0
    n = len(psi)
    number = np.arange(n)[:, None]
    before = np.maximum.accumulate(np.where(full, -1, number), axis=0)
    after = np.minimum.accumulate(np.where(full, n, number)[::-1], axis=0)[::-1]
    first, last = np.minimum(before + 1, n - 1), np.maximum(after - 1, 0)
    rise = np.take_along_axis(psi, last, axis=0) - np.take_along_axis(psi, first, axis=0)
    free = full & (before >= 0) & (after < n)
    speed = np.where(free, np.abs(rise) / np.maximum(last - first, 1), 0.0)
    return np.where(full[1:] & full[:-1], speed[1:], 0.0)


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
