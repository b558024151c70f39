"""The exact JKO step by nested back-and-forth ascent of its dual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from functionals import Functional
from jko.bounds import Space
from jko.errors import positive_number, whole_number
from jko.measures import Density, Measure
from jko.scheme import Problem, Scheme, State


@dataclass(frozen=True, eq=False, repr=False)
class BackAndForth(Scheme):
    """ρ′ = argmin W₂²(ρ_k, ρ)/2τ + ∫U(ρ) + ∫Vρ with ρ = 0 in obstacles, in 1, 2 or 3 dimensions.

    Ascends the dual J(φ) = ∫φᶜ dρ_k − ∫U*(−φ − V), whose maximiser gives ρ′ = U*′(−φ − V), by
    preconditioned gradient steps in φ and in φᶜ in turn [JacobsLeeLeger2021], from coarse grids to fine and,
    where there is vacuum, within a box round the support.

    iterations: back-and-forth pairs on the given grid, the next coarser, …; the last holds for all coarser
    and the coarsest; (2, 6, 12, 24, 48), and on the line (8, 8, 12, 24, 48), unless given.
    tolerance: the relative gap at which a step counts as converged; up to `max_extra` more pairs try for it,
    and then longer or shorter steps. A gap below the grid's own bias, h²/8τ an axis, counts as converged too,
    but not above a tenth of W₂²/2τ unless the flow is at its end, nor where mass left to itself would move or
    spread by less than an eighth of a cell.
    obstacle: boolean array over the cells (or a Density, positive there) where ρ′ = 0 is forced. Mass travels
    in straight lines and may cross an obstacle thinner than a step: the cost is |x − y|². The walls of a room
    are such obstacles, also those between parts that no way joins; each record's note says so.
    On a torus the cost is the squared distance to the nearest image, and φ, as all fields, goes on by
    periods. interaction_passes: at most; the interaction enters by W∗ρ, of ρ = ρ_k first and then of ρ′,
    mixed until what is left of the gap of the whole step is small beside the ascent's own; where F + W₂²/2τ
    would rise, by ever shorter steps from the best. margin: of the box, of the support's width on each side.
    threads: of the compiled loops; more than 1 pays where as many cores are idle.

    F never rises. Where the grid's error would let F(ρ′) + W₂²/2τ exceed F(ρ_k), ρ′ is the mixture of ρ_k
    and the step that has the least objective, ρ_k itself in the end; the note tells the share. Such a step
    converged only if its gap, then that of the mixture against the dual value, is below `tolerance` of
    (τ/2)∫|∇V|² + |∇U′(ρ_k)|² dρ_k: a flow that has come to its end.

    ρ′ is U*′(−φ − V), and T_#ρ_k where that is far worse: U* may be steep in vacuum, where noise in φ then
    puts mass far from the front.

    On the line the gap is F(ρ′) + W₂²/2τ of the stored densities less the dual value. Elsewhere it is the
    Fenchel–Young defect ∫U(ρ̂) + U*(p) − pρ̂ of the transported density ρ̂ = T_#ρ_k against p = −φ − V: primal
    minus dual for ρ̂, free of W₂; or, where that is more, the first with W₂ of the marginals along the axes,
    which is no more than W₂. There `relative_gap` and `dissipation` take W₂²/2τ as (τ/2)∫|∇φ|²ρ′, or of the
    marginals where that is more. It does not bound what the grid itself costs, up to h²/8τ an axis. With
    interaction it is that of the step with W∗ρ′ of its own ρ′, the tangent in the place of the interaction.
    Parts that an empty gap divides keep their masses. Dissipation is ∞ where ρ_k lies in the obstacle.

    `prepare` raises UnsupportedFunctional where no internal energy holds the density together, and for caps,
    under which an ascent on a grid locks: finer grids are no nearer to the step. steps.PrimalDual takes them.
    """

    iterations: tuple[int, ...] | None = None
    tolerance: float = 0.05
    max_extra: int = 48
    obstacle: Any = None
    interaction_passes: int = 30
    margin: float = 0.05
    threads: int = 1

    takes: ClassVar[frozenset[str]] = frozenset({"entropy", "internal", "potential", "interaction"})
    measures: ClassVar[tuple[type, ...]] = (Density,)
    order: ClassVar[int] = 1
    periodic: ClassVar[bool] = True
    rooms: ClassVar[bool] = True

    def __post_init__(self):
        if self.iterations == ():
            raise ValueError("iterations: expected a number of pairs for each level, finest first, got none")
        for pairs in self.iterations or ():
            whole_number("iterations", pairs, least=0)
        positive_number("tolerance", self.tolerance)
        positive_number("margin", self.margin)
        whole_number("max_extra", self.max_extra, least=0)
        whole_number("interaction_passes", self.interaction_passes)
        whole_number("threads", self.threads)

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        from jko.steps.grid.energy import DualProblem, require_scale

        self.check(F, mu)
        require_scale(mu.values, single=True)
        if mu.grid.is_periodic and (mu.grid.is_room or self.obstacle is not None):
            raise ValueError(
                f"{self.scheme_name()} takes obstacles and rooms in a box, got {mu.grid!r}: take "
                "limits.FiniteVolume, or leave periodic, obstacle and inside out"
            )
        return Problem(F, lambda F: DualProblem(F, mu, self.obstacle, self.scheme_name()))

    def moving_step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        values, info, _, _ = self.solved(problem, mu, t, tau)
        return Density(mu.grid, values), state, info

    def solved(self, problem: Problem, mu: Measure, t: float, tau: float):
        """A step as (ρ′, its record, the share of it that was taken, what was solved), the last for its
        derivative."""
        dual = problem.at(t + tau)
        return self._take(mu, dual.checked(tau), dual)

    def space_of_steps(self, problem: Problem, mu: Measure):
        # on a torus W₂² is less convex than in a box, and no bound is proven
        return Space.NONE if mu.grid.is_periodic else Space.GRID

    def reflect(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        """2 J_{τ/2} − id for steps.SecondOrder."""
        from jko.steps.grid.reflection import none, reflect_on_grid

        dual = problem.at(t + 0.5 * tau)
        values, info, share, _ = self._take(mu, 0.5 * tau, dual)
        half = Density(mu.grid, values), state, info
        if share < 1.0:
            return none(half, "the half step was shortened")
        return reflect_on_grid(half, dual, mu, tau)

    def _take(self, mu: Density, tau: float, problem):
        from jko.loops.threads import loop_threads
        from jko.steps.back_and_forth.interaction_passes import settle
        from jko.steps.back_and_forth.solver import record, take

        with loop_threads(self.threads):
            solution, note, details = settle(problem, self, mu, tau)
        taken = take(problem, mu, solution.values, solution.cost)
        info = record(problem, self, mu, tau, solution, taken, note, details)
        return taken.values, info, taken.share, solution
