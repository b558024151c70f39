"""The dynamic JKO step by alternating directions: caps, obstacles and any convex internal energy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from functionals import Functional
from functionals.species import require_species
from jko.bounds import Space
from jko.errors import UnsupportedFunctional, positive_number, whole_number
from jko.measures import Density, Measure, Species
from jko.mobility import Mobility
from jko.scheme import Problem, Scheme, State, Status, StepInfo
from jko.steps.fisher_rao import made_and_left
from jko.steps.grid.energy import TANGENT, exclusion, require_scale
from jko.steps.grid.source import together
from jko.steps.primal_dual.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False, repr=False)
class PrimalDual(Scheme):
    """ρ′ = argmin W₂²(ρ_k, ρ)/2τ + ∫U(ρ) + ∫Vρ + ½∬W dρdρ with ρ ≤ cap, round obstacles, in 1 to 3
    dimensions.

    The discrete problem of `Cvxpy(formulation="eulerian")`: densities r^k on the cells, flows v^k through the
    faces, K = `slices` inner slices, r^k = r^{k−1} − Dv^k, θ^k = S(r^{k−1} + r^k)/2, minimise
    K h^{d+2}/(2τ) Σ v²/θ + F(r^K) [BenamouBrenier2000], of which faces beside full cells pay a share
    where K = 1 (`jko.steps.grid.full_fronts`). It is solved by the alternating direction method of
    multipliers: a projection onto continuity, diagonal under cosine transforms, in turn with a prox in each
    face and each cell [PapadakisPeyreOudet2014].

    tolerance: the gap at which a step counts as converged, relative to the step's own W₂²/2τ, or down to a
    thousandth of it where a tenth of (τ/8)∫|∇(p − p_k)|²dρ_k is less, p and p_k the potentials of the
    velocity after ρ_k and before, or 2 % of F(ρ_k) − F(ρ′) − W²/τ in another metric, and five times as many
    iterations are enough for it: the velocity error √(2·gap/τ) of that integral is τ's own, and so a run's
    solver adds little to τ's error; plus a hundredth of it relative to
    (τ/2)∫|∇(V + W∗ρ′)|² + |∇U′(ρ′)|² dρ′, what a step from ρ′ would gain if nothing held the forces in
    balance, or from ρ_k where that is less.
    obstacle: boolean array over the cells (or a Density, positive
    there): no mass enters, and none passes, so the cost is that of the way round, in any number of slices.
    The walls of a room are such obstacles. Through doors mass leaves for V + W∗ρ_k + U′(0), at which there
    is no pressure [MauryRoudneffChupinSantambrogio2010]; `details["out"]` counts it, and mass after = mass
    before − out to `mass_error`.
    max_iterations: of one step. length: δ of the Hellinger–Kantorovich metric, in which mass is made and lost
    at δ²g² beside |v|² [LieroMielkeSavare2018]: HK_δ² in the place of W₂², a source in each cell, and mass
    after = mass before + `details["made"]` − `details["left"]`, `mass_error` being by how much that fails.
    None keeps the mass. mobility: jko.Exclusion(c), or "exclusion" for c = 1: |q|²/M(ρ) is paid in the place
    of |q|²/ρ, M = ρ(1 − ρ/c) [DolbeaultNazaretSavare2009], and no density goes beyond c.

    `Species` on one grid of one or two axes move together, in the sum of their W₂², by `fn.on`, `fn.Cross`,
    `fn.TotalInternal` and `fn.TotalCap`, without a length, a mobility or doors.

    Every step carries its certificate: the value of an admissible path (continuity, ρ ≥ 0 and the cap hold to
    rounding) less a lower bound from a potential. The gap bounds how far the *discrete* step is from its
    optimum. What K costs is bounded beside it, by the dual of W₂ itself: a step that may lose more than a
    tenth of what the exact step lowers F + W₂²/2τ by, and more than half a cell for all mass, is "not
    converged" and asks for more slices; not so with a length. With an interaction whose kernel is not
    declared `linearly_convex`, or with any and a length, it is that of the step with the interaction replaced
    by its tangent at ρ′. F never rises: the path that stays is a candidate.

    Raises TypeError or ValueError for settings that make no sense, a measure that is no Density and no
    Species, mass within the obstacle, a cap without room; UnsupportedFunctional for a functional that is not
    made of these parts.
    """

    slices: int = 1
    tolerance: float = 1e-3
    obstacle: Any = None
    max_iterations: int = 2000
    length: float | None = None
    mobility: Mobility | str | None = None

    takes: ClassVar[frozenset[str]] = frozenset(
        {"entropy", "internal", "potential", "interaction", "constraint"}
    )
    measures: ClassVar[tuple[type, ...]] = (Density, Species)
    order: ClassVar[int] = 1
    periodic: ClassVar[bool] = True
    rooms: ClassVar[bool] = True
    doors: ClassVar[bool] = True

    def __post_init__(self):
        whole_number("slices", self.slices)
        positive_number("tolerance", self.tolerance)
        whole_number("max_iterations", self.max_iterations)
        if self.length is not None:
            positive_number("length", self.length)
        if self.mobility is not None:
            object.__setattr__(self, "mobility", exclusion(self, self.mobility))

    @property
    def changes_mass(self) -> bool:  # type: ignore[override]
        """With a length, at whose price mass is made and lost."""
        return self.length is not None

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        from jko.steps.primal_dual.discretisation import DynamicProblem
        from jko.steps.primal_dual.species import SpeciesProblem

        self.check(F, mu)
        if isinstance(mu, Species):
            return Problem(F, lambda F: SpeciesProblem(F, mu, self.obstacle, self.slices))
        return Problem(
            F, lambda F: DynamicProblem(F, mu, self.obstacle, self.slices, self.length, self.mobility)
        )

    def check(self, F: Functional, mu: Measure) -> None:
        from jko.steps.primal_dual.species import SpeciesProblem

        if not isinstance(mu, Species):
            super().check(F, mu)
            require_scale(mu.values)
            return
        require_scale(mu.total_values())
        require_species(F, mu.names)
        SpeciesProblem.check(F.at(0.0), mu, self.takes)
        self.check_grid(mu)
        for name in ("length", "mobility"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name}: steps.PrimalDual moves species together in W2 alone, got "
                    f"{getattr(self, name)!r}: leave it out, or take steps.SpeciesInTurn({self!r})"
                )
        if mu.grid.exits is not None:
            raise UnsupportedFunctional(
                f"steps.PrimalDual moves species together where mass stays, got {mu.grid!r}: leave its doors "
                "out"
            )

    def displacement_modulus(self, F: Functional, mu: Measure) -> float | None:
        return None if isinstance(mu, Species) else super().displacement_modulus(F, mu)

    def moved(self, problem, mu: Measure, t, state: State):
        return problem, state  # of the last step: where to start from, whatever the measure

    def space_of_steps(self, problem: Problem, mu: Measure):
        alone = not isinstance(mu, Species)
        standard = alone and self.length is None and self.mobility is None and not mu.grid.is_periodic
        return Space.SLICES if standard else Space.NONE

    def moving_step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        from jko.steps.primal_dual.solver import DynamicSolver

        dynamic = problem.at(t + tau)
        start = dynamic.values_of(mu)
        solver = DynamicSolver(dynamic, self, start, dynamic.checked(tau))
        data = solver.solve(state)
        return dynamic.measure(mu, solver.best.end), State(data), self._record(mu, solver, data)

    def _record(self, mu: Density, solver, data: dict) -> StepInfo:
        problem, path, gap, notes, failures = solver.problem, solver.best, max(solver.gap, 0.0), [], []
        closed, runaway, overpaid = solver.closed(), solver.runaway(), solver.overpaid(data)
        excess = problem.fullness(path.end) - 1.0
        if not closed and runaway > 0.0:
            from jko.steps.grid import source

            failures.append(source.told(runaway, self.length, solver.tau))
        elif not closed:
            failures.append(
                f"the gap {gap:.1e} stayed above {solver.enough():.1e} for {solver.iterations} "
                "iterations: take a larger max_iterations, a smaller tau or a larger tolerance"
            )
        if excess > TOLERANCES.cap_excess:
            failures.append(f"the cap is exceeded by {excess:.1e} of itself: take a larger max_iterations")
        if overpaid > 0.0:
            from jko.steps.grid.time_error import told

            failures.append(told(overpaid, problem.slices))
        if not math.isfinite(solver.before):
            notes.append("the density before breaks the cap, so that F fell from ∞")
        if not problem.tangents_are_bounds:
            notes.append(TANGENT)
        relative = gap / path.cost if path.cost > 0.0 else math.inf
        details = {"slices": problem.slices, "overpaid": overpaid, "excess": excess}
        changes = (problem.totals(path.end) - problem.totals(solver.start)) * mu.grid.cell_volume
        change = float(np.abs(changes).max()) if problem.species > 1 else float(changes.item())
        if self.length is not None:
            details |= made_and_left([v[-1] for v in path.flows], mu.grid.cell_volume)
            change += details["left"] - details["made"]
            both = together(mu.values, path.densities, [v[-1] for v in path.flows])
            details |= both._asdict()
            notes += filter(None, [both.told(problem.slices)])
        if problem.doors is not None:
            ended = path.end.reshape(mu.grid.cells)[problem.doors]
            details["out"] = float(ended.sum() + mu.values[problem.doors].sum()) * mu.grid.cell_volume
        return StepInfo(
            status=Status.of(not failures),
            gap=gap,
            relative_gap=0.0 if gap == 0.0 else relative,
            iterations=solver.iterations,
            mass_error=abs(change),
            min_density=float(path.end.min()),
            dissipation=solver.before - path.value + solver.paid_in_doors(path.end.reshape(problem.layout)),
            transport_cost=path.cost,
            note="; ".join([*notes, *failures]),
            details=details,
        )
