"""The Eulerian form of a JKO step: densities on the cells of a grid, flows through its faces."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from functionals import Functional
from jko.bounds import Space
from jko.errors import UnsupportedFunctional
from jko.measures import Density, Measure
from jko.records import Status, joined
from jko.scheme import Scheme, State
from jko.steps.cvxpy import conic
from jko.steps.cvxpy.cell_functional import CellFunctional, with_local
from jko.steps.cvxpy.faces import FaceMatrices
from jko.steps.cvxpy.scheme import closed, record, rounding
from jko.steps.cvxpy.tolerances import TOLERANCES
from jko.steps.fisher_rao import made_and_left
from jko.steps.grid.source import runaway, together
from jko.steps.grid.source import told as no_bound
from jko.steps.grid.time_error import lost_to_slices, told
from jko.steps.primal_dual.certificate import Path, admissible_path, lower_bound, mixed, path_of
from jko.steps.primal_dual.discretisation import CellEnergies, DynamicProblem

_TORN = (
    "V'' falls to {:.2g} < -1/tau, where mass is torn apart: the gap is that of the discrete step and does "
    "not bound the time error of its {}, so compare with more slices, a smaller tau or steps.auto"
)
_TANGENT = "the gap is that of the step with the concave part of the interaction replaced by its tangent"


class Eulerian:
    """minimise K h^{d+2}/(2τ) Σ v²/θ + F(r^K), r^k = r^{k−1} − Dv^k, θ^k = S(r^{k−1} + r^k)/2
    [BenamouBrenier2000], of which faces beside full cells pay a share in one slice
    (`jko.steps.grid.full_fronts`).

    What has no conic form enters by models at the current density (quadratic for an internal energy or a
    convex functional given as an energy, a tangent for the concave part of an interaction), renewed until
    the gap closes.
    """

    has_slices = True

    def __init__(self, F: Functional, mu: Density, settings: Scheme, program: Callable):
        self.settings, self._new_program, self.grid = settings, program, mu.grid
        given = mu, None, settings.slices, settings.length, settings.mobility
        self.problem = problem = DynamicProblem(F, *given)
        if F.parts.local:
            problem.cells = CellEnergies(with_local(F.parts, mu.grid.points[problem.held.ravel()]))
        self.functional, self.faces = CellFunctional(problem), FaceMatrices.of(problem)
        self._bend = self.functional.most_concave()
        proximal = problem.standard and not mu.grid.is_periodic  # in W₂ of a box
        self.space = Space.SLICES if proximal else Space.NONE
        self._density = float(mu.values.max())
        self.programs: dict[float, tuple] = {}  # the actions of faces and the program for them, by τ
        self._touch: np.ndarray | None = None  # where the last bound took the tangent of ∇ρ's energies

    @staticmethod
    def clarabel_options(F: Functional) -> dict:
        """Clarabel's own 1e-8 is enough under the exponential cones of an entropy, not without them."""
        if F.parts.temperature > 0.0:
            return {}
        return {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9, "max_iter": 100}

    @classmethod
    def check(cls, F: Functional, mu: Density):
        """Refuse a part of F without a convex model."""
        for _, atom in F.parts.rest:
            if atom.linearly_convex is not True:
                raise UnsupportedFunctional(
                    f"steps.Cvxpy does not take {atom!r}, which is not declared linearly_convex; "
                    "limits.FiniteVolume takes any functional"
                )
        for _, atom in F.parts.gradient:
            if type(atom) not in conic.GRADIENT_FORMS:
                raise UnsupportedFunctional(
                    f"steps.Cvxpy takes fn.Dirichlet() and fn.FisherInformation(), got {atom!r}; "
                    "limits.FiniteVolume takes any energy of the gradient"
                )
        for _, atom in F.parts.local:
            if atom.linearly_convex is not True or getattr(atom, "outer", None) is not None:
                raise UnsupportedFunctional(
                    f"steps.Cvxpy takes an energy ∫U(x, ρ) with U convex, got {atom!r}; limits.FiniteVolume "
                    "takes it"
                )

    def first_data(self, mu: Density):
        """Nothing beside the density goes from step to step."""
        return {}

    def step(self, mu: Measure, tau: float, data: State | dict):
        """One step: (mu′, data, StepInfo)."""
        F, settings, problem = self.functional, self.settings, self.problem
        start = mu.values.reshape(problem.shape)
        actions = problem.actions(tau, start)
        path = path_of(problem, start, problem.no_flows(), actions, self._energy)
        begun, action = F.of(start), self.faces.weights(actions)
        # a steep transport cost leaves continuity inexact: solvers weigh it against the objective
        unit = max(F.size(begun), float(action.max() * begun.max()))
        scale = F.size(begun) or unit  # a cap alone has no size
        before, gap, iterations, curvature, tight = path.energy, np.inf, 0, 0.0, False
        for renewal in range(settings.passes):
            linear, quadratic = F.model(F.of(path.end), renewal, curvature)
            solution = self._program(tau, action).solve(begun, linear, quadratic, unit, tight=tight)
            iterations += solution.iterations
            if solution.values is None:
                break
            flows, potentials = map(self.faces.flows, solution.values["flow"]), self._potentials(solution)
            found = admissible_path(problem, start, list(flows), potentials, actions, self._energy)
            previous, path = path, self._better(start, path, found, actions)
            bound = self._bound(potentials, start, path, actions)
            earlier, gap = gap, path.value - bound + rounding(path.cost, path.energy, scale)
            gap = min(earlier, gap) if F.is_convex else gap
            stalled = F.is_conic or path.value >= previous.value
            if closed(settings, gap, earlier, path.cost, scale, final=F.is_conic) or (stalled and tight):
                break
            tight, curvature = tight or stalled, F.secant(F.of(previous.end), F.of(path.end))
        lost = 0.0  # of what the exact step decreases by
        if solution.values is not None and problem.standard:
            lost = self._overpaid(potentials, start, path, path.value - gap, before, tau, actions)
        measured = self._balance(start, path)
        notes = "" if F.is_convex else _TANGENT, self._torn(tau), measured.pop("note", "")
        info = record(
            settings, solution, gap, path.cost, path.energy, before, scale, iterations,
            **measured, min_density=float(path.end.min()),
            form="eulerian", remedy=self._remedy(F.of(path.end), gap, tau), note=joined(*notes),
        )  # fmt: skip
        if lost > 0.0:
            note = "; ".join(
                filter(None, (info.note, told(lost, settings.slices, "formulation='eulerian', ")))
            )
            lost_too = {**info.details, "overpaid": lost}
            info = replace(info, status=Status.NOT_CONVERGED, note=note, details=lost_too)
        return problem.measure(mu, path.end), data, info

    def _remedy(self, r: np.ndarray, gap: float, tau: float):
        F, length = self.functional, self.settings.length
        if length is not None and not np.isfinite(gap):
            field = F.tangent(r, self._touch)[0]
            uncapped = field if F.cap is None else field[~np.isfinite(F.cap)]
            if gained := runaway(uncapped, F.internal, length, tau):
                return no_bound(gained, length, tau)
        return "take other solver_options, fewer cells or a larger tolerance"

    def _balance(self, start: np.ndarray, path: Path):
        """The record's fields that say what became of the mass."""
        change, volume = float(path.end.sum() - start.sum()), self.functional.volume
        if not self.functional.free:
            return {"mass_error": abs(change) * volume}
        sources = [v[-1] for v in path.flows]
        told = made_and_left(sources, volume)
        error, both = (
            abs(change * volume - told["made"] + told["left"]),
            together(start, path.densities, sources),
        )
        return {
            "mass_error": error,
            "details": told | both._asdict(),
            "note": both.told(self.settings.slices),
        }

    def _torn(self, tau: float):
        if self._bend >= -1.0 / tau:
            return ""
        slices = self.settings.slices
        return _TORN.format(self._bend, "one slice" if slices == 1 else f"{slices} slices")

    def _program(self, tau: float, action: np.ndarray):
        if tau not in self.programs or not np.array_equal(self.programs[tau][0], action):
            F = self.functional
            terms = F.conic_terms, F.cap, F.factor, self._density
            form = functools.partial(conic.eulerian_problem, self.faces, action, *terms, gradient=F.gradient)
            self.programs[tau] = action, self._new_program(form)
        return self.programs[tau][1]

    def _energy(self, r: np.ndarray):
        return self.functional.energy(self.functional.of(r))

    def _field(self, r: np.ndarray):
        """A field of the cells as the problem has it."""
        return self.functional.field(r).reshape(self.problem.shape)

    def _potentials(self, solution) -> list:
        """p¹ … p^K of the problem, of which continuity's duals are the negative."""
        return [self._field(-dual / self.functional.volume) for dual in solution.duals]

    def _better(self, start: np.ndarray, path: Path, found: Path, actions: list):
        """The first of halved moves towards `found` that lowers the value, or `path` where none does."""
        share = 1.0
        while share > TOLERANCES.least_share:
            tried = mixed(self.problem, start, (path, found), share, actions, self._energy)
            if tried.value < path.value:
                return tried
            share *= 0.5
        return path

    def _bound(self, potentials: list, start: np.ndarray, path: Path, actions: list) -> float:
        """A lower bound on the value; all but internal energies enter by the tangent at the path's end."""
        F, r = self.functional, self.functional.of(path.end)
        if F.is_fisher:
            before = [start, *path.densities][-2]
            speed = self.problem.speed_term(potentials[-1], actions, 0.5 * (before + path.end))
            outer = F.without_gradient(r) - F.of(potentials[-1] + speed)
            self._touch = F.ground_state(outer, self.faces)
        field, constant = F.tangent(r, self._touch)
        bound, self._pressure = lower_bound(
            self.problem, start, path, potentials, actions, self._field(field)
        )
        over = float(np.vdot(self._pressure, self.problem.excess(path.end)))
        return bound + constant - over * F.volume

    def _overpaid(
        self,
        potentials: list,
        start: np.ndarray,
        path: Path,
        bound: float,
        before: float,
        tau: float,
        actions: list,
    ) -> float:
        """The share of the exact step's decrease that the inner slices may lose, 0 where it is little."""
        F, problem, r = self.functional, self.problem, self.functional.of(path.end)
        field, constant = F.tangent(r, self._touch)
        variation = field + F.of(self._pressure)
        if F.internal is not None:
            lowest = np.finfo(float).eps * start.max()
            variation = variation + F.internal.derivative(np.maximum(r, lowest))
        speeds = [problem.speed_term(p, actions, start) for p in (potentials[0], potentials[-1])]
        begin, end = potentials[0] - speeds[0], potentials[-1] + speeds[1]
        ends = (begin, end), (begin, self._field(variation))
        decrease = before - path.value if np.isfinite(before) else path.cost
        return lost_to_slices(
            problem, tau, start, path.end, ends, self._field(field), bound - constant, decrease
        )
