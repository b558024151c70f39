"""The derivative of `limits.FiniteVolume`: the adjoint of its Scharfetter–Gummel sweeps, line by line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from jko.limits.lines import leaving, one_by_one, strang
from jko.limits.scharfetter_gummel import GAMMA, Bound
from jko.limits.structure import Way
from jko.limits.tolerances import TOLERANCES as LIMITS
from jko.loops.elliptic.tridiagonal import combine_conserving, limit_fluxes
from jko.loops.elliptic.tridiagonal_adjoint import pull_stage
from jko.measures import Grid, Measure
from jko.scheme import State, StepInfo
from jko.sensitivity.engine import Pulled
from jko.sensitivity.grid import GridStep, solved
from jko.sensitivity.parametrised import convolved, potentials, traced
from jko.sensitivity.tolerances import TOLERANCES

_SHARE = 1.0 / GAMMA - 1.0  # of the second stage in the answer


class FiniteVolumeStep(GridStep):
    """ρ′ = S(ρ, Ψ, θ, τ), Ψ = V + W∗(ρ + ρ′)/2 at t + τ/2, S the sweeps of limits.ScharfetterGummel.

    The cotangent c̃ of ρ′ with what the interaction sends back solves c̃ − ½Wᵀ∂_ΨSᵀc̃ = c by GMRES; then
    ∂_ΨSᵀc̃ is the cotangent of V + W∗(ρ + ρ′)/2, and ∂_ρSᵀc̃ + ½Wᵀ∂_ΨSᵀc̃ that of ρ. Without an interaction
    nothing is solved but the lines, once forth and once back.
    """

    def __init__(self, *given):
        super().__init__(*given)
        self._faces: tuple[Any, dict] = None, {}  # of the lines by their ids, of the problem at a time
        parts, grid = self.F.parts, self.initial.grid
        if self.scheme.reaction is not None:
            self.refuse("a reaction", "one without")
        if self.scheme.carries:
            self.refuse("a mobility, a metric or a cost other than the square", "one without")
        if parts.kinds - {"entropy", "potential", "interaction"}:
            self.refuse(f"{self.F!r}", "the entropy with potentials and interactions, or take steps.Quantile")
        if not parts.internal:
            self.refuse(f"{self.F!r}, without an entropy", "one with θ·Entropy, or descent.ForwardEuler")
        if grid.is_periodic or grid.is_room or grid.exits is not None:
            self.refuse(f"{grid!r}", "a box whose axes end at walls")

    def tape(
        self, mu: Measure, state: State, new: Measure, after: State, info: StepInfo, t: float, tau: float
    ):
        ways = dict(info.details)
        if info.converged and ways not in ({}, {Way.IMPLICIT_EULER: 1}):
            self.refuse(f"a step of tau={tau:g} that was not taken whole ({info.note})", "a smaller tau")
        return mu, new, t, tau, not ways

    def pull(self, tape: tuple, cotangent: dict):
        mu, new, t, tau, second_order = tape
        problem, half, moving = self.problem.at(t + 0.5 * tau), mu.values, None
        if problem.moving:
            half = 0.5 * (mu.values + new.values)
            moving = problem.moving_potential(mu.with_values(half))
        if self._faces[0] is not problem or moving is not None:
            self._faces = problem, {}
        sweeps = _Sweeps(problem, mu.values, moving, tau, second_order, self._faces[1])
        apart = float(np.abs(sweeps.values - new.values).sum() / new.values.sum())
        if not apart <= TOLERANCES.apart:
            self.refuse(
                f"a step that rounding stops, {apart:.1e} of the mass from its own equation",
                "fewer steps: the flow is at its end",
            )
        whole, residual = self._whole(cotangent["values"], sweeps, t + 0.5 * tau)
        pulled = sweeps.pull(whole)
        sent = self.convolved(pulled.psi, t + 0.5 * tau)
        before = pulled.rho if sent is None else pulled.rho + 0.5 * sent
        with jax.enable_x64(True):
            paired = _paired(as_it_reads_now(self.make_functional), mu.grid)
            slopes = paired(self.parameters, t + 0.5 * tau, half, pulled.psi, pulled.theta)
        parameters, time = jax.tree.map(np.asarray, slopes)
        by_tau = pulled.tau + 0.5 * float(time)
        return Pulled({"values": before}, parameters, by_tau, float(time), residual)

    def _whole(self, c: np.ndarray, sweeps: _Sweeps, t: float):
        """(c̃, the relative residual of its equation)."""
        if not self.F.parts.interaction:
            return c, 0.0

        def operator(whole: np.ndarray):
            return whole - 0.5 * self.convolved(sweeps.pull(whole).psi, t)

        return solved(operator, c, lambda r, _: r)


@kept
def _paired(make_functional: Callable, grid: Grid):
    """The derivatives of Σ f(V + W∗ρ) + gθ by the parameters and the time."""

    def pairing(parameters: Any, t: Any, rho: Array, of_psi: Array, of_theta: Array):
        F = traced(make_functional, parameters, t)
        psi = potentials(F, jnp.asarray(grid.points)).reshape(grid.cells) + convolved(F, rho, grid)
        return jnp.sum(of_psi * psi) + of_theta * F.parts.temperature

    return jax.jit(jax.grad(pairing, argnums=(0, 1)))


class _Cotangents(NamedTuple):
    """Of the density before a step, of Ψ, θ and τ."""

    rho: np.ndarray
    psi: np.ndarray
    theta: float
    tau: float


class _Faces(NamedTuple):
    """Of the faces of lines `[n − 1, lines]`: the jumps of Ψ/θ, and B′ there."""

    jump: np.ndarray
    slope: np.ndarray

    @staticmethod
    def of(psi: np.ndarray, lines, theta: float, right: np.ndarray) -> _Faces:
        """Of a Ψ `[*cells]`, `right` the rates upwards."""
        jump = np.diff(lines.of(psi), axis=0) / theta
        return _Faces(jump, _bernoulli_slope(jump, right / (theta * lines.conductance)))


class _Sweeps:
    """The sweeps of a step from ρ along all axes, kept for their adjoint; `values` is what they end at.

    `faces` are those of the lines at hand by the lines' ids; those that are missing are added.
    """

    def __init__(self, problem, rho: np.ndarray, moving, tau: float, second_order: bool, faces: dict):
        self.taken, grid, theta = [], problem.grid, problem.lines.temperature
        psi, rho = problem.fixed if moving is None else problem.fixed + moving, rho.copy()
        order = (strang if second_order else one_by_one)(grid.dimension)
        for (_, share), batches in zip(order, problem.plan(moving, tau, second_order), strict=True):
            for lines, stages in batches:
                if id(lines) not in faces:
                    faces[id(lines)] = _Faces.of(psi, lines, theta, stages[1].right)
                sweep = _LineSweep(lines.of(rho), faces[id(lines)], stages, theta, lines.conductance)
                lines.put(sweep.out, rho)
                self.taken.append((lines, share, sweep))
        self.values = rho

    def pull(self, cotangent: np.ndarray) -> _Cotangents:
        """The cotangents before the step, from that of `values`."""
        rho, psi, theta, tau = cotangent.copy(), np.zeros_like(cotangent), 0.0, 0.0
        along: dict[int, tuple] = {}
        for lines, share, sweep in reversed(self.taken):
            of_jumps = along.setdefault(id(lines), (lines, sweep, np.zeros_like(sweep.faces.jump)))[2]
            before, of_theta, of_length = sweep.pull(lines.of(rho), of_jumps)
            lines.put(before, rho)
            theta, tau = theta + of_theta, tau + share * of_length
        for place, (lines, sweep, of_jumps) in enumerate(along.values()):
            of_jumps *= lines.conductance
            theta -= float(np.vdot(of_jumps, sweep.faces.jump))
            of_psi = np.diff(of_jumps, axis=0, prepend=0.0, append=0.0)
            np.negative(of_psi, out=of_psi)
            lines.put(lines.of(psi) + of_psi if place else of_psi, psi)
        return _Cotangents(rho, psi, theta, tau)


class _LineSweep:
    """One sweep of lines `[n, lines]` as by `ScharfetterGummel.sweep`, and its adjoint."""

    def __init__(self, rho: np.ndarray, faces: _Faces, stages: tuple, theta: float, conductance: float):
        self.rho, self.faces, self.theta, self.conductance = rho, faces, theta, conductance
        self.fine, self.euler = stages
        self.low: Any = None
        self.one: Any = None
        self.high: Any = None
        least = -np.inf
        if self.fine is not None:
            self.one = self.fine(rho)
            self.two, self.high = self.fine(self.one), np.empty_like(rho)
            least = combine_conserving(rho.sum(axis=0), _SHARE, self.one, self.two, self.high)
        if not least > 0.0:
            self.low = self.euler(rho)
        self.out = self.high if self.low is None else self.low
        if self.high is not None and self.low is not None:
            self.out = np.empty_like(rho)
            limit_fluxes(self.low, self.high, LIMITS.kept, self.out)

    def pull(self, cotangent: np.ndarray, jumps: np.ndarray):
        """The cotangents of ρ, of θ at fixed jumps of Ψ/θ and of the length of the sweep; that of the jumps
        over the faces, per conductance, is added."""
        of_low, of_high, before, theta, tau = cotangent, cotangent, 0.0, 0.0, 0.0
        if self.high is not None and self.low is not None:
            of_low, of_high = _pull_limited(self.low, self.high, cotangent)
        if self.high is not None:
            two, theta, tau = self._stage(self.fine, self.one, self.two, _SHARE * of_high, GAMMA, jumps)
            two += (1.0 - _SHARE) * of_high
            before, of_theta, of_tau = self._stage(self.fine, self.rho, self.one, two, GAMMA, jumps)
            theta, tau = theta + of_theta, tau + of_tau
        if self.low is not None:
            alone, of_theta, of_tau = self._stage(self.euler, self.rho, self.low, of_low, 1.0, jumps)
            before, theta, tau = before + alone, theta + of_theta, tau + of_tau
        return before, theta, tau

    def _stage(self, stage, rho: np.ndarray, out: np.ndarray, cotangent: np.ndarray, share: float, jumps):
        """Of out = (I − sQ)⁻¹(I + δQ)ρ, s + δ the share of the sweep's length."""
        before, rates = np.empty_like(rho), (stage.right, stage.left)
        given = stage.resolvent.inverse, out, rho, *rates, self.faces.slope, stage.step, stage.compact
        by_out, by_rho = pull_stage(cotangent, *given, before, jumps)
        by_compact = by_rho - by_out
        theta, tau = (stage.step * by_out + stage.compact * by_rho) / self.theta, share * by_out
        if stage.bound is Bound.SPACING:
            theta -= by_compact * stage.compact / self.theta
        elif stage.bound is Bound.LENGTH:
            tau += 0.5 * share * by_compact
        else:
            theta += self._of_largest_rate(*rates, -by_compact * stage.compact, jumps)
        return before, theta, tau

    def _of_largest_rate(self, right: np.ndarray, left: np.ndarray, of_log: float, jumps: np.ndarray):
        """The cotangent of θ by the largest rate at which a cell is left, whose logarithm has `of_log`; that
        of the jumps is added."""
        held = leaving(right, left, False)
        i, j = np.unravel_index(held.argmax(), held.shape)
        of_rate, theta = of_log / held[i, j], 0.0
        for face, rates, bent in ((i, right, 0.0), (i - 1, left, 1.0)):
            if 0 <= face < len(right):
                jumps[face, j] += of_rate * (self.faces.slope[face, j] + bent)
                theta += of_rate * rates[face, j] / self.theta
        return theta


