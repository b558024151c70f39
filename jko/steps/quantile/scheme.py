"""The JKO step on the line, by Newton's method on the edges that carry the mass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from functionals import Functional
from jko.bounds import Space
from jko.errors import UnsupportedFunctional, positive_number, whole_number
from jko.full import is_full
from jko.measures import Density, Grid, LineDensity, Measure
from jko.records import joined
from jko.scheme import Problem, Scheme, State, Status, StepInfo
from jko.steps.quantile import circle, interaction_passes, newton, repulsion, safeguard
from jko.steps.quantile.cap import VariedCap, minimise_under
from jko.steps.quantile.cells import (
    LIGHT,
    cut_where_torn,
    feathered,
    is_unresolved,
    kept_cells,
    settled,
    without_light,
    without_weightless,
)
from jko.steps.quantile.energy import LineEnergy
from jko.steps.quantile.lagrangian import Point, displaced
from jko.steps.quantile.lagrangian import Problem as LineProblem
from jko.steps.quantile.shells import in_volume
from jko.steps.quantile.tolerances import TOLERANCES
from jko.steps.reflection import Continued, Reflected
from jko.transport import cut, graded
from jko.transport.grids.circle import length_of

_JOINED = "cells of less than {:g} of the mean mass were joined to their neighbours"
_UNRESOLVED = "the density was left where it was within half a cell: the edges go on"


class Solved(NamedTuple):
    """A step on the line: the problem that was solved in the end, its solution, the density on the grid and
    the cells that stay, the numbers of the edges kept, whether the density follows the edges, and a note."""

    problem: LineProblem
    solution: Any
    density: Density
    state: State
    kept: np.ndarray
    resolved: bool
    note: str


@dataclass(frozen=True)
class Quantile(Scheme):
    """min over the edges X of ½(X−X_k)ᵀM(X−X_k)/τ + Σ ΔX U(w/ΔX) + Σ w V: a step in Lagrangian form, 1D.

    The density is constant on cells that keep their masses w, so W₂² is exact with M the mass matrix of
    linear elements, and the form is (1/τ + λ)-convex in its metric for every convex U. Newton's method on
    it is tridiagonal: work and memory grow like the cells. No flux through the ends of the grid. A cap is
    ΔX ≥ w/cap; with it, with gaps in the support, or with no internal energy, an active set takes over. A cap
    c(x) is C(X′) − C(X) ≥ w, C its integral, and the active set works in C(X).

    Error O(h²) a step, none of it diffusion: the edges go from step to step, and the density on the grid is
    a remap for output. The cells are graded to the initial density, as many as the grid has. The gap is
    ½gᵀ((1/τ + λ)M)⁻¹g (plus pressure times slack), λ the declared modulus of V or the least V″ on the grid,
    plus that of an interaction. With 1/τ + λ ≤ 0, or a cap that varies, it is the duality gap among all
    densities, with the O(h²) that the cells cost, and where it is wide a second start is tried; NaN where an
    interaction is beside. Order 1 in τ.

    Cells beside vacuum are cut into ever lighter ones where mass enters it at once; a V with kinks is
    averaged over half a cell.

    An interaction ½ΣΣ w w W̄ is summed in time proportional to the cells, its model minimised by passes
    until the gap of the whole step closes; the note says how many. With 1/τ + λ ≤ 0, λ that of V and W,
    others begin at convex steps in the field of the last, and the lowest is taken.

    cost_exponent: p in W_p^p/(pτ^{p−1}), the cost of moves |y − x|^p, of which the flow is ∂_tρ =
    ∇·(ρ|∇ξ|^{q−2}∇ξ), q = p/(p − 1) [Agueh2005]: doubly nonlinear diffusion, the Laplacian of q. The cost is
    exact; p from 1.05 to 100 was tried, others may not converge. At p ≠ 2 the gap is its Fenchel–Young defect
    where V is convex, else the duality gap among all densities. No interaction is taken there and no cap that
    varies, and no bound of a run is known.

    On a periodic grid the edges are lifted to the line, Xₙ = X₀ + L, or cut in a vacuum: with an internal
    energy, periodic potentials and smooth interactions, and 1/τ + λ > 0.

    With edges of one's own the cells are those of the grid. On a radial grid the edges are radii, since the
    optimal map of radial measures is radial and increasing, and ΔX in U the volume of the shell; internal
    energies that are displacement convex in R^d and radial potentials, with 1/τ + λ > 0.

    Takes the entropy, powers, any convex U, potentials, interactions W(x − y) and positive caps; Densities
    of one dimension. `prepare` raises ValueError for more dimensions, for a kernel of two points, one that is
    singular at 0 but no sum of powers above −1, logarithm and quadratic, for a cap that cannot hold the
    mass, and for one that is 0 somewhere.
    """

    tolerance: float = 1e-9
    most_iterations: int = 200
    cost_exponent: float = 2.0

    takes: ClassVar[frozenset[str]] = frozenset(
        {"entropy", "internal", "potential", "interaction", "constraint"}
    )
    measures: ClassVar[tuple[type, ...]] = (Density, LineDensity)
    order: ClassVar[int] = 1
    periodic: ClassVar[bool] = True

    def __post_init__(self):
        positive_number("tolerance", self.tolerance)
        whole_number("most_iterations", self.most_iterations)
        if positive_number("cost_exponent", self.cost_exponent) <= 1.0:
            raise ValueError(
                f"cost_exponent: expected a number above 1, got {self.cost_exponent:g}: with 1 and less "
                "optimal maps are not unique"
            )

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        self.check(F, mu)
        if len(mu.grid.cells) != 1:
            raise ValueError(
                f"mu: steps.Quantile moves densities on the line, got {mu.dimension} dimensions; use "
                "steps.Cvxpy"
            )
        problem = Problem(F, lambda F: LineEnergy(F.parts, mu.grid, mu.mass, origin_of(mu.grid)))
        energy = problem.at(0.0)
        if self.cost_exponent != 2.0 and mu.grid.is_periodic:
            raise ValueError(
                f"cost_exponent: steps.Quantile takes the square of the distance on a circle, got "
                f"{self.cost_exponent:g}: leave it out, or take a grid between walls"
            )
        if self.cost_exponent != 2.0 and (
            energy.interaction is not None or isinstance(energy.cap, VariedCap)
        ):
            raise UnsupportedFunctional(
                f"steps.Quantile(cost_exponent={self.cost_exponent:g}) takes internal energies, potentials "
                f"and a cap that is a number, got {F!r}: leave the rest out, or take cost_exponent=2"
            )
        full = energy.cap is None or is_full(F.at(0.0).parts, mu)
        if not full and mu.mass >= (room := _room(energy.cap, mu.grid)):
            raise ValueError(
                f"cap: {F.parts.constraints[0]} holds a mass of {room:g} on the grid, got {mu.mass:g}; "
                "raise the cap"
            )
        edges, widths, masses = _cells(mu, energy.internal)
        return problem.starting({"edges": edges, "widths": widths, "masses": masses})

    def moving_step(self, prepared: Problem, mu: Measure, t: float, tau: float, state: State):
        solved = self.solved(prepared, mu, t, tau, state)
        info = record(solved.problem, solved.solution, mu, solved.density, solved.note)
        return solved.density, solved.state, info

    def solved(self, prepared, mu: Measure, t, tau: float, state: State) -> Solved:
        """A step with what its derivative is made of."""
        energy = prepared.at(t + tau)
        try:
            problem, solution, note = self._untorn(mu, positive_number("tau", tau), state, energy)
        except OverflowError:
            raise ValueError(
                f"cost_exponent: powers of {self.cost_exponent:g} of tau = {tau:g} are beyond floating "
                "point, expected a number up to some hundred; take less"
            ) from None
        new, data, kept = _settled(problem, solution, mu)
        resolved = not is_unresolved(prepared.F.at(t + tau), mu, new)
        if not resolved:
            new, note = mu, joined(note, _UNRESOLVED)
        return Solved(problem, solution, new, State(data), kept, resolved, note)

    def space_of_steps(self, problem: Problem, mu: Measure):
        return Space.FLAT if self.cost_exponent == 2.0 and not mu.grid.is_periodic else Space.NONE

    def displacement_modulus(self, F, mu) -> float | None:
        return super().displacement_modulus(F, mu) if self.cost_exponent == 2.0 else None

    def reflect(self, prepared: Problem, mu: Measure, t: float, tau: float, state: State):
        """2X₁ − X with X₁ the edges of the half step."""
        problem, solution, note = self._solved(mu, 0.5 * tau, state, prepared.at(t + 0.5 * tau))
        half, data, _ = _settled(problem, solution, mu)
        half = half, State(data), record(problem, solution, mu, half, note)
        before, after = (problem.start, problem.widths), (solution.edges, solution.widths)
        ends = problem.walls, problem.energy.cap, problem.period
        edges, widths, bent = displaced(before, after, problem.masses, 1.0, *ends)
        if mu.grid.is_periodic and edges[-1] > edges[0] + length_of(mu.grid):
            return Reflected(
                half, None, None, 0.0, 0.0, note="the reflection would go round the circle twice"
            )
        point = Point(problem, edges, widths)
        new, data, kept = _settled(problem, point, mu)
        energy = energy_before(problem)
        cost = problem._replace(tau=tau).cost(point.edges)
        dissipation = energy - energy_of(problem, point) - cost
        past = kept_cells(*before, kept)
        return Reflected(half, new, State(data), dissipation, energy, bent, past=past)

    def continued(self, prepared, mu: Measure, past, t, tau: float, state: State):
        """The step of 2τ/3 from X + (X − X₀)/3, X₀ the past's edges."""
        now, energy = state, prepared.at(t + tau)
        walls, period = _walls(_from_origin(mu).grid), None
        if mu.grid.is_periodic:
            past, walls, period = circle.lifted(past, now, mu.grid)
        pairs = [(edges["edges"], edges["widths"]) for edges in (past, now)]
        edges, widths, bent = displaced(*pairs, now["masses"], 1.0 / 3.0, walls, energy.cap, period)
        if bent > 0.1 or (mu.grid.is_periodic and edges[-1] > edges[0] + length_of(mu.grid)):
            return None
        start = {"edges": edges, "widths": widths, "masses": now["masses"]}
        problem, solution, note = self._solved(mu, 2.0 * tau / 3.0, start, energy)
        if problem.kept is None and not np.array_equal(problem.masses, now["masses"]):
            return None  # a circle cut elsewhere, whose cells have other numbers
        new, data, kept = _settled(problem, solution, mu)
        if problem.kept is not None:
            now = kept_cells(now["edges"], now["widths"], problem.kept)
        whole = problem._replace(start=now["edges"], widths=now["widths"], tau=tau)
        energy = energy_before(whole)
        cost = whole.cost(solution.edges)
        info = record(problem, solution, mu, new, note)
        info = replace(info, dissipation=energy - solution.energy - cost, transport_cost=cost)
        return Continued(new, State(data), info, kept_cells(now["edges"], now["widths"], kept), energy)

    def _untorn(self, mu: Density, tau: float, cells: State, energy: LineEnergy):
        """As `_solved`, again with the cells cut that a step tears apart."""
        found = self._solved(mu, tau, cells, energy)
        for _ in range(TOLERANCES.torn_rounds):
            finer = cut_where_torn(*found[:2], mu.grid.spacing[0])
            again = None if finer is None else self._solved(mu, tau, finer, energy)
            if again is None or (found[1].closed and not again[1].closed):
                break
            found = again
        return found

    def _solved(self, mu: Density, tau: float, cells: State, energy: LineEnergy):
        walls = _walls(_from_origin(mu).grid)
        start = (cells[name] for name in ("edges", "widths", "masses"))
        problem = LineProblem(energy, *start, tau, walls, exponent=self.cost_exponent)
        if mu.grid.is_periodic:
            return circle.solved(problem, length_of(mu.grid), lambda cut: self._solved_between(cut, mu))
        return self._solved_between(problem, mu)

    def _solved_between(self, problem, mu: Density):
        energy = problem.energy
        if energy.cap is not None or not energy.keeps_open:
            # at the cap they would be narrower than rounding
            problem = without_light(problem, LIGHT[isinstance(energy.cap, VariedCap)])
        if energy.interaction is not None:
            return problem, *self._interacting(problem, _from_origin(mu).grid)
        grid = _from_origin(mu).grid
        solution, note = self._certified(problem, grid)
        for share in () if solution.closed else LIGHT:
            fewer = without_light(problem, share)
            if fewer.masses.size < problem.masses.size:
                again, why = self._certified(fewer, grid)
                if again.closed:
                    return fewer, again, joined(_JOINED.format(share), why)
        return problem, solution, note

    def _interacting(self, problem, grid: Grid):
        if repulsion.takes(problem):
            solution, note = repulsion.minimise(problem, self.tolerance)
            if solution.closed:
                return solution, note

        def passes(problem, tolerance, first=None):
            return interaction_passes.minimise(problem, self._minimise, tolerance, first)

        found = passes(problem, self.tolerance)
        if problem.convexity > 0.0 or grid.is_periodic or problem.energy.shells is not None:
            return found
        return safeguard.lowest_found(problem, passes, *found, self.tolerance, grid)

    def _certified(self, problem, grid: Grid):
        if problem.convexity <= 0.0 and grid.is_periodic:
            raise ValueError(
                f"tau: steps.Quantile takes on a circle steps of 1/tau + lambda > 0, got {problem.tau:g} "
                f"with lambda = {problem.energy.modulus:g}: take less than {-1.0 / problem.energy.modulus:g}"
            )
        if problem.convexity <= 0.0 and problem.energy.shells is not None:
            modulus = problem.energy.modulus
            if problem.exponent != 2.0:
                raise ValueError(
                    f"functional: steps.Quantile(cost_exponent={problem.exponent:g}) takes convex potentials "
                    f"on a radial grid, got one with lambda = {modulus:g}: take another, or cost_exponent=2"
                )
            raise ValueError(
                f"tau: steps.Quantile takes on a radial grid steps of 1/tau + lambda > 0, got "
                f"{problem.tau:g} with lambda = {modulus:g}: take less than {-1.0 / modulus:g}"
            )
        solution, note = self._minimise(problem, self.tolerance)
        if problem.convexity > 0.0:
            return solution, note
        return safeguard.certified(problem, self._minimise, solution, note, self.tolerance, grid)

    def _minimise(self, problem, tolerance: float, first=None):
        energy, masses = problem.energy, problem.masses
        if problem.period is not None:
            return newton.minimise(problem, tolerance, self.most_iterations, first), ""
        if isinstance(energy.cap, VariedCap):
            most = self.most_iterations
            return minimise_under(problem, energy.cap, tolerance, most, first), ""
        if (energy.keeps_open or first) and energy.cap is None and masses.all():
            patience = min(
                TOLERANCES.unbounded_iterations if energy.keeps_open else TOLERANCES.few_iterations,
                self.most_iterations,
            )
            solution = newton.minimise(problem, tolerance, patience, first)
            if solution.closed:
                return solution, ""
            note = "Newton's method stalled, an active set took over"
            least = -np.inf if energy.keeps_open else 0.0
            bounds = np.full(masses.size, least)
            return self._bounded(problem, bounds, tolerance, first), note if least else ""
        bounds = np.where(masses > 0.0, -np.inf, 0.0)
        if not energy.keeps_open:
            bounds = np.zeros(masses.size)
        if energy.cap is not None:
            bounds = masses / energy.cap
        return self._bounded(problem, bounds, tolerance, first), ""

    def _bounded(self, problem, bounds: np.ndarray, tolerance: float, first: tuple | None):
        return newton.minimise_bounded(problem, bounds, tolerance, self.most_iterations, first)


