"""The interaction of an exact step with its own density: ascents in fields mixed from those of the last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.measures import Density, Measure
from jko.scheme import Scheme
from jko.steps.back_and_forth.solution import DualSolution
from jko.steps.back_and_forth.solver import DualSolver
from jko.steps.back_and_forth.tolerances import TOLERANCES
from jko.steps.grid.interaction_passes import InteractionPasses


@dataclass(frozen=True)
class _Pass:
    """The field that was held, W∗ρ′ of its answer ρ′, the solution with that in its potential, and
    the objective W₂²/2τ + F(ρ′) with the gap that its ascent left."""

    field: np.ndarray
    image: np.ndarray
    solution: DualSolution
    objective: float
    unsolved: float

    @property
    def gap(self) -> float:
        """Of the whole step, the lag of the field included."""
        return self.solution.gap

    def settled(self, tolerance: float) -> bool:
        """Whether the lag is small beside what the ascent left, and that is a converged step's."""
        certificate = self.solution.certificate
        enough = max(TOLERANCES.lag * self.unsolved, TOLERANCES.settled_gap * self.solution.cost)
        return self.gap <= enough and certificate.closes(self.gap, tolerance)


def settle(problem, settings: Scheme, mu: Density, tau: float):
    """(the solution with W∗ρ′ in its potential, a note, its details): ρ ↦ ρ′ ↦ W∗ρ′ mixed to a fixed point
    [WalkerNi2011], and where the objective would rise, by ever shorter steps from the best.

    Any φ bounds the step with W∗ρ′ of its own ρ′ from below: the gap is that of φ with this field, free of
    the one that it was found in.
    """
    passes = InteractionPasses(problem, mu.values, tau, settings.interaction_passes)
    if passes.field is None:
        return DualSolver(problem, settings, mu, tau, None).solve(), "", {}
    best, share, found, spent, since = None, 1.0, None, 0, 0
    for field in passes:
        found = DualSolver(problem, settings, mu, tau, field).solve(found)
        spent += found.iterations
        passes.image = problem.interaction(found.values)
        now = _examined(problem, settings, mu, tau, passes, found)
        since += 1
        if best is None or _better(now, best, settings.tolerance):
            best, share, since = now, 1.0, 0
        if (
            best.settled(settings.tolerance)
            or since >= TOLERANCES.stalled_passes
            or share < TOLERANCES.least_share
        ):
            break
        if now.objective > best.objective + now.unsolved:
            share = 0.5 * share
            passes.retreat(best.field, best.image, share)
    lag = max(best.gap - best.unsolved, 0.0)
    note = f"{passes.number} passes of the interaction, whose lag is {lag:.1e} of the gap{problem.caution}"
    return best.solution.after(spent), note, {"passes": passes.number, "lag": lag}


def _examined(problem, settings, mu: Measure, tau: float, passes, found):
    own = DualSolver(problem, settings, mu, tau, passes.image).at(found, found.values)
    objective = problem.energy(found.values, passes.image) + found.cost
    return _Pass(passes.field, passes.image, own, objective, max(found.gap, 0.0))


def _better(now, best, tolerance: float):
    """The lesser objective, and of equal ones, as far as their ascents tell, the lesser gap."""
    closed = now.solution.certificate.closes(now.unsolved, tolerance)
    if closed is not best.solution.certificate.closes(best.unsolved, tolerance):
        return closed
    doubt = now.unsolved + best.unsolved
    if abs(now.objective - best.objective) > doubt:
        return now.objective < best.objective
    return now.gap < best.gap
