"""A conic program compiled once and solved for other data, and what a solver made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jko.steps.cvxpy import conic

# Clarabel's, all that it can reach: asked for where a gap has stalled at its usual 1e-8
_TIGHT = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11, "max_iter": 100}


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

    def solve(
        self, start: np.ndarray, linear: np.ndarray, quadratic, scale: float, *, tight: bool = False
    ) -> Solution:
        """Solve for a start, and a linear and a (sparse, semidefinite) quadratic term on the target.

        The solver sees the objective divided by `scale`, an energy, and the model's own variables, for its
        tolerances are absolute. `tight` asks Clarabel for all that it can reach, where the options given do
        not say otherwise.
        """
        if self._solver != "CLARABEL":
            return self._solve_through_cvxpy(start, linear, quadratic, 1.0 / scale)
        if self._compiled is None:
            self._compiled = _Compiled(self._problem_of(start), self._solver)
        options = {**self._defaults, **(_TIGHT if tight else {}), **self._options}
        return self._compiled.solve(start, linear, quadratic, 1.0 / scale, options)

    def _solve_through_cvxpy(self, start, linear, quadratic, unit):
        model = self._problem_of(start)
        inside = _inside(model, start, linear, quadratic)
        model = self._problem_of(*inside, unit=unit)
        failure = conic.solve(model.problem, self._solver, self._options)
        if failure is not None:
            return Solution(failure, None, (), 0, 0.0)
        values = {name: tuple(v.value for v in group) for name, group in model.outputs.items()}
        stats = model.problem.solver_stats
        usable = all(v is not None for group in values.values() for v in group)
        duals = tuple(np.asarray(c.dual_value) for c in model.duals) if usable else ()
        return Solution(
            model.problem.status,
            _outside(model, values) if usable else None,
            tuple(dual / (unit * model.scale) for dual in duals),
            stats.num_iters or 0,
            stats.solve_time or 0.0,
        )


def _inside(model, start: np.ndarray, linear: np.ndarray, quadratic):
    """A start, a linear and a quadratic term, or None, on the variables as the model counts them."""
    start = (start - model.origin) / model.scale
    linear = None if linear is None else model.scale * linear
    return start, linear, None if quadratic is None else model.scale**2 * quadratic


def _outside(model, values: dict):
    return {name: tuple(model.origin + model.scale * v for v in group) for name, group in values.items()}


class _Compiled:
    """cvxpy's conic form of a model for Clarabel, with the places that a step writes to and reads from."""

    def __init__(self, model, solver: str):
        self._model, self._problem = model, model.problem
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

    def solve(self, start: np.ndarray, linear: np.ndarray, quadratic, unit: float, options: dict):
        start, linear, quadratic = _inside(self._model, start, linear, quadratic)
        data = dict(self._data)
        data["b"] = data["b"].copy()
        data["b"][self._rows[0]] = start
        data["c"] = unit * data["c"]
        if linear is not None:
            data["c"][self._target] += unit * linear
        if quadratic is not None:
            data["P"] = unit * self._with_quadratic(quadratic)
        elif "P" in data:
            data["P"] = unit * data["P"]
        raw = self._chain.solve_via_data(self._problem, data, False, False, options)
        x, z = np.array(raw.x), np.array(raw.z)
        status = "optimal" if str(raw.status) == "Solved" else str(raw.status)
        values = None
        if np.all(np.isfinite(x)) and np.all(np.isfinite(z)):
            values = {name: tuple(x[s] for s in slices) for name, slices in self._columns.items()}
        return Solution(
            status,
            None if values is None else _outside(self._model, values),
            tuple(z[rows] / (unit * self._model.scale) for rows in self._rows[1:]),
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
