"""Newton's method for the pressure of a JKO step on one grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.loops.elliptic.multigrid import Multigrid
from jko.loops.elliptic.weighted_multigrid import WeightedMultigrid
from jko.loops.transport.monge_ampere import LEAST, TAIL, End, transported
from jko.steps.grid.dual_energy import DualEnergy
from jko.steps.grid.energy import squared_slope
from jko.steps.monge_ampere.tolerances import TOLERANCES

FOLD = TAIL  # least eigenvalue of DS that counts as a map; the logarithm goes on along its tangent below


@dataclass
class Iterate:
    """A pressure p with what it gives: log ρ̂, ρ̂, (DS)⁻¹'s diagonal, the residual U′(ρ̂) + V − p, κ = ρ̂U″(ρ̂),
    an estimate ½∫(ρ̂/κ)R² of the gap at the mass of ρ_k, (τ/2)∫|∇p|²ρ̂, the mass where S folds as a share."""

    p: np.ndarray
    log: np.ndarray
    density: np.ndarray
    diagonal: np.ndarray
    residual: np.ndarray
    stiffness: np.ndarray | float
    gap: float
    transport: float
    folded: float
    least: np.ndarray
    full: np.ndarray | None = None  # ρ̂ with the least eigenvalue of DS taken as positive
    own: float | None = None  # `PressureNewton.own_error`, once it was asked for


class PressureNewton:
    """U′(ρ̂) + V = p with ρ̂ = ρ_k(S)·det DS, S = id + τ∇p, on one grid.

    `ends` says for each axis how p goes on beyond its lower and its upper end: mirrored at a wall, freely
    where that lies far in the tail, or by periods.
    `limit` times the largest ρ's ρU″ bounds the residual that a correction answers, and it fades
    out where log ρ̂ is more than `tail` below its maximum: far tails weigh nothing and may be wild, and p
    follows its neighbours there. `before` is U′(ρ_k) + V on this grid, from which τ's own error is told;
    None leaves that out.
    """

    halvings = 4
    helps = 1.0

    def __init__(
        self,
        energy: LogEnergy,
        tau: float,
        spacing: tuple,
        log_density: np.ndarray,
        potential: np.ndarray,
        ends: tuple,
        limit: float,
        tail: float,
        before: np.ndarray | None = None,
    ):
        self.energy, self.tau, self.spacing, self.before = energy, tau, spacing, before
        self.log_density, self.potential, self.ends = log_density, potential, ends
        self.periodic = tuple(lower is End.JOINED for lower, _ in ends)
        self.limit, self.tail = limit, tail
        self.mass = float(np.exp(log_density).sum() * np.prod(spacing))
        self.iterations = 0

    def at(self, p: np.ndarray) -> Iterate:
        """The iterate of a pressure."""
        log, diagonal, least = transported(self.log_density, p, self.tau, self.spacing, self.ends)
        with np.errstate(all="ignore"):
            density = np.exp(log)
            slope, stiffness = self.energy.slope(log, density)
            residual = slope
            residual += self.potential
            residual -= p
            square = residual * residual
            square *= density
            square /= stiffness
            mass = float(density.sum())
            gap = 0.5 * float(square.sum()) / mass * self.mass if 0.0 < mass < np.inf else np.inf
            transport = transport_cost(p, density, self.tau, self.spacing, self.periodic)
            folded = float(density[least < FOLD].sum() / np.float64(mass)) if least.min() < FOLD else 0.0
        return Iterate(p, log, density, diagonal, residual, stiffness, gap, transport, folded, least)

    def solve(self, p: np.ndarray, tolerance: float, most: int) -> Iterate:
        """Iterates from p until the estimated gap is at its goal, or no step lowers it."""
        now = self.at(p)
        for _ in range(most):
            goal = self.goal(now, tolerance)
            if not np.isfinite(now.gap) or now.gap <= goal:
                break
            new = self._improve(now, goal)
            if new is None:
                break
            slow = new.gap > self.helps * now.gap
            now = new
            if slow:
                break
        return now

    def goal(self, now: Iterate, tolerance: float) -> float:
        """The gap to stop at: `tolerance` of (τ/2)∫|∇p|²ρ̂, and where the velocity error of the solver,
        √(2·gap/τ), is a twentieth of that of τ itself; not below rounding."""
        goal = tolerance * now.transport
        if now.gap <= goal and self.before is not None:
            goal = min(goal, TOLERANCES.own_error**2 * self.own_error(now))
        return max(goal, self.rounding(now)) if now.gap > goal else goal

    def own_error(self, now: Iterate) -> float:
        """(τ/8)∫|∇(p − p_k + (τ/2)|∇p|²)|²ρ̂, the gap whose velocity error √(2·gap/τ) is τ's own.

        The velocity −∇p is kept all over a step, where the flow's turns from −∇p_k(S) to −∇p: on average it
        is off by half of ∇p − ∇p_k(S) = ∇(p − p_k + (τ/2)|∇p|²) to first order in τ.
        """
        if now.own is None:
            turned = squared_slope(now.p, self.spacing, self.periodic)
            turned *= 0.5 * self.tau
            turned += now.p
            turned -= self.before
            now.own = 0.25 * transport_cost(turned, now.density, self.tau, self.spacing, self.periodic)
        return now.own

    def rounding(self, now: Iterate) -> float:
        """The gap that rounding of p, V and U′ leaves, and of p's second differences in log det DS."""
        size, stiffness = self._sizes(now)
        sums = TOLERANCES.sums + 4.0 * stiffness * self.tau * sum(1.0 / h**2 for h in self.spacing)
        return 0.5 * self.mass * (TOLERANCES.rounded * sums * size) ** 2 / stiffness

    def is_nothing(self, now) -> bool:
        """Whether the gap is below the rounding of F."""
        return now.gap <= TOLERANCES.nothing * self.mass * self._sizes(now)[0]

    def _sizes(self, now: Iterate):
        """The means of |p| + ρU″ and of ρU″."""
        mass = float(now.density.sum())
        stiffness = float(np.vdot(now.density, np.broadcast_to(now.stiffness, now.p.shape))) / mass
        return float(np.vdot(now.density, np.abs(now.p))) / mass + stiffness, stiffness

    def _improve(self, now: Iterate, goal: float):
        correction = self._correction(
            now, np.clip(0.5 * np.sqrt(goal / now.gap), TOLERANCES.least_forcing, TOLERANCES.most_forcing)
        )
        self.iterations += 1
        for halvings in range(self.halvings):
            new = self.at(now.p + 0.5**halvings * correction)
            if new.gap < now.gap:
                return new
        return None

    def _correction(self, now: Iterate, reduction: float):
        # in units of ρU″ at the maximum, so that single precision rounds alike in all
        unit = float(np.broadcast_to(now.stiffness, now.p.shape).flat[now.log.argmax()])
        stiffness = now.stiffness / unit
        mobility = [self.tau * unit / h**2 * g for g, h in zip(now.diagonal, self.spacing, strict=True)]
        most = min(self.limit, TOLERANCES.largest_residual)
        right = np.clip(now.residual / unit, -most, most)
        top = float(now.log.max()) - self.tail
        if now.log.min() < top:
            fade = (now.log.astype(np.float32) - np.float32(top - TOLERANCES.fade)) / np.float32(
                TOLERANCES.fade
            )
            np.clip(fade, 0.0, 1.0, out=fade)
            right *= fade * fade * (3.0 - 2.0 * fade)
        grid = Multigrid(now.log - now.log.max(), stiffness, mobility, self.periodic)
        correction, _ = grid.solve(right, reduction)
        return unit * correction


