"""FiniteVolume: ∂_tρ = ∇·(ρ∇δF/δρ) on a grid, for every functional, with its structure kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from functionals.base import Functional
from jko.errors import UnsupportedFunctional, positive_number
from jko.full import fits
from jko.measures import Density, LineDensity, Measure
from jko.metric import frozen_metric
from jko.mobility import Mobility
from jko.scheme import KINDS, Problem, Scheme, State, Status, StepInfo


@dataclass(frozen=True)
class FiniteVolume(Scheme):
    """The Wasserstein gradient flow ∂_tρ = ∇·(ρ∇ξ), ξ = δF/δρ, d = 1, 2, 3, no flux through walls, those of a
    room as well.

    Fluxes −M Δξ/h with a mobility M ≥ 0 on the faces, implicit in the diffusion, one axis after the other
    (Strang's splitting); order 2 in h and τ where the solution is smooth. Along an axis, with V and the
    interaction in Ψ:

    * entropy alone: Scharfetter–Gummel fluxes, a linear M-matrix a line [ScharfetterGummel1969];
    * any other convex U, on the line also under a cap: ρ′ = (U*)′(ξ − Ψ) between 0 and the cap, a convex
      problem a line, M iterated;
    * no internal energy and no cap: limited upwind fluxes [VanLeer1974].

    Energies of the gradient (`Dirichlet`, `FisherInformation`, `GradientEnergy`), and of ρ at its place or
    not convex, are implicit with everything of ρ beside them, on all axes together: Newton's method on the
    whole line or plane, walls or periodic.

    On edges of one's own (`Grid.from_edges`, `Grid.radial`) the fluxes go through the areas of the faces over
    the distances of the centroids, and what is solved for is the mass in cells; of order 2 where neighbouring
    cells are alike. There internal energies, under a cap or not, potentials and interactions are taken.

    A cap without internal energy, and in the plane, in space and on a torus with one, is a convex problem of
    all axes together, solved in substeps of order 1: a full crowd gives way sideways.

    A periodic axis closes on itself; V and the kernel are read on the box, W at the nearest image. There any
    other U without a cap is implicit on all axes together, as with a mobility.

    Two stages (SDIRK) are tried first. They, and the midpoint iteration for the interaction
    [BailoCarrilloHu2020], are checked at every step for positivity and for F(ρ′) ≤ F(ρ); where a check
    fails, implicit Euler, then as many shorter steps as τ needs take their place, counted in `details`;
    a τ that would need thousands is not converged, and nothing of it is done. An interaction beside a U that
    is no entropy is taken in substeps from the start that carry mass over a cell. Lines of such
    a U are taken in substeps as −∂ξ carries mass over cells, the first 100 of one cell each, later ones as
    long as cells change little: at rest ∂ξ is 0, so that a long step costs what it takes to come to rest.

    Guaranteed by construction: mass to rounding; ρ ≥ 0, and ρ > 0 under an entropy up to underflow; of
    implicit Euler with V, any U and caps, decay of F for any τ. By check and fallback: decay with two
    stages, with an interaction, and with a functional known only by its energy. A step on which rounding
    alone would raise F stays where it is.

    reaction: mass that is made and lost, ∂_tρ = ∇·(ρ∇ξ) + ρg, by Strang's splitting, of order 2: a functional
    G, g = −(δG/δρ)/δ² with δ the `length`, which for G = F is the Hellinger–Kantorovich flow; or g itself, a
    jax function g(x, ρ) of a point `[d]` and a density. `details` then hold what was `made` and what `left`,
    and mass after = mass before + made − left to `mass_error`; decay of F is that of the transport alone.
    The growth of a G with a cap ends at it. Under a cap of F alone what has grown is pushed on, at most a
    cell beyond the front in a step: a τ that asks for more is not converged.

    Doors, ρ = 0 in their cells [Redner2001]: what comes there is gone, and `details` hold it as `out`, with
    mass after = mass before − out to `mass_error`. F may rise as mass leaves, and no step is shortened for
    it; `dissipation` is then of either sign. With the entropy, a cap alone, or neither.

    mobility: M in ∂_tρ = ∇·(M(ρ)A∇ξ), a `jko.Mobility`, `jko.Exclusion(cap)`, a jax function of a density or
    "exclusion"; metric: A, a symmetric positive definite matrix or a jax function of a point `[d]` that gives
    one. Implicit with all of F, 0 ≤ ρ ≤ cap by construction; order 2, next to walls that an oblique A looks
    through 1, and where no internal energy spreads a drift 1. On boxes, tori and in rooms; no cap in F, no
    doors and no reaction beside them, and in space a diagonal A. A mobility has to be 0 at 0 and at its cap.
    A strongly turned A looks over many cells: `details` hold how many, `edge`, and which share of the grid,
    `edge_share`; the note says what beyond a tenth, and beyond a quarter is refused.

    cost_exponent: p of a cost |y − x|^p, on the line, whose flow is ∂_tρ = ∂_x(ρ|∂_xξ|^{q−2}∂_xξ), q = p/(p −
    1) [Agueh2005]; implicit as with a mobility, without cap, mobility, metric, reaction and doors.

    Per step, `info.dissipation` is F(ρ) − F(ρ′) ≥ 0, `info.iterations` counts the midpoint iteration, `gap`
    is NaN. Raises TypeError for anything but a Density and ValueError for a τ ≤ 0 or an infinite energy at
    the start.
    """

    reaction: Functional | Callable | None = None
    length: float = 1.0
    mobility: Mobility | Callable | str | None = None
    metric: Callable | ArrayLike | None = None
    cost_exponent: float = 2.0

    takes: ClassVar[frozenset[str]] = KINDS
    measures: ClassVar[tuple[type, ...]] = (Density, LineDensity)
    order: ClassVar[int] = 2
    periodic: ClassVar[bool] = True
    rooms: ClassVar[bool] = True
    doors: ClassVar[bool] = True

    def __post_init__(self):
        if self.reaction is None and positive_number("length", self.length) != 1.0:
            raise ValueError(
                f"length: limits.FiniteVolume reads it beside a reaction alone, got {self.length:g} without "
                "one: give reaction=F for the Hellinger-Kantorovich flow of F"
            )
        if positive_number("cost_exponent", self.cost_exponent) <= 1.0:
            raise ValueError(
                f"cost_exponent: expected a number above 1, got {self.cost_exponent:g}: 2 is the usual cost"
            )
        if self.metric is not None:
            object.__setattr__(self, "metric", frozen_metric(self.metric))
        if self.mobility is not None:
            object.__setattr__(self, "mobility", Mobility.of(self.mobility))

    @property
    def changes_mass(self) -> bool:  # type: ignore[override]
        """Where there is a reaction."""
        return self.reaction is not None

    @property
    def carries(self) -> bool:
        """Whether mass is carried otherwise than by ρ∇ξ."""
        return self.mobility is not None or self.metric is not None or self.cost_exponent != 2.0

    def displacement_modulus(self, F, mu) -> float | None:
        return None if self.carries else super().displacement_modulus(F, mu)

    def check(self, F: Functional, mu: Density) -> None:
        super().check(F, mu)
        if not mu.grid.is_uniform:
            self._check_edges(F)
        if self.cost_exponent != 2.0:
            from jko.limits import costs

            costs.refuse(F, mu, any(x is not None for x in (self.mobility, self.metric, self.reaction)))
        elif self.carries:
            from jko.limits import mobile

            mobile.refuse(F, mu, self.reaction is not None)
        kinds = F.parts.kinds
        coupled = kinds & {"local", "gradient"}
        if coupled and "constraint" in kinds:
            raise UnsupportedFunctional(
                f"limits.FiniteVolume takes no cap beside an energy of the gradient or of the place, got "
                f"{F!r}: leave the cap out, or put a steep convex fn.InternalEnergy(U) in its place"
            )
        if mu.grid.is_room and F.parts.local:
            raise UnsupportedFunctional(
                f"limits.FiniteVolume takes {F.parts.local[0][1]!r}, an energy of the place, on a box or a "
                "torus, not in a room: take steps.Cvxpy, or leave inside and doors out"
            )
        for _, atom in F.parts.local:
            if atom.linearly_convex is False and "gradient" not in kinds:
                raise UnsupportedFunctional(
                    f"limits.FiniteVolume takes {atom!r}, which is not convex, only beside an energy of the "
                    "gradient, without which densities part within a cell: add c * fn.Dirichlet()"
                )
        plain = all(atom.is_entropy for _, atom in F.parts.internal) and not F.parts.constraints
        if mu.grid.exits is not None and F.parts.internal and not plain:
            raise UnsupportedFunctional(
                "limits.FiniteVolume takes through doors the entropy, or a cap without an internal energy, "
                f"beside potentials and interactions, got {F!r}: leave doors out, or take one of them"
            )

    def _check_edges(self, F: Functional) -> None:
        kinds = F.parts.kinds
        bare_cap = "constraint" in kinds and not F.parts.internal
        if self.carries or bare_cap or kinds & {"local", "gradient"}:
            raise UnsupportedFunctional(
                "limits.FiniteVolume takes on edges of one's own internal energies, alone or under a cap, "
                f"potentials and interactions, without mobility or metric, got {F!r} by {self!r}: take "
                "Grid.uniform, or leave the rest out"
            )

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        from jko.limits.discretisation import GridProblem
        from jko.limits.reaction import Reaction

        self.check(F, mu)
        positive_number("length", self.length)
        carrier, coupled = None, bool(F.parts.kinds & {"local", "gradient", "constraint"})
        if self.cost_exponent != 2.0:
            from jko.limits.costs import CostCarrier

            carrier = CostCarrier(self.cost_exponent)
        elif self.carries or (mu.grid.is_periodic and "internal" in F.parts.kinds and not coupled):
            from jko.limits.mobile import Carrier

            carrier = Carrier(self.mobility, self.metric, mu)
        problem = Problem(F, lambda F: GridProblem(F, mu.grid, carrier))
        problem.reach = None if self.metric is None else problem.at(0.0).lines.edges.reach
        if self.reaction is not None:
            problem.reaction = Reaction(self.reaction, mu.grid, self.length)
        infinite = int(np.sum(~np.isfinite(problem.at(0.0).fixed)))
        if infinite:
            raise ValueError(
                f"functional: its potential is infinite or NaN in {infinite} cells of "
                f"{mu.grid!r}: give a potential that is finite there, or a grid that ends where it is not"
            )
        energy = F.at(0.0)(mu)
        if not math.isfinite(energy):
            raise ValueError(
                f"measure: expected a density of finite energy, got F = {energy:g} for {F!r}: "
                "start below the cap and where every term is finite"
            )
        return problem.starting({"energy": energy})

    def moving_step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau = positive_number("tau", tau)
        if self.reaction is None:
            return self._transport(problem, mu, t, tau, state)
        return self._with_reaction(problem, mu, t, tau, state)

    def _with_reaction(self, problem, mu: Measure, t, tau: float, state: State):
        """Half of the reaction, the transport, half of the reaction; all of it first under a cap, so that the
        transport, then of order 1, brings what has grown beyond the cap below it."""
        from jko.limits.reaction import TooFast

        middle, first = t + 0.5 * tau, 1.0 if problem.F.parts.constraints else 0.5
        transport = replace(self, reaction=None, length=1.0)
        try:
            half, made, left = problem.reaction.evolve(mu, middle, first * tau)
            moved, state, info = transport.step(problem, half, t, tau, self.moved(problem, half, t, state)[1])
            after, more, less = problem.reaction.evolve(moved, middle, (1.0 - first) * tau)
        except TooFast as reason:
            return mu, state, StepInfo(status=Status.NOT_CONVERGED, note=str(reason))
        if not info.converged:
            return mu, state, _overfull(problem.at(middle), half, info)
        info = replace(
            info,
            mass_error=abs(
                after.mass - mu.mass - (made + more) + (left + less) + info.details.get("out", 0.0)
            ),
            min_density=float(after.values.min()),
            details={**info.details, "made": made + more, "left": left + less},
        )
        return after, self.moved(problem, after, t + tau, state)[1], info

    def _transport(self, problem, mu: Measure, t, tau: float, state: State):
        from jko.limits.structure import evolve

        # of second order with F at the middle of the step
        middle = problem.at(t + 0.5 * tau)
        energy = middle.F(mu) if problem.depends_on_time else float(state["energy"])
        outcome = evolve(middle, mu, energy, tau)
        if outcome.done < 1.0:
            return mu, state, _unfinished(outcome, tau, bool(middle.F.parts.rest))
        after, reach = outcome.mu, problem.reach
        notes = [f"{way} ({count})" for way, count in sorted(outcome.ways.items())]
        details = dict(outcome.ways) | ({} if mu.grid.exits is None else {"out": outcome.out})
        if reach is not None:
            notes, details = [*notes, *filter(None, [reach.note])], details | reach.details
        info = StepInfo(
            iterations=outcome.iterations,
            mass_error=abs(after.mass + outcome.out - mu.mass),
            min_density=float(after.values.min()),
            dissipation=energy - outcome.energy,
            note="; ".join(notes),
            details=details,
        )
        return after, state.having(energy=outcome.energy), info

    def moved(self, problem, mu: Measure, t, state: State):
        return problem, state.having(energy=problem.F.at(t)(mu))

    def energy(self, problem: Problem, mu: Measure, t: float, state: State):
        return super().energy(problem, mu, t, state) if problem.depends_on_time else (state["energy"], 0.0)


_OF_ONES_OWN = (
    "; a diffusion is implicit as fn.InternalEnergy(U), an energy of the gradient as fn.Dirichlet(), "
    "fn.FisherInformation() or fn.GradientEnergy(g), not in one's own energy"
)


def _overfull(problem, mu: Measure, info: StepInfo) -> StepInfo:
    """The record of a step that did not end, with that for a reason if mu is more than the box holds."""
    room = float(np.sum((problem.cap * mu.grid.cell_volume)[mu.grid.inside]))
    if fits(room, mu):
        return info
    note = (
        f"the reaction makes a mass of {mu.mass:g}, more than the {room:g} that the box holds below its cap: "
        "end the run before, or let it grow below the cap, by reaction=F or a function that is 0 there"
    )
    return replace(info, note=note)


def _unfinished(outcome, tau: float, own: bool):
    return StepInfo(
        status=Status.NOT_CONVERGED,
        iterations=outcome.iterations,
        details={"share": outcome.done},
        note=f"only {outcome.done:.2g} of tau = {tau:g} was done before the substeps were too many: take a "
        f"smaller tau or a coarser grid{_OF_ONES_OWN if own else ''}",
    )
