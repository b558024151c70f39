"""The linearised JKO step: finite volumes that keep mass, sign and decay; the fast way to the PDE."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from functionals import Functional
from jko.errors import positive_number, whole_number
from jko.measures import Density, Measure
from jko.scheme import Problem, Scheme, State, Status, StepInfo
from jko.steps.grid.energy import energy_size
from jko.steps.grid.interaction_passes import InteractionPasses
from jko.steps.linearized.tolerances import TOLERANCES
from jko.steps.reflection import Reflected


@dataclass(frozen=True, eq=False)
class Linearized(Scheme):
    """One step of implicit Euler for W₂ linearised at the new density [CancesGallouetTodeschi2020],

        min_ρ (τ/2)‖(ρ − ρ_k)/τ‖²_{H⁻¹(ρ)} + ∫U(ρ) + ∫Vρ,

    the LJKO scheme: ρ = U*′(φ + (τ/2)|∇φ|² − V), ρ − τ∇·(ρ∇φ) = ρ_k, where φ minimises
    ∫U*(φ + (τ/2)|∇φ|² − V) − ρ_kφ. Centred finite volumes in 1, 2 or 3 dimensions, without flux through
    walls, those of a room as well, joined at the ends of periodic axes: order 2 in h, order 1 in τ. Newton's
    method in φ and U′(ρ) side by side, its equations by conjugate gradients with a multigrid V-cycle, nested
    from coarse to fine but in rooms.

    Not the exact JKO step: the two differ by O(τ²) a step, of the order of τ's own error. Conservative to
    rounding, ρ > 0, and F falls by at least the step's cost, ρ_k at rest being admissible.

    tolerance: of `relative_gap`, where Newton's method stops; a hundred times as much still counts as
    converged. interaction_passes: at most; the interaction enters by W∗ρ, of ρ = ρ_k
    first and then of ρ′, mixed until what is left of the gap is below the tolerance too.

    `gap` is ½Σ r²/(AᵀU*″A)|c| for the residual r of the balance, an estimate from above of what the minimum
    lacks; `relative_gap` is over the step's cost (τ/2)∫|∇φ|²ρ, which `dissipation` takes in the place of
    W₂²/2τ. Cells below 1e-9 of the maximum are raised to that, 1e-6 where that fails, and the mass is kept.

    Of second order in τ by `steps.SecondOrder(steps.Linearized())`: `reflect` is the implicit midpoint rule,
    (ρ′ − ρ_k)/τ = ∇·(ρ₁∇(U′(ρ₁) + V)), 2ρ₁ = ρ_k + ρ′ [HairerLubichWanner2006].

    `prepare` raises UnsupportedFunctional unless U′(0) = −∞, which keeps ρ positive.
    """

    tolerance: float = 1e-7
    max_iterations: int = 30
    interaction_passes: int = 30

    takes: ClassVar[frozenset[str]] = frozenset({"entropy", "internal", "potential", "interaction"})
    measures: ClassVar[tuple[type, ...]] = (Density,)
    order: ClassVar[int] = 1
    periodic: ClassVar[bool] = True
    rooms: ClassVar[bool] = True

    def __post_init__(self):
        positive_number("tolerance", self.tolerance)
        whole_number("max_iterations", self.max_iterations)
        whole_number("interaction_passes", self.interaction_passes)

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        from jko.steps.linearized.newton import LinearizedLadder

        self.check(F, mu)
        return Problem(F, lambda F: LinearizedLadder(F, mu, self.scheme_name()))

    def moving_step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        new, info, _ = self.solved(problem, mu, t, tau)
        return new, state, info

    def solved(self, problem: Problem, mu: Measure, t: float, tau: float):
        """A step as (measure, record, what was solved): the last is what its derivative is made of."""
        solved = self._passes(problem.at(t + tau), mu, positive_number("tau", tau), 1.0)
        if solved.found is None:
            return mu, self._failed(solved), solved
        return Density(mu.grid, solved.values), self._record(solved, mu), solved

    def reflect(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        """2ρ₁ − ρ with ρ₁ the half step of implicit Euler: the implicit midpoint rule for ∂ρ = ∇·(ρ∇δF)."""
        ladder = problem.at(t + 0.5 * tau)
        solved = self._passes(ladder, mu, 0.5 * positive_number("tau", tau), 0.0)
        if solved.found is None:
            return Reflected((mu, state, self._failed(solved)), None, None, np.nan, solved.before)
        half = Density(mu.grid, solved.values), state, self._record(solved, mu)
        new, bent = _reflected(mu.values, solved.values)
        field = ladder.problem.interaction(new)
        # twice the cost of the half step, whose velocity is that of the whole
        dissipation = solved.before - ladder.problem.energy(new, field) - 2.0 * solved.found.transport
        new = Density(mu.grid, new)
        return Reflected(half, new, state, dissipation, solved.before, bent, wary=bent > TOLERANCES.straight)

    def _passes(self, ladder, mu: Density, tau: float, bend: float):
        """The step of which `bend` (τ/2)|∇φ|² is kept; ρ ↦ ρ′ ↦ W∗ρ′ is mixed to a fixed point."""
        problem, values, spent = ladder.problem, mu.values, 0
        passes = InteractionPasses(problem, values, tau, self.interaction_passes)
        before = problem.energy(values, passes.field)
        for field in passes:
            found, iterations, floor = self._solve(ladder, mu, tau, field, bend)
            spent += iterations
            if found is None:
                break
            values = ladder.normalise(found, mu)
            if passes.answer(values) <= self._enough(1.0, problem, mu, found, field):
                break
        lag, notes = passes.lag, [passes.note] if passes.note else []
        if floor > TOLERANCES.attempts[0][0]:
            notes.append(f"ρ_k was raised to {floor:g} of its maximum in the tails")
        if found is not None and lag > self._enough(TOLERANCES.accepted, problem, mu, found, field):
            found = None
            notes.append("the interaction did not settle")
        after = problem.energy(values, problem.interaction(values))
        details = {**passes.details, "floor": floor}
        return _Solved(found, values, before, after, spent, notes, lag, details)

    def _enough(self, times: float, problem, mu: Density, found, field: np.ndarray | None):
        """So many times the tolerance, and rounding."""
        size = energy_size(problem.internal, problem.outer(field), mu.values, mu.grid.cell_volume)
        return times * self.tolerance * found.transport + TOLERANCES.rest * size

    def _solve(self, ladder, mu: Density, tau: float, field: np.ndarray | None, bend: float):
        spent = 0
        for attempt, floor, *settings in self._attempts(ladder, bend):
            found, iterations = attempt(mu, tau, field, floor, *settings)
            spent += iterations
            if found.gap <= self._enough(TOLERANCES.accepted, ladder.problem, mu, found, field) < np.inf:
                return found, spent, floor
        return None, spent, floor

    def _attempts(self, ladder, bend: float):
        """(a way to solve, what ρ_k is raised to in the tails, settings), to be tried in turn."""
        climbs = [
            (ladder.climb, floor, nested, self.tolerance, self.max_iterations, bend)
            for floor, nested in TOLERANCES.attempts
        ]
        costly = ladder.inside is None and ladder.grid.size > TOLERANCES.path_cells
        if bend != 1.0 or costly:  # without a minimisation a step would not know whether it goes down
            return climbs
        return [climbs[0], (ladder.follow, climbs[0][1], self.tolerance), *climbs[1:]]

    def _failed(self, solved):
        solved.notes.append("Newton's method did not converge: take tau smaller or the box tighter")
        return StepInfo(
            Status.NOT_CONVERGED,
            iterations=solved.iterations,
            note="; ".join(solved.notes),
            details=solved.details,
        )

    def _record(self, solved: _Solved, mu: Density):
        found, values = solved.found, solved.values
        gap = (math.sqrt(max(found.gap, 0.0)) + math.sqrt(solved.lag)) ** 2
        relative = gap / found.transport if found.transport > 0.0 else 0.0
        return StepInfo(
            gap=gap,
            relative_gap=relative if math.isfinite(relative) else 0.0,
            iterations=solved.iterations,
            mass_error=abs(float(values.sum()) * mu.grid.cell_volume - mu.mass),
            min_density=float(values.min()),
            dissipation=solved.before - solved.after - found.transport,
            transport_cost=found.transport,
            note="; ".join(solved.notes),
            details=solved.details,
        )


class _Solved(NamedTuple):
    """What Newton's method found (None where it failed), the density, F before and after, iterations."""

    found: Any
    values: np.ndarray
    before: float
    after: float
    iterations: int
    notes: list
    lag: float  # what W∗ρ′ of another density than ρ′ may leave of a gap
    details: dict


def _reflected(start: np.ndarray, half: np.ndarray):
    """(2ρ₁ − ρ, no less than a quarter of ρ₁ and of its mass; what that changed, of how far ρ moved)."""
    straight = 2.0 * half - start
    new = np.maximum(straight, TOLERANCES.reflected_least * half)
    new *= start.sum() / new.sum()
    moved = float(np.abs(straight - start).sum())
    return new, float(np.abs(new - straight).sum()) / moved if moved > 0.0 else 0.0
