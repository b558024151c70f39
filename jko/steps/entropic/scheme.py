"""The entropic JKO step by scaling, with its bias reported or removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from functionals import Functional
from jko.errors import positive_number, whole_number
from jko.measures import Density, Grid, Measure
from jko.records import joined
from jko.scheme import Problem, Scheme, State, Status, StepInfo
from jko.steps.entropic.tolerances import TOLERANCES


@dataclass(frozen=True)
class Entropic(Scheme):
    """min over plans π of (1/τ)[∫½|x − y|²dπ + ε KL(π | ρ_k ⊗ dy)] + F(ρ), ρ the second marginal [Peyre2015].

    Scaling in the log domain with separable Gaussian kernels of variance ε, from coarse grids to fine, mixed
    by Anderson's method; the energy enters by its proximal map for the Kullback–Leibler divergence, cell by
    cell.
    A sequence of such steps follows the flow of F + (α/2)∫ρ log ρ with α = ε/τ, a diffusion (α/2)Δρ too much
    [CarlierDuvalPeyreSchmitzer2017]. `debias` takes that entropy off again inside the step, which stays
    convex: what is left is O(α²).

    epsilon: a squared length; (1.5 h)² with h the widest spacing unless given, at least (0.7 h)². tolerance:
    the L1 distance between the plan's second marginal and the density that F asks for at its potentials.
    interaction_passes: at most so many; the interaction enters by W∗ρ, in passes that descend the step's
    objective until a further one could take off no more than `tolerance` times what it fell by, and α.

    `gap` is of the entropic step: what its objective exceeds the least by, at the plan's own second marginal.
    `dissipation` is what the same objective falls by from ρ_k to ρ′, F(ρ_k) − F(ρ′) − C with C the plan's
    cost less that of the best plan from ρ_k to itself, and with `debias` less (α/2)∫ρ log ρ between the
    two. Its sign is proved, ρ_k being a candidate (∞ where ρ_k exceeds a cap). De-biased, C is W₂²/2τ up to
    O(α²); where it is negative, or F rose, the bias exceeds the step, which is then not converged.
    `transport_cost`, to which `relative_gap` is relative, is the Sinkhorn divergence of ρ_k and ρ′ over τ,
    C with half of what staying at ρ_k costs more than staying at ρ′: W₂²/2τ + O(α²) as well, but 0 of equal
    densities and no less of others [FeydyEtAl2019], so that its error is small beside it in a short step
    too. NaN where it is negative beyond rounding, as between ways round walls it may be. `details`: `alpha`,
    and `exact_gap`, what the gap of the exact step is at most.
    In a room |x − y| is the length of the shortest way round the walls, up to 4096 cells of a line or a
    plane. Else paths are those of free space, the mass stays on the grid; on a periodic grid |x − y| is the
    distance on the torus, and √ε at most 1/16 of its length.
    """

    epsilon: float | None = None
    debias: bool = True
    tolerance: float = 3e-5
    max_iterations: int = 500
    interaction_passes: int = 100

    mass_tolerance: ClassVar[float] = 1e-8
    takes: ClassVar[frozenset[str]] = frozenset(
        {"entropy", "internal", "potential", "interaction", "constraint"}
    )
    measures: ClassVar[tuple[type, ...]] = (Density,)
    order: ClassVar[int] = 1
    periodic: ClassVar[bool] = True
    rooms: ClassVar[bool] = True

    def __post_init__(self):
        if self.epsilon is not None:
            positive_number("epsilon", self.epsilon)
        positive_number("tolerance", self.tolerance)
        whole_number("max_iterations", self.max_iterations)
        whole_number("interaction_passes", self.interaction_passes)

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        from jko.steps.entropic.scaling import ScalingProblem

        self.check(F, mu)
        if mu.grid.room is not None:
            from jko.steps.entropic.room import require

            require(mu.grid)
        return Problem(F, lambda F: ScalingProblem(F, mu, self._epsilon(mu.grid)))

    def _epsilon(self, grid: Grid):
        widest = max(grid.spacing)
        epsilon = (TOLERANCES.blur * widest) ** 2 if self.epsilon is None else self.epsilon
        turns = [b - a for a, b, turns in zip(grid.lower, grid.upper, grid.periodic, strict=True) if turns]
        most = (min(turns) / TOLERANCES.turns) ** 2 if turns else np.inf
        if epsilon > most:
            raise ValueError(
                f"epsilon: expected at most (length/16)² = {most:.2g} on a periodic axis, got {epsilon:.2g}; "
                "take a smaller one or a finer grid"
            )
        if self.epsilon is None:
            return epsilon
        if self.epsilon < (TOLERANCES.least_blur * widest) ** 2:
            raise ValueError(
                f"epsilon: expected at least (0.7 h)² = {(TOLERANCES.least_blur * widest) ** 2:.2g} on cells "
                f"of width {widest:.2g}, got {self.epsilon:.2g}; take a finer grid"
            )
        return float(self.epsilon)

    def moving_step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        from jko.steps.entropic.interaction_passes import by_passes

        scaling = problem.at(t + tau)
        tau = scaling.checked(tau)
        found = by_passes(scaling, mu.values, tau, 0.5 if self.debias else 0.0, self)
        scaled = found.scaled
        if not np.isfinite(scaled.mismatch):
            return mu, state, _overflowed(scaled.step.alpha, tau)
        missing = abs(float(scaled.wanted.sum()) - mu.values.sum()) * mu.grid.cell_volume
        if missing > self.mass_tolerance * mu.mass:
            return mu, state, _lost(scaled, missing, tau)
        return Density(mu.grid, found.values), state, self._record(scaling, mu, found)

    def _record(self, problem, mu: Density, found):
        from jko.steps.entropic.certificate import certify

        scaled, values, cell = found.scaled, found.values, mu.grid.cell_volume
        certificate = certify(scaled, found.staying, cell, mu.grid.axes)
        field, alpha, tau = problem.interaction(mu.values), scaled.step.alpha, scaled.step.tau
        before = problem.energy(mu.values, field) if problem.admits(mu.values) else np.inf
        after = problem.energy(values, found.field)
        mass_error = abs(float(values.sum()) * cell - mu.mass)
        said = "removed to first order" if self.debias else "left in"
        gap = certificate.gap + max(found.residual, 0.0)
        notes = [
            f"interaction in {found.passes} passes" if problem.parts.interaction else "",
            f"bias (α/2)Δρ {said}, α/2 = {0.5 * alpha:.2e}",
            f"the exact step's gap is at most {gap + certificate.plan_slack:.1e}" if np.isfinite(gap) else "",
        ]
        noise = TOLERANCES.rounding * (alpha * mu.mass + abs(after))
        forces, spread = problem.forces(mu.values, field, tau), problem.range_on(mu.values, field)
        slack = TOLERANCES.balanced * min(forces, spread) + noise
        dissipation = before - after - certificate.cost
        failures = [
            _apart(scaled, self.tolerance),
            f"the mass changed by {mass_error:.1e}" if mass_error > self.mass_tolerance * mu.mass else "",
            _unsettled(found),
            "" if np.isfinite(gap) else f"rounding at α = {alpha:.1e} leaves it no bound: take a larger tau",
            _risen(dissipation, found.allowed if problem.parts.interaction else 0.0, certificate.gap, slack),
            _biased(certificate.debiased, after - before, slack, self.epsilon) if self.debias else "",
            "" if certificate.transport >= -slack else "its Sinkhorn divergence is negative",
        ]
        transport = certificate.transport if certificate.transport >= -slack else np.nan
        return StepInfo(
            status=Status.of(not any(failures)),
            gap=gap,
            relative_gap=gap / transport if transport > 0.0 else np.inf,
            iterations=found.rounds,
            mass_error=mass_error,
            min_density=float(values.min()),
            dissipation=dissipation,
            transport_cost=np.maximum(transport, 0.0),
            note=joined(*notes, *failures),
            details={"alpha": alpha, "exact_gap": gap + certificate.plan_slack, "passes": found.passes},
        )


def _overflowed(alpha, tau: float):
    return StepInfo(
        status=Status.NOT_CONVERGED,
        note=f"the potentials overflow where α = ε/τ is {alpha:.1e} at tau = {tau:g}: raise epsilon, or take "
        "a smaller tau",
    )


def _lost(scaled, missing, tau: float):
    return StepInfo(
        status=Status.NOT_CONVERGED,
        iterations=scaled.iterations,
        note=f"no density of the mass before was found at tau = {tau:g}, the best misses {missing:.1e}, so "
        "that the density stays: take a smaller tau or a larger epsilon",
    )


def _apart(scaled, tolerance: float):
    if scaled.mismatch <= tolerance:
        return ""
    return (
        f"the marginals are {scaled.mismatch:.1e} apart after {scaled.iterations} rounds: raise "
        "max_iterations, epsilon or tolerance"
    )


def _unsettled(found):
    if found.residual <= found.allowed:
        return ""
    return (
        f"after {found.passes} passes the interaction may still lower the objective by {found.residual:.1e}: "
        "raise interaction_passes, take a smaller tau, or steps.PrimalDual"
    )


def _risen(dissipation: float, residual: float, gap: float, slack: float):
    """What the minimisation rules out, ρ_k being a candidate."""
    if dissipation >= -(gap + residual + slack):
        return ""
    return f"the step's own objective rose by {-dissipation:.1e}: take a smaller tau or raise max_iterations"


def _biased(transport: float, rise: float, slack: float, epsilon: float | None):
    """Why what is left of the bias is too much for a step, or nothing."""
    if transport >= -slack and rise <= slack:
        return ""
    found = f"the energy rose by {rise:.1e}" if rise > slack else f"its cost is {transport:.1e}"
    finer = "a finer grid" if epsilon is None else f"an epsilon below {epsilon:.2g}"
    return f"what the entropy adds to a step exceeds the step, {found}: take a larger tau or {finer}"