class LogEnergy:
    """An internal energy as a function of log ρ; the entropy without exponentials."""

    def __init__(self, internal):
        self.internal, self.dual = internal, DualEnergy(internal)
        ((c, atom), *others) = internal.terms
        self.temperature = c if atom.is_entropy and not others else None

    def slope(self, log: np.ndarray, density: np.ndarray):
        """(U′(ρ), ρU″(ρ)), the second a number for the entropy."""
        if self.temperature is not None:
            return self.temperature * (log + 1.0), self.temperature
        stiffness = density * self.internal.second_derivative(density)
        unit = stiffness.flat[density.argmax()]
        return self.internal.derivative(density), np.clip(
            stiffness, unit / TOLERANCES.stiffness_range, unit * TOLERANCES.stiffness_range
        )

    def gap(
        self, density: np.ndarray, answer: np.ndarray, pressure: np.ndarray, log: np.ndarray | None = None
    ) -> float:
        """Σ U(ρ) + U*(p) − ρp over the cells, `answer` being U*′(p), log ρ at hand or not: U's Bregman
        distance of ρ from the answer, in forms whose digits rounding leaves."""
        change = density - answer
        if self.temperature is not None and log is not None:
            further = log - self.log_of_pressure(pressure)
            with np.errstate(all="ignore"):
                change = np.where(
                    np.abs(further) < TOLERANCES.bregman_near, answer * np.expm1(further), change
                )
                return self.temperature * float(np.maximum(density * further - change, 0.0).sum())
        near = np.abs(change) < TOLERANCES.bregman_near * answer
        own = self.internal.density(density) - pressure * density
        answered = np.where(answer > 0.0, self.internal.density(answer) - pressure * answer, 0.0)
        with np.errstate(all="ignore"):
            square = 0.5 * change * change * self.internal.second_derivative(answer)
        return float(np.where(near, square, np.maximum(own - answered, 0.0)).sum())

    def log_of_pressure(self, p: np.ndarray):
        """log U*′(p) for the entropy, else None."""
        return None if self.temperature is None else p / self.temperature - 1.0

    def total(self, log: np.ndarray, density: np.ndarray) -> float:
        """Σ U(ρ) over the cells."""
        if self.temperature is not None:
            return self.temperature * float(np.vdot(density, np.where(density > 0.0, log, 0.0)))
        return float(self.internal.density(density).sum())


