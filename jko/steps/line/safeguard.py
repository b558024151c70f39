"""A step that convexity along transports does not certify: its duality gap, and a second start where that is
wide."""

from __future__ import annotations

import numpy as np

from jko.steps.line.cumulative import rough_step
from jko.steps.line.displacement import kept_apart
from jko.steps.line.duality import duality_gap
from jko.steps.line.varied_cap import VariedCap

_ENOUGH = 1e-3  # of W₂²/2τ
_CERTAIN = 1e-6  # of W₂²/2τ: a gap that proves a step, stationary or not
_OPEN = 1e-9  # of the grid's spacing: the least width of a cell from a rough step
_CELLS = 4096  # of the rough step, at most
_SAME = 1e-12

BEYOND_CONVEXITY = "the gap is that to all densities, with what the cells cost"
SECOND_START = "from the convex step in the cumulative mass"


def certified(problem, solve, solution, note, tolerance, grid):
    """(Solution, note) of the lower of two stationary points, with its duality gap among all densities.

    `solution` began at the start of the step. Where its gap is wide, another begins at the same step solved
    as a convex program on the grid; `solve(problem, tolerance, first)` answers with edges.
    """
    faces = grid.edges[0]
    best = _with_gap(problem, solution, faces)
    if not (best.closed and best.gap <= _ENOUGH * _cost(problem, best)):
        again, why = _second(problem, solve, tolerance, faces)
        if again is not None and (again.closed or not best.closed):
            again = _with_gap(problem, again, faces)
            lower = _value(problem, again) < _value(problem, best) - _SAME * best.magnitude
            if lower or (again.closed and not best.closed):
                best, note = again, "; ".join(filter(None, (why, SECOND_START)))
    return best, "; ".join(filter(None, (note, BEYOND_CONVEXITY)))


def _second(problem, solve, tolerance, faces):
    stride = -(-(faces.size - 1) // _CELLS)
    coarse = faces[::stride] if (faces.size - 1) % stride == 0 else faces
    cap = problem.energy.cap
    varied = isinstance(cap, VariedCap)
    means = cap if cap is None or not varied else np.diff(cap.integral(coarse)) / np.diff(coarse)
    rough = rough_step(problem, coarse, means)
    if rough is None:
        return None, ""
    if varied:
        return solve(problem, tolerance, rough)
    least = (_OPEN * (faces[1] - faces[0]) * (problem.masses > 0.0)) if cap is None else problem.masses / cap
    return solve(problem, tolerance, kept_apart(*rough, least, problem.masses, problem.walls))


def _with_gap(problem, solution, faces):
    gap = duality_gap(problem, solution.edges, solution.widths, faces)
    # light cells may be on their way still
    closed = solution.closed or bool(abs(gap) <= _CERTAIN * _cost(problem, solution))
    return solution._replace(gap=gap, closed=closed)


def _cost(problem, solution):
    return 0.5 * solution.squared_distance / problem.tau


def _value(problem, solution):
    return solution.energy + _cost(problem, solution)
