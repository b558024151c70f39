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
from jko.steps.cvxpy.cell_bound import Faces, eulerian_bound
from jko.steps.cvxpy.cell_functional import CellFunctional
from jko.steps.cvxpy.scheme import closed, record, rounding
from jko.steps.cvxpy.tolerances import TOLERANCES
from jko.steps.fisher_rao import made_and_left
from jko.steps.grid.source import runaway, together
from jko.steps.grid.source import told as no_bound
from jko.steps.grid.time_error import exact_bound, overpaid, told
from jko.steps.primal_dual.certificate import Path

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
        self.settings, self._new_program = settings, program
        self.functional = CellFunctional(F, mu, settings.length is not None, settings.mobility)
        crowding = 0.0 if settings.mobility is None else 1.0 / settings.mobility.cap
        self._bend = self.functional.most_concave()
        self.grid, self.faces = mu.grid, Faces.of(mu.grid, settings.slices, settings.length, crowding)
        self._standard = settings.length is None and settings.mobility is None
        proximal = self._standard and not mu.grid.is_periodic  # in W₂ of a box
        self.space = Space.GRID if proximal else Space.NONE
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
        F, settings, start = self.functional, self.settings, self.functional.of(mu)
        action = settings.slices * F.volume * self.faces.spacing**2 / (2.0 * tau)
        if F.cap is not None and settings.mobility is None and settings.slices == 1:
            action = action * self.faces.front_shares(start, F.cap)
        path = self._path([start] * (settings.slices + 1), [np.zeros(action.size)] * settings.slices, action)
        # a steep transport cost leaves continuity inexact: solvers weigh it against the objective
        unit = max(F.size(start), float(action.max() * start.max()))
        scale = F.size(start) or unit  # a cap alone has no size
        before, gap, iterations, curvature, tight = path.energy, np.inf, 0, 0.0, False
        for renewal in range(settings.passes):
            linear, quadratic = F.model(path.end, renewal, curvature)
            solution = self._program(tau, action).solve(start, linear, quadratic, unit, tight=tight)
            iterations += solution.iterations
            if solution.values is None:
                break
            previous, path = path, self._better(path, self._admissible(solution, start, action), action)
            bound = self._bound(solution.duals, start, path, action)
            earlier, gap = gap, path.value - bound + rounding(path.cost, path.energy, scale)
            gap = min(earlier, gap) if F.is_convex else gap
            stalled = F.is_conic or path.value >= previous.value
            if closed(settings, gap, earlier, path.cost, scale, final=F.is_conic) or (stalled and tight):
                break
            tight, curvature = tight or stalled, F.secant(previous.end, path.end)
        lost = 0.0  # of what the exact step decreases by
        if solution.values is not None and self._standard:
            lost = self._overpaid(solution.duals, start, path, path.value - gap, before, tau, action)
        measured = self._balance(start, path)
        notes = "" if F.is_convex else _TANGENT, self._torn(tau), measured.pop("note", "")
        info = record(
            settings, solution, gap, path.cost, path.energy, before, scale, iterations,
            **measured, min_density=float(path.end.min()),
            form="eulerian", remedy=self._remedy(path.end, gap, tau), note=joined(*notes),
        )  # fmt: skip
        if lost > 0.0:
            note = "; ".join(
                filter(None, (info.note, told(lost, settings.slices, "formulation='eulerian', ")))
            )
            lost_too = {**info.details, "overpaid": lost}
            info = replace(info, status=Status.NOT_CONVERGED, note=note, details=lost_too)
        return F.density(path.end), data, info

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
        sources = [self.faces.sources(v) for v in path.flows]
        told = made_and_left(sources, volume)
        error, both = (
            abs(change * volume - told["made"] + told["left"]),
            together(start, path.densities[1:], sources),
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

    def _path(self, densities: list, flows: list, action: np.ndarray):
        cost = self.faces.cost(densities, flows, action)
        return Path(densities, flows, cost, self.functional.energy(densities[-1]))

    def _admissible(self, solution, start: np.ndarray, action: np.ndarray):
        slope = 4.0 * max(
            float(np.abs(self.faces.gradient(p)).max()) for p in self._potentials(solution.duals)
        )
        return self._path(*self.faces.admissible(start, solution.values["flow"], action, slope), action)

    def _better(self, path: Path, found: Path, action: np.ndarray):
        """The first of halved moves towards `found` that lowers the value, or `path` where none does."""
        share = 1.0
        while share > TOLERANCES.least_share:
            mixed = found if share == 1.0 else self._mixed(path, found, share, action)
            if mixed.value < path.value:
                return mixed
            share *= 0.5
        return path

    def _mixed(self, path: Path, found: Path, share: float, action: np.ndarray):
        def mix(first: list, second: list):
            return [(1.0 - share) * a + share * b for a, b in zip(first, second, strict=True)]

        return self._path(mix(path.densities, found.densities), mix(path.flows, found.flows), action)

    def _speed(self, potential: np.ndarray, path: Path, action: np.ndarray):
        """w of the last slice."""
        return self.faces.speed_term(potential, action, self.faces.middles(path.densities[-2:])[0])

    def _potentials(self, duals: tuple):
        return [dual / self.faces.volume for dual in duals]

    def _bound(self, duals: tuple, start: np.ndarray, path: Path, action: np.ndarray) -> float:
        """A lower bound on the value; all but internal energies enter by the tangent at the path's end."""
        F, r = self.functional, path.end
        potentials = self._potentials(duals)
        if F.is_fisher:
            outer = F.without_gradient(r) + potentials[-1] - self._speed(potentials[-1], path, action)
            self._touch = F.ground_state(outer)
        field, constant = F.tangent(r, self._touch)
        cells = F.on_cells(float(start.sum()) * F.volume)

        def guess(shift: np.ndarray):
            return F.level(r, field + shift)

        bound, pressure = eulerian_bound(
            self.faces, action, potentials, [start, *path.densities[1:]], cells, field, guess
        )
        self._pressure = pressure
        excess = 0.0 if F.cap is None else float(pressure @ np.maximum(r - F.cap, 0.0)) * F.volume
        return bound + constant - excess

    def _overpaid(
        self,
        duals: tuple,
        start: np.ndarray,
        path: Path,
        bound: float,
        before: float,
        tau: float,
        action: np.ndarray,
    ) -> float:
        """The share of the exact step's decrease that the inner slices may lose, 0 where it is little."""
        F, r, grid = self.functional, path.end, self.grid
        field, constant = F.tangent(r, self._touch)
        mass = float(start.sum()) * F.volume
        cells = F.on_cells(mass)

        def least(last: np.ndarray):
            shift = last.ravel()[F.held]
            return cells.least(field + shift, F.level(r, field + shift))[0] / F.volume

        variation = field + self._pressure
        if cells.internal is not None:
            lowest = np.finfo(float).eps * start.max()
            variation = variation + cells.internal.derivative(np.maximum(r, lowest))
        first, last = self._potentials(duals)[0], self._potentials(duals)[-1]
        end, begun = self._speed(last, path, action) - last, F.field(start)
        if grid.room is None:
            ends = [F.field(x) for x in (end, variation)]
            exact = max(exact_bound(grid, tau, begun, None, end, least) for end in ends)
        else:  # ways round walls count as exact
            begin = F.field(-first - self._speed(first, path, action))
            exact = exact_bound(grid, tau, begun, begin, F.field(end, np.inf), least, ~grid.inside)
        decrease = before - path.value if np.isfinite(before) else path.cost
        return overpaid(grid, tau, mass, bound - constant - exact, decrease)