def origin_of(grid: Grid) -> float:
    """Where positions are counted from: 0, or the middle of a box that is further away than it is long, so
    that they keep their digits."""
    middle = 0.5 * (grid.lower[0] + grid.upper[0])
    if not grid.is_uniform:  # whose edges are taken as they are
        return 0.0
    return middle if abs(middle) > grid.upper[0] - grid.lower[0] else 0.0


def _from_origin(mu: Density):
    """The density with positions counted from there."""
    origin = origin_of(mu.grid)
    if origin == 0.0:
        return mu
    half = 0.5 * (mu.grid.upper[0] - mu.grid.lower[0])
    return Density(Grid.uniform(-half, half, mu.grid.size, mu.grid.is_periodic), mu.values)


def _cells(mu: Density | LineDensity, U):
    """(edges, widths, masses) of the first step: as many cells as the grid has, or those of its own edges."""
    near = _from_origin(mu)
    if mu.grid.is_periodic:
        edges, masses = without_weightless(*circle.laid(near), U)
        return feathered(edges, masses, U, circle.ends_of(edges, near.grid))
    edges, masses = cut(near)
    walls = _walls(near.grid)
    if mu.grid.is_uniform:
        return feathered(*without_weightless(*graded(edges, masses, mu.grid.size), U), U, walls)
    ends = tuple(mu.grid.volume_within(np.array(walls)))
    return in_volume(mu.grid, lambda y, w: feathered(*without_weightless(y, w, U), U, ends), edges, masses)


