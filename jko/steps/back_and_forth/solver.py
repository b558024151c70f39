"""The ascent of one step's dual: from coarse to fine, more pairs where they help, and other step sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from jko.measures import Density, Measure
from jko.records import joined
from jko.scheme import Scheme, Status, StepInfo
from jko.steps.back_and_forth.nested import NestedAscent
from jko.steps.back_and_forth.solution import DualSolution
from jko.steps.back_and_forth.tolerances import TOLERANCES
from jko.steps.grid.levels import Region


class DualSolver:
    """The step of `problem` from a density, with the settings of a BackAndForth."""

    def __init__(self, problem, settings: Scheme, mu: Density, tau: float, field):
        self.problem, self.settings, self.tau, self.grid = problem, settings, tau, mu.grid
        self.field, self.mu = field, mu
        potential = problem.potential if field is None else problem.potential + field
        corner, periodic = (0,) * mu.dimension, mu.grid.periodic
        self.whole = Region(mu.grid.spacing, corner, mu.values, potential, problem.blocked, periodic)
        self.start = problem.energy(mu.values, field)

    def solve(self, start=None) -> DualSolution:
        """The best potential found, with the pairs of all attempts on the given grid; the first attempt goes
        on from the solution of another field, if there is one."""
        best, spent = None, 0
        if start is not None:
            best, spent = self._polish(self.at(start))
            if self._good(best, TOLERANCES.enough) and not best.region.clips(best.density, self.grid.cells):
                return best.after(spent)
        for caution in TOLERANCES.cautions[1:] if self.problem.stiff else TOLERANCES.cautions:
            found, pairs = self._polish(self._weighed(*self._ladder(caution)))
            spent += pairs
            if best is None or found.excess < best.excess:
                best = found
            if self._good(best, TOLERANCES.enough) and self._precise(best):
                break
        return best.after(spent)

    def at(self, solution, values=None) -> DualSolution:
        """What the φ of another field's solution proves in this one, of the density it gives or of these
        values."""
        region = replace(solution.region, potential=solution.region.cut(self.whole.potential))
        ascent = self._nested(solution.ascent.caution).ascent(region.coarse(region.cells))
        return self._weighed(ascent, solution.phi, region, values)

    def _weighed(self, ascent, phi: np.ndarray, region: Region, values=None):
        found = DualSolution.of(ascent, phi, region, self.grid)
        return found.weighed(self.problem, self.field, self.start, self.mu, values)

    def _precise(self, solution: DualSolution):
        """Whether W₂²/2τ has digits: on the line, where gaps hold nothing of a grid's own, others are tried
        before one is left that lets it be off by 2√(gap/(W₂²/2τ)). On a circle a gap holds h²/8τ."""
        own = self.grid.dimension > 1 or self.grid.is_periodic
        return own or solution.gap <= TOLERANCES.near * solution.cost

    def _good(self, solution: DualSolution, share: float):
        return solution.rise <= 0.0 and solution.certificate.closes(
            solution.gap, self.settings.tolerance, share
        )

    def _nested(self, caution: float):
        support, settings = self.problem.full_support, self.settings
        return NestedAscent(
            self.problem.internal,
            self.tau,
            support,
            settings.iterations or TOLERANCES.pairs[self.grid.dimension - 1],
            settings.margin,
            caution,
            settings.threads,
        )

    def _ladder(self, caution: float):
        nested = self._nested(caution)
        ascent, phi, region = nested.run(self.whole)
        if region.clips(ascent.normalise(phi)[1], self.grid.cells):
            ascent, phi, region = nested.run(self.whole, boxed=False)
        return ascent, phi, region

    def _polish(self, best: DualSolution):
        """More pairs on the given grid while they are needed and help; and how many there were in all."""
        ascent, phi = best.ascent, best.phi
        spent = ascent.iterations
        for _ in range(self.settings.max_extra // TOLERANCES.extra_pairs):
            if self._good(best, TOLERANCES.aim):
                break
            phi = ascent.ascend(phi, TOLERANCES.extra_pairs)
            spent += TOLERANCES.extra_pairs
            found = self._weighed(ascent, phi, best.region)
            if not found.excess < TOLERANCES.helps * best.excess:
                break
            best = found
        return best, spent


@dataclass(frozen=True)
class Taken:
    """ρ′ = (1 − share)·ρ_k + share·ρ̃ of a solution's ρ̃; F(ρ_k), F(ρ′), and `cost` share·W₂²(ρ_k, ρ̃)/2τ."""

    values: np.ndarray
    share: float
    before: float
    after: float
    cost: float

    @property
    def objective(self) -> float:
        """F(ρ′) + cost, no less than the step's own objective since W₂² is convex along mixtures."""
        return self.after + self.cost

    @property
    def dissipation(self) -> float:
        """F(ρ_k) − F(ρ′) − cost."""
        return self.before - self.objective


