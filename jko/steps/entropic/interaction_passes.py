"""The interaction of an entropic step by passes: a descent of the step's own objective, with a gap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.scheme import Scheme
from jko.steps.entropic.certificate import entropic_cost, self_cost
from jko.steps.entropic.scaling import solve
from jko.steps.entropic.tolerances import TOLERANCES


@dataclass
class Solution:
    """The last plan, the density it asks for, its W∗ρ, the cost of staying, the rounds, `residual`, what a
    further pass may still take off the objective, and `allowed`, the residual of a settled step: the
    tolerance times α and what the objective falls by."""

    scaled: object
    values: np.ndarray
    field: np.ndarray | None
    staying: float
    rounds: int
    residual: float = 0.0
    allowed: float = math.inf
    passes: int = 1


def by_passes(problem, values: np.ndarray, tau: float, share: float, settings: Scheme) -> Solution:
    """min over ρ of C(ρ) + F(ρ), C the entropic cost from ρ_k = `values` less that of staying.

    A pass takes W∗ρʲ for the interaction: a convex problem, whose solution ρ̂ gives the gap
    D = G(ρʲ) − G(ρ̂) − ∫W∗ρʲ(ρ̂ − ρʲ), G = C + F without the interaction; its quadratic remainder is
    Q = ∬W d(ρ̂ − ρʲ)². With ρʲ⁺¹ = ρʲ + s(ρ̂ − ρʲ), s = min(1, D/Q), 1 where Q ≤ 0, the objective falls by
    no less than sD − s²Q/2 ≥ sD/2, G being convex along the mixed plans: generalised conditional gradients
    [BrediesLorenzMaass2009], which for an attraction are convex–concave. Where W is linearly convex the
    objective exceeds its least by at most D.
    """
    cell, start = problem.grid.cell_volume, values
    field = problem.interaction(values)
    local = problem.local(values) if problem.admits(values) else math.inf
    first = local if field is None else local + 0.5 * cell * float(np.vdot(field, values))
    scaled, staying, rounds = None, None, 0
    for count in range(1, settings.interaction_passes + 1):
        step = problem.step(start, field, tau, share)
        warm, scaled = scaled, solve(step, settings.tolerance, settings.max_iterations, scaled)
        rounds += scaled.iterations
        if warm is not None and not scaled.mismatch <= TOLERANCES.unsolved:
            scaled = solve(step, settings.tolerance, settings.max_iterations)
            rounds += scaled.iterations
        staying = self_cost(step) if staying is None else staying
        new = problem.spread(scaled.wanted)
        found = Solution(scaled, new, None, staying, rounds, passes=count)
        if field is None or not _sound(scaled, settings):
            return found
        found.field = problem.interaction(new)
        local_new = cell * entropic_cost(scaled, staying) + problem.local(new)
        change = new - values
        found.residual = local - local_new - cell * float(np.vdot(field, change))
        curvature = cell * float(np.vdot(found.field - field, change))
        fall = first - local_new - 0.5 * cell * float(np.vdot(found.field, new))
        scale = step.alpha * cell * float(start.sum())
        found.allowed = settings.tolerance * (scale + (fall if 0.0 < fall < math.inf else 0.0))
        if found.residual <= found.allowed:
            return found
        s = 1.0 if curvature <= found.residual else found.residual / curvature
        values, field = values + s * change, field + s * (found.field - field)
        local = local_new if s == 1.0 else (1.0 - s) * local + s * local_new
    return found


def _sound(scaled, settings: Scheme):
    missing = abs(float(scaled.wanted.sum() / scaled.step.rho.sum()) - 1.0)
    return scaled.mismatch <= TOLERANCES.unsolved and missing <= settings.mass_tolerance
