"""JKO steps as convex programs, written with cvxpy."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from jko.errors import one_of, positive_number, whole_number
from jko.measures import Density
from jko.scheme import KINDS, Scheme, State
from jko.steps.eulerian import Eulerian
from jko.steps.lagrangian import Lagrangian

_TIGHT = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11, "max_iter": 200}
_FORMULATIONS = {"eulerian": Eulerian, "lagrangian": Lagrangian}


@dataclass(frozen=True)
class Cvxpy(Scheme):
    """ρ′ ∈ argmin W₂²(ρ_k, ρ)/(2τ) + F(ρ) as a conic program [BenamouCarlierLaborde2016,
    CancesGallouetTodeschi2020].

    Two discrete forms, both with no flux through the boundary of the box:

    * "eulerian", any d: densities on the cells and flows through the faces over `slices` inner slices of
      Benamou–Brenier;
    * "lagrangian", d = 1: the edges of cells of fixed mass move, with the exact W₂ of piecewise constant
      densities.

    formulation=None takes "lagrangian" on the line where the functional allows it (no interaction, no fast
    diffusion), else "eulerian". `solver` is the name of a solver that cvxpy has installed, `solver_options`
    are passed to it as they are. `tolerance` is the gap at which a step counts as converged, relative to
    the step's own W₂²/2τ (plus a tenth of max(1, |F|)); `passes` bounds the renewals of models for what has
    no conic form and of tangents for what is not convex.

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

    takes: ClassVar = KINDS
    measures: ClassVar = (Density,)
    order: ClassVar[int] = 1

    def __post_init__(self):
        one_of("formulation", self.formulation, (None, *_FORMULATIONS))
        whole_number("slices", self.slices)
        whole_number("passes", self.passes)
        positive_number("tolerance", self.tolerance)
        if not isinstance(self.solver, str):
            raise TypeError(
                f"solver: expected the name of a solver, got {type(self.solver).__name__}: try 'CLARABEL'"
            )
        if not isinstance(self.solver_options, Mapping):
            raise TypeError(f"solver_options: expected a dict, got {type(self.solver_options).__name__}")

    def check(self, F, mu):
        super().check(F, mu)
        self._form(F, mu).check(F, mu)

    def init(self, F, mu) -> State:
        self.check(F, mu)
        _require_installed(self.solver)
        kind = self._form(F, mu)
        form = kind(F, mu, self, functools.partial(self._program, kind.clarabel_options(F)))
        return State(form.first_data(mu), form)

    def step(self, F, mu, tau, state):
        mu, data, info = state.workspace.step(mu, tau, state.data)
        return mu, state.with_data(**data), info

    def _form(self, F, mu):
        if self.formulation is not None:
            return _FORMULATIONS[self.formulation]
        return Lagrangian if Lagrangian.suits(F, mu) else Eulerian

    def _program(self, clarabel_options, problem_of):
        defaults = clarabel_options if self.solver.upper() == "CLARABEL" else {}
        return Program(problem_of, self.solver.upper(), defaults, dict(self.solver_options))


def _require_installed(solver: str):
    import cvxpy as cp

    if solver.upper() not in cp.installed_solvers():
        raise ValueError(
            f"solver: {solver!r} is not installed; installed are {', '.join(cp.installed_solvers())}"
        )


@dataclass(frozen=True)
class Solution:
    """What a solver returned: values and equality duals as arrays, None where it returned nothing usable."""

    status: str
    values: dict[str, tuple] | None
    duals: tuple
    iterations: int
    seconds: float


class Program:
    """A conic program of fixed structure, solved again and again for other data.

    With Clarabel cvxpy compiles it once, and a step writes the previous measure into b, the linear term
    into c and the quadratic one into P. No solve starts from an earlier one. Any other solver goes through
    cvxpy's own path each time.
    """

    def __init__(self, problem_of: Callable, solver: str, defaults: dict, options: dict):
        self._problem_of, self._solver, self._defaults, self._options = problem_of, solver, defaults, options
        self._compiled = None

    def solve(self, start, linear=None, quadratic=None, *, tight: bool = False) -> Solution:
        """Solve for a start, and a linear and a (sparse, semidefinite) quadratic term on the target.

        `tight` asks Clarabel for all that it can reach, where the options given do not say otherwise.
        """
        if self._solver != "CLARABEL":
            return self._solve_through_cvxpy(start, linear, quadratic)
        if self._compiled is None:
            self._compiled = _Compiled(self._problem_of(start), self._solver)
        options = {**self._defaults, **(_TIGHT if tight else {}), **self._options}
        return self._compiled.solve(start, linear, quadratic, options)

    def _solve_through_cvxpy(self, start, linear, quadratic):
        import cvxpy as cp

        model = self._problem_of(start, linear, quadratic)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", UserWarning
                )  # "may be inaccurate": the certificate says whether it is
                model.problem.solve(solver=self._solver, **self._options)
        except cp.SolverError as error:
            return Solution(f"failed ({' '.join(str(error).split())})", None, (), 0, 0.0)
        values = {name: tuple(v.value for v in group) for name, group in model.outputs.items()}
        stats = model.problem.solver_stats
        usable = all(v is not None for group in values.values() for v in group)
        duals = tuple(np.asarray(c.dual_value) / model.unit for c in model.duals) if usable else ()
        return Solution(
            model.problem.status,
            values if usable else None,
            duals,
            stats.num_iters or 0,
            stats.solve_time or 0.0,
        )


class _Compiled:
    """cvxpy's conic form of a model for Clarabel, with the places that a step writes to and reads from."""

    def __init__(self, model, solver):
        self._problem, self._unit = model.problem, model.unit
        self._data, self._chain, _ = model.problem.get_problem_data(solver)
        cone = self._data["param_prob"]
        column = cone.var_id_to_col
        self._columns = {
            name: [slice(column[v.id], column[v.id] + v.size) for v in group]
            for name, group in model.outputs.items()
        }
        self._target = slice(column[model.target.id], column[model.target.id] + model.target.size)
        offsets, row = {}, 0
        for constraint in cone.constraints:
            offsets[constraint.id] = row
            row += constraint.size
        self._rows = [slice(offsets[c.id], offsets[c.id] + c.size) for c in (model.start, *model.duals)]

    def solve(self, start, linear, quadratic, options):
        data = dict(self._data)
        data["b"] = data["b"].copy()
        data["b"][self._rows[0]] = start
        if linear is not None:
            data["c"] = data["c"].copy()
            data["c"][self._target] += self._unit * linear
        if quadratic is not None:
            data["P"] = self._with_quadratic(self._unit * quadratic)
        raw = self._chain.solve_via_data(self._problem, data, False, False, options)
        x, z = np.array(raw.x), np.array(raw.z)
        status = "optimal" if str(raw.status) == "Solved" else str(raw.status)
        values = None
        if np.all(np.isfinite(x)) and np.all(np.isfinite(z)):
            values = {name: tuple(x[s] for s in slices) for name, slices in self._columns.items()}
        return Solution(
            status,
            values,
            tuple(z[rows] / self._unit for rows in self._rows[1:]),
            raw.iterations,
            raw.solve_time,
        )

    def _with_quadratic(self, quadratic):
        import scipy.sparse as sp

        size = self._data["c"].size
        block = sp.coo_array(quadratic)
        shift = self._target.start
        placed = sp.csc_array((block.data, (block.row + shift, block.col + shift)), shape=(size, size))
        return placed + self._data["P"] if "P" in self._data else placed