def transport_cost(p: np.ndarray, density: np.ndarray, tau: float, spacing: tuple, periodic: tuple) -> float:
    """(τ/2)∫|∇p|²ρ."""
    return 0.5 * tau * float(np.vdot(squared_slope(p, spacing, periodic), density)) * float(np.prod(spacing))


class SteepNewton(PressureNewton):
    """U′(ρ̂) + V = p with ρ̂ = ρ_k(S)·det DS where det DS falls by many powers of ten.

    Where mass is torn apart det DS is tiny, and ρ̂ = U*′(p − V) is linear in it: a row of Newton's equation
    for ρ̂ itself asks for the right determinant at once, one for log ρ̂ overshoots to folded maps. Where
    ρ_k(S) is small, or ρ̂ below its goal, it is the other way round. So each row takes the form in which it
    overshoots least; p − V is shifted so that U*′ has the mass of ρ̂, and in far tails p follows its
    neighbours. The merit of the line search is the Fenchel–Young gap.
    """

    halvings, helps = TOLERANCES.steep_halvings, TOLERANCES.steep_helps

    def __init__(self, energy, tau: float, spacing, log_density, potential, ends, before=None):
        super().__init__(energy, tau, spacing, log_density, potential, ends, np.inf, np.inf, before)
        self.bar = float(log_density.max()) - TOLERANCES.dense
        self.cell_volume = float(np.prod(spacing))

    def at(self, p) -> Iterate:
        log, diagonal, least = transported(self.log_density, p, self.tau, self.spacing, self.ends, self.bar)
        share = np.minimum(least.astype(float) / LEAST, 1.0)
        with np.errstate(all="ignore"):
            full = np.exp(log)
            density = full * np.maximum(share, 0.0)
            if not 0.0 < density.sum() < np.inf:
                return Iterate(p, log, density, diagonal, log, 1.0, np.inf, np.nan, 1.0, least, full)
            shift, answer = self.energy.dual.normalise(
                self.potential - p, float(density.sum()), TOLERANCES.iterate_mass
            )
            p = p + shift
            work = p - self.potential
            residual, stiffness = self._rows(log, full, share, least, diagonal, work, answer)
            gap = self.energy.gap(density, answer, work) * self.cell_volume
            folds = least < TOLERANCES.negative
            folded = float(answer[folds].sum() / answer.sum()) if folds.any() else 0.0
            transport = transport_cost(p, density, self.tau, self.spacing, self.periodic)
            log = np.where(share < 1.0, np.log(np.maximum(density, 1e-300)), log)
        gap = gap if np.isfinite(gap) else np.inf
        return Iterate(p, log, density, diagonal, residual, stiffness, gap, transport, folded, least, full)

    def _rows(self, log, full, share: float, least, diagonal, work, answer):
        """(r, κ) of δ − (κ/ρ̂)∇·(ρ̂ (DS)⁻¹∇δ) = r, single precision."""
        slope, stiffness = self.energy.slope(log, full)
        reach = sum(self.tau / h**2 * g for g, h in zip(diagonal, self.spacing, strict=True))
        excess = slope - work
        linear = np.isfinite(least) & ((excess > 0.0) | (share < 1.0)) & np.isfinite(answer)
        ratio = answer / full
        bend = full * self.energy.internal.second_derivative(np.maximum(answer, 1e-30 * full))
        natural = np.where(linear, bend, stiffness)
        largest = TOLERANCES.largest_field * float(
            np.broadcast_to(stiffness, full.shape).flat[answer.argmax()]
        )
        held = answer < np.exp(-TOLERANCES.held) * answer.max()
        kappa = np.minimum(natural, np.where(held, TOLERANCES.follows, TOLERANCES.stiffest) ** 2 / reach)
        logarithmic = np.clip(excess, -largest, largest) * (kappa / natural)
        residual = np.where(linear, (share - ratio) * kappa, logarithmic)
        residual[held] = 0.0
        return residual.astype(np.float32), kappa.astype(np.float32)

    def _correction(self, now, reduction):
        mobility = [self.tau / h**2 * g for g, h in zip(now.diagonal, self.spacing, strict=True)]
        log = np.log(np.maximum(now.full, 1e-300))
        grid = WeightedMultigrid(log, now.stiffness, mobility, self.periodic)
        correction, _ = grid.solve(now.residual, reduction)
        return correction
