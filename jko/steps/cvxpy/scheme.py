"""JKO steps as convex programs, written with cvxpy."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from functionals import Functional
from jko.errors import UnsupportedFunctional, one_of, positive_number, whole_number
from jko.measures import Density, LineDensity, Measure
from jko.mobility import Mobility
from jko.records import joined
from jko.scheme import KINDS, Problem, Scheme, State, Status, StepInfo
from jko.steps.cvxpy.tolerances import TOLERANCES
from jko.steps.grid.energy import exclusion

_FORMULATIONS = ("eulerian", "lagrangian")


@dataclass(frozen=True)
class Cvxpy(Scheme):
    """ρ′ ∈ argmin W₂²(ρ_k, ρ)/(2τ) + F(ρ) as a conic program [BenamouCarlierLaborde2016,
    CancesGallouetTodeschi2020].

    Two discrete forms, both with no flux through the boundary of the box, nor the walls of a room:

    * "eulerian", any d, also a torus: densities on the cells and flows through the faces over `slices` inner
      slices of Benamou–Brenier;
    * "lagrangian", d = 1 between walls: the edges of cells of fixed mass move, with the exact W₂ of piecewise
      constant densities, and no inner slices: `slices` above 1 is refused. So do the radii of shells, in any
      d, under the entropy, displacement convex powers, radial potentials and caps.

    formulation=None takes "lagrangian" on the line where the functional allows it (no interaction, no fast
    diffusion), else "eulerian". `solver` is the name of a solver that cvxpy has installed, `solver_options`
    are passed to it as they are. `tolerance` is the gap at which a step counts as converged, relative to
    the step's own W₂²/2τ plus a tenth of F's size at its start, the integral of (f − min f)ρ + ρU′(ρ) − U(ρ)
    with f the first variation without U; `passes` bounds the renewals of models for what has no conic form
    and of tangents for what is not convex. `length` is δ of the Hellinger–Kantorovich metric, in which mass
    is made and lost at δ²g² beside |v|² (Eulerian form; mass after = mass before + `details["made"]` −
    `details["left"]`); None keeps the mass. `mobility` is jko.Exclusion(c), or "exclusion" for c = 1: |q|²/M
    is paid in the place of |q|²/ρ, M = ρ(1 − ρ/c) [DolbeaultNazaretSavare2009] (Eulerian form).

    Every step carries its certificate: a primal value of an admissible point and a dual bound computed here
    from a potential, not taken from the solver. Raises TypeError or ValueError for settings that make no
    sense, a measure other than a Density, and a functional that the formulation cannot take.
    """

    formulation: str | None = None
    slices: int = 1
    solver: str = "CLARABEL"
    solver_options: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-6
    passes: int = 50
    length: float | None = None
    mobility: Mobility | str | None = None

    takes: ClassVar = KINDS
    measures: ClassVar = (Density, LineDensity)
    order: ClassVar[int] = 1
    periodic: ClassVar[bool] = True
    rooms: ClassVar[bool] = True

    def __post_init__(self):
        one_of("formulation", self.formulation, (None, *_FORMULATIONS))
        whole_number("slices", self.slices)
        whole_number("passes", self.passes)
        positive_number("tolerance", self.tolerance)
        if self.length is not None:
            positive_number("length", self.length)
        if self.mobility is not None:
            object.__setattr__(self, "mobility", exclusion(self, self.mobility))
        if not isinstance(self.solver, str):
            raise TypeError(
                f"solver: expected the name of a solver, got {type(self.solver).__name__}: try 'CLARABEL'"
            )
        if not isinstance(self.solver_options, Mapping):
            raise TypeError(f"solver_options: expected a dict, got {type(self.solver_options).__name__}")

    @property
    def changes_mass(self) -> bool:  # type: ignore[override]
        """With a length, at whose price mass is made and lost."""
        return self.length is not None

    def check(self, F: Functional, mu: Density):
        super().check(F, mu)
        F = F.at(0.0)
        kind = self._form(F, mu)
        if not mu.grid.is_uniform and self.formulation == "eulerian":
            raise ValueError(
                f"formulation: edges of one's own take the Lagrangian form, got 'eulerian' on {mu.grid!r}: "
                "leave it out, or take mu.on(Grid.uniform(...))"
            )
        if self.length is not None or self.mobility is not None:
            _require_eulerian(self, F, kind)
        if self.slices > 1 and not kind.has_slices:
            raise ValueError(
                f"slices: the Lagrangian form has no inner time, got {self.slices}: leave it out, or take "
                "formulation='eulerian'"
            )
        kind.check(F, mu)

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        self.check(F, mu)
        _require_installed(self.solver)
        kind = self._form(F.at(0.0), mu)

        def form(F: Functional):
            return kind(F, mu, self, functools.partial(self._program, kind.clarabel_options(F)))

        problem = Problem(F, form)
        return problem.starting(problem.at(0.0).first_data(mu))

    def moving_step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        mu, data, info = problem.at(t + tau).step(mu, positive_number("tau", tau), state)
        return mu, State(data), info

    def space_of_steps(self, problem: Problem, mu: Measure):
        return problem.at(0.0).space

    def _form(self, F: Functional, mu: Density):
        from jko.steps.cvxpy.eulerian import Eulerian
        from jko.steps.cvxpy.lagrangian import Lagrangian

        if not mu.grid.is_uniform:
            return Lagrangian
        if self.formulation is None:
            standard = self.length is None and self.mobility is None
            lagrangian = standard and Lagrangian.suits(F, mu)
            return Lagrangian if lagrangian else Eulerian
        return Lagrangian if self.formulation == "lagrangian" else Eulerian

    def _program(self, clarabel_options: dict, problem_of: Callable):
        from jko.steps.cvxpy.program import Program

        defaults = clarabel_options if self.solver.upper() == "CLARABEL" else {}
        return Program(problem_of, self.solver.upper(), defaults, dict(self.solver_options))


def _require_eulerian(settings: Cvxpy, F: Functional, kind):
    """Refuse what a step with a length or a mobility does not take."""
    if not kind.has_slices:
        name = "length" if settings.length is not None else "mobility"
        raise ValueError(
            f"{name}: the Lagrangian form moves cells of fixed mass at their density, got "
            f"{getattr(settings, name)!r}: take formulation='eulerian', or leave it out"
        )
    for _, atom in (F.parts.gradient + F.parts.rest) if settings.length is not None else ():
        raise UnsupportedFunctional(
            f"steps.Cvxpy(length=) does not take {atom!r}, whose bounds are for a fixed mass; "
            "steps.HellingerKantorovich(steps.Cvxpy()) takes it"
        )


def _require_installed(solver: str):
    import cvxpy as cp

    if solver.upper() not in cp.installed_solvers():
        raise ValueError(
            f"solver: {solver!r} is not installed; installed are {', '.join(cp.installed_solvers())}"
        )


def rounding(*terms) -> float:
    """What float64 may hide in a difference of sums of these sizes; a gap is an upper bound with it."""
    return TOLERANCES.rounding_of_sums * max(map(abs, terms))


def closed(settings: Scheme, gap: float, earlier: float, cost: float, scale: float, *, final: bool) -> bool:
    """Whether solving may stop: the gap is below the tolerance where the program is final, far below it or
    stalled where its models can be renewed. `scale` is the size of F at the start."""
    target = settings.tolerance * max(cost, TOLERANCES.negligible * scale)
    return gap <= 0.01 * target or (gap <= target and (final or gap > 0.5 * earlier))


def record(
    settings: Scheme,
    solution,
    gap: float,
    cost: float,
    energy: float,
    before: float,
    scale: float,
    iterations: int,
    *,
    remedy: str,
    note: str = "",
    form: str,
    details: dict | None = None,
    **measured,
) -> StepInfo:
    """The StepInfo of a step of W₂²/2τ = cost from energy `before` to `energy`, judged by its gap alone.

    A gap counts as closed within `tolerance` of W₂²/2τ, plus a tenth of `scale`, the size of F at the start,
    for steps that hardly move.
    """
    said = f"{settings.solver} said {solution.status}"
    status = Status.CONVERGED
    if solution.values is None or not math.isfinite(gap):
        status, note = Status.NOT_CONVERGED, f"{said} and returned nothing that can be certified; {remedy}"
    elif gap > settings.tolerance * (cost + TOLERANCES.floor * scale):
        status = Status.INACCURATE
        note = f"{said}, but the gap is {gap:.2g} where W2^2/2tau is {cost:.2g}; {remedy}"
    elif solution.status != "optimal":
        note = joined(f"{said}, and the certificate closed", note)
    relative = gap / cost if cost > 0.0 else math.inf
    return StepInfo(
        status=status,
        gap=gap,
        relative_gap=0.0 if gap == 0.0 else relative,
        iterations=iterations,
        dissipation=before - energy - cost,
        transport_cost=cost,
        note=note,
        details={"form": form, "solver_status": solution.status, **(details or {})},
        **measured,
    )