def take(problem, mu: Density, values: np.ndarray, cost: float) -> Taken:
    """ρ̃ itself, or where F(ρ̃) + W₂²/2τ exceeds F(ρ_k), as by the grid's error it may, the mixture of the
    least objective among halved shares.

    At share 0 the density stays, which no exact step does worse than: F never rises.
    """
    start = mu.values
    fields = problem.interaction(start), problem.interaction(values)
    before = problem.energy(start, fields[0]) if problem.admits(start) else math.inf

    def mixed(share: float):
        rho = values if share == 1.0 else (1.0 - share) * start + share * values
        field = None if fields[0] is None else (1.0 - share) * fields[0] + share * fields[1]
        return Taken(rho, share, before, problem.energy(rho, field), share * cost)

    whole = mixed(1.0)
    if whole.dissipation >= -TOLERANCES.rounding * problem.size(values, fields[1]):
        return whole
    shares = [0.5**k for k in range(1, TOLERANCES.mixing_halvings + 1)] + [0.0]
    return min(map(mixed, shares), key=lambda taken: taken.objective)


def record(
    problem,
    settings: Scheme,
    mu: Density,
    tau: float,
    solution: DualSolution,
    taken: Taken,
    note: str,
    details: dict,
) -> StepInfo:
    """The StepInfo of what was taken of a solution, with `share` and `cells_moved` among its details."""
    certificate, values = solution.certificate, taken.values
    gap = solution.gap if taken.share == 1.0 else solution.gap_of(values, taken.cost, mu.grid)
    cautions = [_shortened(taken), _coarse(certificate), _inadmissible(taken), _straight(mu)]
    mass_error = abs(float(values.sum()) * mu.grid.cell_volume - mu.mass)
    failures = [
        _lost(problem, mu, tau, certificate),
        f"the mass changed by {mass_error:.1e}" if mass_error > TOLERANCES.mass * mu.mass else "",
        "" if certificate.closes(gap, settings.tolerance) else _open(gap, certificate),
        _huge(problem, settings, mu, tau, gap, taken),
        "" if taken.share == 1.0 else _unfinished(problem, settings, mu, tau, gap, taken),
    ]
    if any(failures) and problem.blocked is not None:
        failures.append("steps.PrimalDual takes obstacles of any size, and goes round them")
    gap = max(gap, 0.0)
    return StepInfo(
        status=Status.of(not any(failures)),
        gap=gap,
        relative_gap=gap / taken.cost if taken.cost > 0.0 else (math.inf if gap > 0.0 else 0.0),
        iterations=solution.iterations,
        mass_error=mass_error,
        min_density=float(values.min()),
        dissipation=taken.dissipation,
        transport_cost=taken.cost,
        note=joined(note, *cautions, *failures),
        details={**details, "share": taken.share, "cells_moved": float(certificate.cells_moved)},
    )


def _straight(mu: Density):
    return "mass goes in straight lines, also through the walls of the room" if mu.grid.is_room else ""


def _shortened(taken: Taken):
    if taken.share == 1.0:
        return ""
    if taken.share == 0.0:
        return "no part of the step lowers F + W₂²/2τ on this grid: the density stays"
    return f"shortened to the share {taken.share:.2g} of itself, where F + W₂²/2τ is least on this grid"


def _coarse(certificate):
    if certificate.cells_moved >= 1.0:
        return ""
    share = certificate.grid_bias / max(certificate.transport, 1e-300)
    return (
        f"mass moves {certificate.cells_moved:.2g} cells (rms), h²/8τ is {share:.2g} of W₂²/2τ: "
        "the grid is too coarse for tau"
    )


def _inadmissible(taken: Taken):
    if math.isfinite(taken.before):
        return ""
    return "the density before lies in the obstacle, so that F fell from ∞"


def _lost(problem, mu: Density, tau: float, certificate):
    if certificate.cells_moved >= TOLERANCES.still:
        return ""
    least = _least_tau(problem, mu, TOLERANCES.still)
    if tau >= least:
        return ""
    other = "" if problem.blocked is not None else ", or steps.MongeAmpere"
    return f"what a grid adds to a step exceeds the step: take tau above {least:.1e}, or a finer grid{other}"


def _huge(problem, settings: Scheme, mu: Density, tau: float, gap: float, taken: Taken):
    """Why a whole step whose gap is no small part of W₂²/2τ is not the flow's end."""
    if (
        taken.share < 1.0
        or gap <= TOLERANCES.huge * taken.cost
        or gap <= _at_end(problem, settings, mu, tau, taken)
    ):
        return ""
    share = gap / max(taken.cost, 1e-300)
    return f"the gap {gap:.1e} is {share:.2g} of W₂²/2τ: take a finer grid or a larger tau"


def _at_end(problem, settings, mu: Measure, tau: float, taken):
    """The gap that a flow at its end may leave."""
    field = problem.interaction(mu.values)
    size = problem.size(taken.values, field)
    return settings.tolerance * problem.forces(mu.values, field, tau) + TOLERANCES.floor * size


def _unfinished(problem, settings, mu: Measure, tau: float, gap, taken):
    """Why a shortened step is not the flow's end."""
    enough = _at_end(problem, settings, mu, tau, taken)
    if gap <= enough:
        return ""
    return (
        f"the gap {gap:.1e} is more than a flow at its end leaves, {enough:.1e}, so the grid is too coarse: "
        f"take a finer one, or tau above {max(_least_tau(problem, mu, 1.0), 2.0 * tau):.1e}"
    )


def _least_tau(problem, mu: Measure, cells):
    return problem.least_tau(mu.values, cells * max(mu.grid.spacing))


def _open(gap, certificate):
    return (
        f"the gap {gap:.1e} stayed above h²/8τ = {certificate.grid_bias:.1e}: take a finer grid, a smaller "
        "tau or a larger max_extra"
    )
