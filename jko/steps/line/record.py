"""The record of a step on the line."""

from __future__ import annotations

import numpy as np

from jko.scheme import Status, StepInfo
from jko.steps.line.varied_cap import VariedCap

_STILL = 1e-15  # of the objective's summands: below, nothing moved
_MASS_TOLERANCE = 1e-9


def record(problem, solution, old, new, note) -> StepInfo:
    """The record of a step from `old` to `new`."""
    cost = 0.5 * solution.squared_distance / problem.tau
    gap = solution.gap
    if problem.convexity <= 0.0 and problem.energy.interaction is not None:
        gap, why = np.nan, f"no certificate, since 1/tau + lambda = {problem.convexity:.3g}"
        remedy = ": take tau smaller to have one" if np.isfinite(problem.convexity) else ""
        note = "; ".join(filter(None, (note, why + remedy)))
    elif not solution.closed:
        note = "; ".join(filter(None, (note, "the gap did not close: take tau smaller")))
    mass_error = abs(new.mass - old.mass)
    kept = mass_error <= _MASS_TOLERANCE * old.mass
    if not kept:
        note = "; ".join(filter(None, (note, f"the mass changed by {mass_error:.1e}")))
    return StepInfo(
        status=Status.of(solution.closed and kept),
        gap=gap,
        relative_gap=gap / cost if cost > _STILL * solution.magnitude else np.nan,
        iterations=solution.iterations,
        mass_error=mass_error,
        min_density=float(new.values.min()),
        dissipation=energy_before(problem) - solution.energy - cost,
        transport_cost=cost,
        note=note,
    )


def energy_before(problem) -> float:
    """F at the start, +∞ above a cap."""
    cap = problem.energy.cap
    if cap is not None:
        room = cap.room(problem.start) if isinstance(cap, VariedCap) else cap * problem.widths
        if np.any(problem.masses > (1.0 + 1e-9) * room + 1e-13 * problem.masses.sum()):
            return np.inf
    return problem.energy.value(problem.start, problem.widths, problem.masses)


def energy_of(problem, point) -> float:
    """F at a point, its interaction included."""
    if problem.energy.interaction is None:
        return point.terms.energy
    return problem.energy.value(point.edges, point.widths, problem.masses)
