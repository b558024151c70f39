"""The exact JKO step of positive smooth densities by Newton's method on its optimality."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from functionals import Functional
from jko.bounds import Space
from jko.errors import positive_number, whole_number
from jko.measures import Density, Measure
from jko.records import joined
from jko.scheme import Problem, Scheme, State, Status, StepInfo
from jko.steps.monge_ampere.tolerances import TOLERANCES

_STEEP = "mass is torn apart: Newton's method went on from back-and-forth on a coarser grid"


class Rejection(NamedTuple):
    """Why an attempt is not taken; `only_open` where it is descent along a map but for its gap or mass."""

    reason: str
    only_open: bool = False


@dataclass(frozen=True, eq=False)
class MongeAmpere(Scheme):
    """ρ′ = argmin W₂²(ρ_k, ρ)/2τ + ∫U(ρ) + ∫Vρ for positive smooth densities in 1, 2 or 3 dimensions.

    Newton's method for the pressure p = U′(ρ′) + V in its optimality, the Monge–Ampère equation

        U′(ρ̂) = p − V,  ρ̂ = ρ_k(S)·det(I + τD²p),  S(y) = y + τ∇p(y),

    nested from coarse to fine; each correction by conjugate gradients with a multigrid V-cycle, log ρ_k
    interpolated by cubics. No flux through the walls; along periodic axes p and log ρ_k go on by periods, and
    the cost is the squared distance to the nearest image. ρ′ has the mass of ρ_k. Where that
    fails, as in steep wells at large τ, back-and-forth begins on a medium grid, and Newton's rows take
    the form of `jko.steps.monge_ampere.newton`; the note says so.

    tolerance: the relative gap at which Newton's method stops, 2e-4 in steep wells; and it goes on until its
    velocity error, √(2·gap/τ), is a twentieth of τ's own, ½(∫|∇(p − p_k + (τ/2)|∇p|²)|²ρ′)^½: a run's
    errors of the solver stay below those of τ. accept: the largest relative gap that counts as converged;
    above it, or where S folds over more than a ten-thousandth of the mass, or ρ_k has vacuum, the step is
    taken by `fallback` (BackAndForth() if None) and the note says why, unless that leaves the larger gap.
    max_iterations: of Newton's method on a grid.
    interaction_passes: at most; the interaction enters by W∗ρ, of ρ = ρ_k first and then of ρ′, mixed until
    what is left of the gap of the whole step is below the goal. The note tells how much.

    The gap is the larger of two certificates. ∫U(ρ̂) + U*(p − V) − ρ̂(p − V) is primal minus dual for ρ̂ of
    the mass of ρ_k: S being the gradient of a convex function, it moves ρ̂ to ρ_k optimally, and
    W₂(ρ̂, ρ*)² ≤ 2τ·gap for the exact ρ* where F is displacement convex; ρ′ is ρ̂, but U*′(p − V) in far
    tails. It does not see what differences miss, as where mass is drawn from a wall or across jumps. The
    other is F(ρ′) + W₂²/2τ of the stored densities, W₂² that of their marginals or that of the map where it
    is larger, less ∫φᶜdρ_k − ∫U*(−φ − V), φ = −p, and h²/8τ an axis: nothing on the line escapes it but
    those. `relative_gap` and `dissipation` take W₂²/2τ as (τ/2)∫|∇p|²ρ′.

    `init` raises UnsupportedFunctional where no internal energy holds the density together.
    """

    tolerance: float = 1e-5
    accept: float = 5e-3
    max_iterations: int = 25
    interaction_passes: int = 30
    fallback: Any = None

    takes: ClassVar[frozenset[str]] = frozenset({"entropy", "internal", "potential", "interaction"})
    measures: ClassVar[tuple[type, ...]] = (Density,)
    order: ClassVar[int] = 1
    periodic: ClassVar[bool] = True

    def __post_init__(self):
        positive_number("tolerance", self.tolerance)
        positive_number("accept", self.accept)
        whole_number("max_iterations", self.max_iterations)
        whole_number("interaction_passes", self.interaction_passes)
        if self.fallback is not None and not isinstance(self.fallback, Scheme):
            raise TypeError(
                f"fallback: expected a scheme, such as steps.BackAndForth(), got {self.fallback!r}"
            )

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        from jko.steps.monge_ampere.ladder import PressureLadder

        self.check(F, mu)
        return Problem(F, lambda F: PressureLadder(F, mu, self.scheme_name()))

    def moving_step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        return self.solved(problem, mu, t, tau, state)[:3]

    def solved(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        """A step as (measure, state, record, the pressure found, None of a fallback): the last is what its
        derivative is made of."""
        ladder = problem.at(t + tau)
        tau = ladder.problem.checked(tau)
        reason, nearest = unsuited(mu), None
        if reason is None:
            for caution in ladder.cautions:
                found, note, details = self._solve(ladder, mu, tau, caution)
                rejection = self._rejects(found)
                if rejection is None:
                    if isinstance(caution, int):
                        note, details = joined(_STEEP, note), {**details, "steep": caution}
                    record = self._record(found, mu, note, details)
                    return Density(mu.grid, found.values), state, record, found
                reason = rejection.reason
                if rejection.only_open and (nearest is None or found.bound < nearest[0].bound):
                    nearest = found, note, reason, details
        return *self._fall_back(problem.F.at(t + tau), mu, tau, state, reason, nearest), None

    def sharpened(self) -> MongeAmpere:
        """The same, solved to a gap that does not add up over many steps of second order."""
        return replace(self, tolerance=min(self.tolerance, TOLERANCES.second_order_gap))

    def reflect(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        """2 J_{τ/2} − id for steps.SecondOrder."""
        from jko.steps.grid.reflection import reflect_on_grid

        # J_{τ/2} of F at the middle of the step
        *half, found = self.sharpened().solved(problem, mu, t, 0.5 * tau, state)
        pressure = None if found is None else found.p
        return reflect_on_grid(tuple(half), problem.at(t + 0.5 * tau).problem, mu, tau, pressure)

    def _solve(self, ladder, mu: Density, tau: float, caution: tuple):
        from jko.steps.monge_ampere.ladder import settle

        if ladder.problem.parts.interaction:
            return settle(ladder, mu, tau, self, caution)
        return ladder.climb(mu, tau, None, None, self.tolerance, self.max_iterations, caution), "", {}

    def _rejects(self, found):
        if not np.isfinite(found.gap):
            return Rejection("Newton's method did not converge on a coarse grid")
        if found.folded > TOLERANCES.folded:
            return Rejection(f"the map folds over {found.folded:.1e} of the mass")
        if found.before - found.after < TOLERANCES.dissipated * found.transport - found.rounding:
            fall = found.before - found.after
            return Rejection(f"the energy would fall by {fall:.1e}, less than W₂²/2τ")
        if not found.bound <= self.accept * found.transport + found.rounding:
            solved = found.gap < found.bound
            by = "the densities of the grid leave" if solved else "Newton's method stopped at"
            return Rejection(f"{by} a relative gap of {found.relative_bound:.1e}", True)
        if not abs(found.defect) <= TOLERANCES.defect:
            return Rejection(f"the transported density misses {found.defect:.1e} of the mass", True)
        return None

    def space_of_steps(self, problem: Problem, mu: Measure):
        # on a torus W₂² is less convex than in a box, and no bound is proven
        return Space.NONE if mu.grid.is_periodic else Space.GRID

    def _record(self, found, mu: Density, note: str, details: dict):
        return StepInfo(
            gap=found.bound,
            relative_gap=found.relative_bound,
            iterations=found.iterations,
            mass_error=abs(float(found.values.sum()) * mu.grid.cell_volume - mu.mass),
            min_density=float(found.values.min()),
            dissipation=found.before - found.after - found.transport,
            transport_cost=found.transport,
            note=note,
            details=details,
        )

    def _fall_back(self, F: Functional, mu: Measure, tau: float, state: State, reason, nearest):
        from jko.steps.back_and_forth import BackAndForth

        scheme = BackAndForth() if self.fallback is None else self.fallback
        problem = scheme.prepare(F, mu)
        new, _, info = scheme.step(problem, mu, 0.0, tau, problem.start)
        if nearest is not None and nearest[0].bound < info.gap:
            found, note, reason, details = nearest
            kept = f"{reason}; kept, for {scheme.scheme_name()} leaves a gap of {info.gap:.1e}"
            own = self._record(found, mu, joined(note, kept), details)
            status = Status.of(info.converged and abs(found.defect) <= TOLERANCES.defect)
            told = {**own.details, "refused": scheme.scheme_name()}
            return Density(mu.grid, found.values), state, replace(own, status=status, details=told)
        note = f"taken by {scheme.scheme_name()}: {reason}"
        told = {**info.details, "fallback": scheme.scheme_name()}
        return new, state, replace(info, note=joined(note, info.note), details=told)


def unsuited(mu: Density) -> str | None:
    """Why a density cannot be moved by its logarithm, or None."""
    if min(mu.grid.cells) < TOLERANCES.fewest_cells:
        return f"the grid has fewer than {TOLERANCES.fewest_cells} cells along an axis"
    empty = mu.values <= 0.0
    if empty.any() and mu.values[~empty].min() > TOLERANCES.least_density * mu.values.max():
        return f"the density has vacuum, {int(empty.sum())} cells"
    return None
