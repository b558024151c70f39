"""The exact JKO step by nested back-and-forth ascent of its dual."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar
from zlib import crc32

import numpy as np

from jko.errors import positive_number, whole_number
from jko.measures import Density
from jko.scheme import Scheme, State, StepInfo

_CAUTIONS = (0.65, 1.3, 2.6)  # multiples of the metric tried in turn; without the first where U* is stiff
_ROUND = 8
_HELPS = 0.97  # times the gap, at most, after a round of more pairs that is worth another
_MASS_TOLERANCE = 1e-8
_SETTLED = 1e-6  # change of ρ′ between passes of the interaction
_STILL = 0.125  # cells: where mass neither moves nor spreads by more, the step is lost in the grid's error
_AIM = 0.5  # of h²/8τ: a gap below the grid's own bias cannot be told from it, and half of it is aimed at


@dataclass(frozen=True, eq=False, repr=False)
class BackAndForth(Scheme):
    """ρ′ = argmin W₂²(ρ_k, ρ)/2τ + ∫U(ρ) + ∫Vρ with ρ ≤ cap, ρ = 0 in obstacles, in 1, 2 or 3 dimensions.

    Ascends the dual J(φ) = ∫φᶜ dρ_k − ∫U*(−φ − V), whose maximiser gives ρ′ = U*′(−φ − V), by
    preconditioned gradient steps in φ and in φᶜ in turn [JacobsLeeLeger2021], from coarse grids to fine and,
    where there is vacuum, within a box round the support.

    iterations: back-and-forth pairs on the given grid, the next coarser, …; the last holds for all coarser
    and the coarsest. tolerance: the relative gap at which a step counts as converged; up to `max_extra` more
    pairs try for it, and then longer or shorter steps. A gap below the grid's own bias, h²/8τ an axis, counts
    as converged too.
    obstacle: boolean array over the cells (or a Density, positive there) where ρ′ = 0 is forced. Mass travels
    in straight lines and may cross an obstacle thinner than a step: the cost is |x − y|².
    interaction_passes: interaction enters by W∗ρ, ρ = ρ_k first and then the last pass's ρ′; the note tells
    the last change. margin: of the box, of the support's width on each side. threads: of the kernels; more
    than 1 pays where as many cores are idle.

    The gap is the Fenchel–Young defect ∫U(ρ̂) + U*(p) − pρ̂ of the transported density ρ̂ = T_#ρ_k against
    p = −φ − V: primal minus dual for ρ̂, free of W₂. It does not bound what the grid itself costs, nor the
    pull-back's defect of mass; with interaction it is that of the last pass. `relative_gap` and
    `dissipation` take W₂²/2τ as (τ/2)∫|∇φ|²ρ′.

    `init` raises UnsupportedFunctional where neither an internal energy nor a cap holds the density together.
    A cap alone is held together by (ε/2)∫ρ², ε so small that a front is one cell wide; the note gives ε.
    """

    iterations: tuple[int, ...] = (2, 6, 12, 24, 48)
    tolerance: float = 0.05
    max_extra: int = 48
    obstacle: Any = None
    interaction_passes: int = 3
    margin: float = 0.05
    threads: int = 1

    takes: ClassVar[frozenset[str]] = frozenset(
        {"entropy", "internal", "potential", "interaction", "constraint"}
    )
    measures: ClassVar[tuple[type, ...]] = (Density,)
    order: ClassVar[int] = 1

    def __post_init__(self):
        if not self.iterations:
            raise ValueError("iterations: expected a number of pairs for each level, finest first, got none")
        for pairs in self.iterations:
            whole_number("iterations", pairs, least=0)
        positive_number("tolerance", self.tolerance)
        positive_number("margin", self.margin)
        whole_number("max_extra", self.max_extra, least=0)
        whole_number("interaction_passes", self.interaction_passes)
        whole_number("threads", self.threads)

    def __repr__(self) -> str:
        # an obstacle is told from another of the same shape, as a checkpoint must
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.obstacle is not None:
            mask = np.asarray(getattr(self.obstacle, "values", self.obstacle)) > 0
            shown["obstacle"] = f"<{mask.sum()} cells, {crc32(np.packbits(mask)):08x}>"
        return f"BackAndForth({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def init(self, F, mu) -> State:
        from jko.steps.dual.problem import DualProblem

        self.check(F, mu)
        return State({}, DualProblem(F, mu, self.obstacle, self.scheme_name()))

    def step(self, F, mu, tau, state):
        from jko.kernels.threads import kernel_threads

        tau = positive_number("tau", tau)
        problem = state.workspace
        passes = self.interaction_passes if problem.parts.interaction else 1
        field, values, notes = problem.interaction(mu.values), mu.values, []
        for _ in range(passes):
            with kernel_threads(self.threads):
                solution = self._solve(problem, mu, tau, field)
            found = solution.values(mu.grid)
            change = float(np.abs(found - values).sum()) * mu.grid.cell_volume / mu.mass
            values, previous = found, field
            field = problem.interaction(values)
            if change < _SETTLED:
                break
        if previous is not None:
            notes.append(f"interaction of the density before its last pass, which changed it by {change:.1e}")
        return Density(mu.grid, values), state, self._record(problem, mu, values, tau, solution, notes)

    def reflect(self, F, mu, tau, state):
        """2 J_{τ/2} − id for steps.SecondOrder."""
        from jko.steps.dual.grid_reflection import reflect_on_grid

        return reflect_on_grid(self, state.workspace, F, mu, tau, state)

    def _solve(self, problem, mu, tau, field):
        from jko.steps.dual.nesting import Region
        from jko.steps.dual.solution import DualSolution

        grid = mu.grid
        potential = problem.potential if field is None else problem.potential + field
        whole = Region(
            grid.spacing, (0,) * grid.dimension, mu.values, potential, problem.cap, problem.blocked
        )
        start = problem.energy(mu.values, field)

        def weighed(ascent, phi, region):
            found = DualSolution.of(ascent, phi, region, grid)
            return replace(found, rise=problem.energy(found.values(grid), field) - start)

        def good(solution):
            return solution.rise <= 0.0 and self._closed(solution.certificate, _AIM)

        best, spent = None, 0
        for caution in _CAUTIONS[1:] if problem.stiff else _CAUTIONS:
            found, pairs = self._polish(
                weighed(*self._ladder(problem, grid, whole, tau, caution)), weighed, good
            )
            spent += pairs
            if best is None or found.excess < best.excess:
                best = found
            if good(best):
                break
        return replace(best, iterations=spent)

    def _ladder(self, problem, grid, whole, tau, caution):
        from jko.steps.dual.nested_ascent import NestedAscent

        support, pairs = problem.full_support, self.iterations
        nested = NestedAscent(problem.internal, tau, support, pairs, self.margin, caution, self.threads)
        ascent, phi, region = nested.run(whole)
        if region.clips(ascent.normalise(phi)[1], grid.cells):
            ascent, phi, region = nested.run(whole, boxed=False)
        return ascent, phi, region

    def _polish(self, best, weighed, good):
        """More pairs on the given grid while they are needed and help; and how many there were in all."""
        ascent, phi = best.ascent, best.phi
        spent = ascent.iterations
        for _ in range(self.max_extra // _ROUND):
            if good(best):
                break
            phi = ascent.ascend(phi, _ROUND)
            spent += _ROUND
            found = weighed(ascent, phi, best.region)
            if not found.excess < _HELPS * best.excess:
                break
            best = found
        return best, spent

    def _closed(self, certificate, share=1.0):
        return certificate.gap <= max(self.tolerance * certificate.transport, share * certificate.grid_bias)

    def _record(self, problem, mu, values, tau, solution, notes):
        certificate, grid = solution.certificate, mu.grid
        bias = certificate.grid_bias
        if certificate.cells_moved < 1.0:
            notes.append(
                f"mass moves {certificate.cells_moved:.2g} cells (rms), h²/8τ is "
                f"{bias / max(certificate.transport, 1e-300):.2g} of W₂²/2τ: the grid is too coarse for tau"
            )
        if problem.regularisation:
            notes.append(f"the cap is held together by (ε/2)∫ρ², ε = {problem.regularisation:.2e}")
        before = problem.energy(mu.values, problem.interaction(mu.values))
        after = problem.energy(values, problem.interaction(values))
        converged = self._closed(certificate)
        if certificate.cells_moved < _STILL and problem.spread(mu.values, tau) < _STILL * max(grid.spacing):
            converged = False
            notes.append(
                "what a grid adds to a step exceeds the step: take a larger tau, or steps.MongeAmpere"
            )
        if not problem.parts.interaction and after > before + bias:
            converged = False
            notes.append(f"the energy rose by {after - before:.1e}")
        mass_error = abs(float(values.sum()) * grid.cell_volume - mu.mass)
        if mass_error > _MASS_TOLERANCE * mu.mass:
            converged = False
            notes.append(f"the mass changed by {mass_error:.1e}")
        if not converged and not notes:
            notes.append(
                f"the gap {certificate.gap:.1e} stayed above h²/8τ = {bias:.1e}: take a finer grid, "
                "a smaller tau or steps.Cvxpy"
            )
        return StepInfo(
            status="converged" if converged else "not converged",
            gap=certificate.gap,
            relative_gap=certificate.relative_gap,
            iterations=solution.iterations,
            mass_error=mass_error,
            min_density=float(values.min()),
            dissipation=before - after - certificate.transport,
            note="; ".join(notes),
        )