def _settled(problem, solution, mu: Density):
    new, data, kept = settled(problem, solution, _from_origin(mu))
    return mu.with_values(new.values), data, kept


def _walls(grid: Grid):
    return grid.lower[0], grid.upper[0]


def _room(cap: VariedCap | float, grid: Grid):
    return cap.total if isinstance(cap, VariedCap) else cap * (grid.upper[0] - grid.lower[0])


def record(problem, solution, old: Density, new: Density, note: str) -> StepInfo:
    """The record of a step from `old` to `new`."""
    cost, gap = solution.cost, solution.gap
    if problem.convexity <= 0.0 and problem.energy.interaction is not None:
        gap, why = np.nan, f"no certificate, since 1/tau + lambda = {problem.convexity:.3g}"
        remedy = ": take tau smaller to have one" if np.isfinite(problem.convexity) else ""
        note = joined(note, why + remedy)
    elif not solution.closed:
        note = joined(note, "the gap did not close: take tau smaller")
    convexity = {"convexity": problem.convexity} if problem.exponent == 2.0 else {}
    mass_error = abs(new.mass - old.mass)
    kept = mass_error <= TOLERANCES.mass * old.mass
    if not kept:
        note = joined(note, f"the mass changed by {mass_error:.1e}")
    return StepInfo(
        status=Status.of(solution.closed and kept and not np.isinf(gap)),
        gap=gap,
        relative_gap=gap / cost if cost > TOLERANCES.still * solution.magnitude else np.nan,
        iterations=solution.iterations,
        mass_error=mass_error,
        min_density=float(new.values.min()),
        dissipation=energy_before(problem) - solution.energy - cost,
        transport_cost=cost,
        note=note,
        details={**solution.details, **convexity, "cells": int(problem.masses.size)},
    )


def energy_before(problem) -> float:
    """F at the start, +∞ above a cap."""
    cap = problem.energy.cap
    if cap is not None:
        room = cap.room(problem.start) if isinstance(cap, VariedCap) else cap * problem.widths
        if np.any(problem.masses > (1.0 + 1e-9) * room + 1e-13 * problem.masses.sum()):
            return np.inf
    return problem.energy.value(problem.start, problem.widths, problem.masses)


def energy_of(problem, point: Point) -> float:
    """F at a point, its interaction included."""
    if problem.energy.interaction is None:
        return point.terms.energy
    return problem.energy.value(point.edges, point.widths, problem.masses)