def _bernoulli_slope(x: np.ndarray, value: np.ndarray) -> np.ndarray:
    """B′ of B(x) = x/(eˣ − 1) where it has this value; that of x ↦ B(−x) = B(x) + x is B′ + 1."""
    near = np.abs(x) < 1e-2
    slope = 1.0 - x
    slope -= value
    slope *= value
    np.divide(slope, x, out=slope, where=~near)
    small = x[near]
    slope[near] = small * (1.0 / 6.0 - small * small / 180.0) - 0.5
    return slope


def _pull_limited(low: np.ndarray, high: np.ndarray, cotangent: np.ndarray):
    """The cotangents of low and high, from that of `loops.elliptic.tridiagonal.limit_fluxes`."""
    flux = np.cumsum(low - high, axis=0)[:-1]
    up = flux > 0.0
    outgoing = leaving(np.maximum(flux, 0.0), np.maximum(-flux, 0.0), False)
    free = outgoing <= (1.0 - LIMITS.kept) * low
    safe = np.where(free, 1.0, outgoing)
    share = np.where(free, 1.0, (1.0 - LIMITS.kept) * low / safe)
    of_moved = np.diff(cotangent, axis=0)
    of_flux = of_moved * np.where(up, share[:-1], share[1:])
    of_moved = of_moved * flux
    leaves = leaving(np.where(up, of_moved, 0.0), np.where(up, 0.0, of_moved), False)
    of_share = np.where(free, 0.0, leaves)
    of_outgoing = -of_share * share / safe
    of_flux += np.where(up, of_outgoing[:-1], -of_outgoing[1:])
    summed = np.zeros_like(low)
    summed[:-1] = np.cumsum(of_flux[::-1], axis=0)[::-1]
    return cotangent + (1.0 - LIMITS.kept) * of_share / safe + summed, -summed
