"""The proximal step in the Fisher–Rao (Hellinger) metric: mass grows and dies where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from functionals import Functional
from functionals.conjugate import invert_derivative
from jko.errors import positive_number, whole_number
from jko.loops.anderson import Anderson
from jko.measures import Density
from jko.records import joined
from jko.scheme import KINDS, Problem, Scheme, State, Status, StepInfo
from jko.steps.grid.energy import TANGENT, GridEnergy
from jko.steps.tolerances import TOLERANCES


@dataclass(frozen=True)
class FisherRao(Scheme):
    """ρ′ = argmin δ²FR²(ρ_k, ρ)/2τ + F(ρ), FR² = 4∫(√ρ − √ρ_k)²: the gradient flow ∂_tρ = −ρ ξ/δ², ξ = δF/δρ.

    Nothing moves; mass grows where ξ < 0 and dies where ξ > 0 [LieroMielkeSavare2018]. In √ρ the metric is
    flat, and optimality is √ρ′(1 + sξ(ρ′)/2) = √ρ_k in each cell, s = τ/δ²: in closed form for a potential,
    by Newton's method in log ρ for internal energies, with ρ′ = cap where that would be passed. Interactions
    and functionals known by their energy enter by their first variation, iterated (Anderson) until the gap of
    the step is below `tolerance` of its own FR²/2s.

    `conserving` holds the mass: ∂_tρ = −ρ(ξ − ∫ξdρ/∫dρ)/δ², by one multiplier. Otherwise mass after = mass
    before + `details["made"]` − `details["left"]`, the sums over cells that grew and that shrank, and
    `mass_error` is by how much that fails. order=2: the step of τ/2 and its reflection 2√ρ_{k+½} − √ρ_k, on
    the sphere of constant mass where it is conserved, the midpoint rule of the flow [HairerLubichWanner2006];
    where that is negative, over a cap or raises F, two steps of τ/2 stand in its place (`details["halves"]`).

    `transport_cost` is FR²/2s, and the gap that of the step, ∫2(√ρ′(1 + sξ/2) − √ρ_k)²/(s + s²ξ/2) by
    Fenchel–Young. Mass may enter an empty cell: where U′(0) = −∞, or s > −2/ξ(0).

    Raises ValueError for a τ with sV ≤ −2 somewhere and nothing that holds the growth, where F + FR²/2s has
    no minimum.
    """

    length: float = 1.0
    conserving: bool = False
    order: int = 1
    tolerance: float = 1e-10
    max_iterations: int = 200

    takes: ClassVar[frozenset[str]] = KINDS - {"local", "gradient"}
    measures: ClassVar[tuple[type, ...]] = (Density,)
    periodic: ClassVar[bool] = True
    rooms: ClassVar[bool] = True
    transports: ClassVar[bool] = False

    def __post_init__(self):
        positive_number("length", self.length)
        positive_number("tolerance", self.tolerance)
        whole_number("max_iterations", self.max_iterations)
        if self.order not in (1, 2):
            raise ValueError(f"order: expected 1 or 2, got {self.order!r}")
        if not isinstance(self.conserving, bool):
            raise TypeError(f"conserving: expected True or False, got {self.conserving!r}")

    @property
    def changes_mass(self) -> bool:  # type: ignore[override]
        """Unless it is held."""
        return not self.conserving

    def prepare(self, F: Functional, mu: Density) -> Problem:
        self.check(F, mu)
        return Problem(F, lambda F: CellProblem(F, mu))

    def moved(self, problem: Problem, mu: Density, t: float, state: State):
        return problem, state

    def moving_step(self, problem: Problem, mu: Density, t: float, tau: float, state: State):
        tau = positive_number("tau", tau)
        if self.order == 1:
            new, info = self._proximal(problem.at(t + tau), mu, tau)
            return new, state, info
        new, info = self._midpoint(problem, mu, t, tau)
        return new, state, info

    def _proximal(self, cells: CellProblem, mu: Density, tau: float):
        """(ρ′, record) of one proximal step."""
        s = tau / self.length**2
        found = self._solved(cells, mu, s)
        new = mu.with_values(found.values)
        cost = squared_distance(mu, new) / (2.0 * s)
        enough = self.tolerance * cost + TOLERANCES.rounding * cells.size(found.values, found.field)
        closed = found.gap <= enough
        note = "" if cells.tangents_are_bounds else TANGENT
        if not closed and cells.moving:
            note = (
                f"the field of the interactions did not settle in {found.iterations} iterations, the gap "
                f"stayed at {found.gap:.1e}: take a smaller tau or a larger max_iterations"
            )
        elif not closed:
            note = f"rounding leaves a gap of {found.gap:.1e} at tau/length² = {s:.1e}: take another tau"
        return new, StepInfo(
            status=Status.of(closed),
            gap=found.gap,
            relative_gap=found.gap / cost if cost > 0.0 else 0.0,
            iterations=found.iterations,
            dissipation=cells.F(mu) - cells.F(new) - cost,
            transport_cost=cost,
            note=note,
            **balance(mu, new, self.conserving),
        )

    def _solved(self, cells: CellProblem, mu: Density, s) -> Solved:
        """The self-consistent solution: fields of moving parts at ρ′ itself."""
        old, values = mu.values, mu.values
        field, count = cells.moving_field(values), 0
        mixing = Anderson(np.ones(old.size), TOLERANCES.mixed_fields)
        for _ in range(self.max_iterations):
            count += 1
            values, level = self._at_fixed_field(cells, old, field, s, mu.mass)
            image = cells.moving_field(values)
            gap = cells.gap(old, values, image - level, s)
            cost = 2.0 * float(np.sum((np.sqrt(values) - np.sqrt(old)) ** 2)) * mu.grid.cell_volume / s
            if not cells.moving or gap <= self.tolerance * cost:
                break
            field = mixing(field, image)
        return Solved(values, image - level, gap, count)

    def _at_fixed_field(self, cells: CellProblem, old: np.ndarray, field: np.ndarray, s: float, mass: float):
        """(ρ′, λ) with ξ = U′(ρ′) + V + field − λ, λ = 0 unless the mass is held."""
        if not self.conserving:
            return cells.prox(old, field, s), 0.0
        total = mass / cells.grid.cell_volume
        level = _level_of_rest(cells, old, field)
        low, high = -math.inf, math.inf
        for _ in range(TOLERANCES.level_iterations):
            limit = cells.largest_level(old, field, s)
            if level >= limit:
                level = 0.5 * (max(low, limit - 4.0 / s) + limit)
            values = cells.prox(old, field - level, s)
            excess = float(values.sum()) - total
            low, high = (level, high) if excess <= 0.0 else (low, level)
            if abs(excess) <= TOLERANCES.level_mass * total:
                break
            rate = float(cells.response(old, values, s).sum())
            new = level - excess / rate if rate > 0.0 else math.nan
            if not low < new < high:
                new = 0.5 * (max(low, level - 1.0 / s) + min(high, level + 1.0 / s))
            if abs(new - level) <= TOLERANCES.level_settled * abs(level):
                break
            level = new
        return values, level

    def _midpoint(self, problem: Problem, mu: Density, t: float, tau: float):
        """(ρ′, record): the reflection of the half step where it is one."""
        middle = problem.at(t + 0.5 * tau)
        half, info = self._proximal(middle, mu, 0.5 * tau)
        if not info.converged:
            return mu, info
        old, root = np.sqrt(mu.values), np.sqrt(half.values)
        along = float(np.vdot(old, root) / np.vdot(root, root)) if self.conserving else 1.0
        values = 2.0 * along * root - old
        if values.min() >= 0.0 and middle.admits(values**2):
            new = mu.with_values(values**2)
            before, after = middle.F(mu), middle.F(new)
            if after <= before + TOLERANCES.rounding * abs(before):
                cost = squared_distance(mu, new) * self.length**2 / (2.0 * tau)
                told = balance(mu, new, self.conserving)
                return new, replace(info, dissipation=before - after - cost, transport_cost=cost, **told)
        new, second = self._proximal(problem.at(t + tau), half, 0.5 * tau)
        return new, _summed(mu, new, info, second, self.conserving)


class Solved(NamedTuple):
    """ρ′ `[*cells]`, what is added to U′ + V there, the gap, and the iterations of the field."""

    values: np.ndarray
    field: np.ndarray
    gap: float
    iterations: int


class CellProblem(GridEnergy):
    """F in the cells of a grid: U, V and a cap, and a moving field of what is not local; walls stay empty."""

    def __init__(self, F: Functional, mu: Density):
        super().__init__(F, mu, least=False)
        self.moving = self.parts.interaction + self.parts.rest

    @property
    def tangents_are_bounds(self) -> bool:
        """Whether all that moves is declared convex."""
        return all(atom.linearly_convex is True for _, atom in self.moving)

    def moving_field(self, values: np.ndarray) -> np.ndarray:
        """The first variation of interactions and the rest."""
        total = np.zeros(self.grid.cells)
        if self.moving:
            rho = Density(self.grid, values)
            for c, atom in self.moving:
                total += c * self._inside(np.asarray(atom.first_variation(rho), dtype=float))
        return total

    def _inside(self, field: np.ndarray) -> np.ndarray:
        return field if self.grid.room is None else np.where(self.grid.inside, field, 0.0)

    def admits(self, values: np.ndarray) -> bool:
        """Whether ρ keeps below the cap, to rounding."""
        return self.cap is None or bool(np.all(values <= self.cap * (1.0 + 1e-12)))

    def prox(self, old: np.ndarray, field: np.ndarray, s: float) -> np.ndarray:
        """argmin Σ 2(√ρ − √ρ_k)²/s + U(ρ) + (V + field)ρ over 0 ≤ ρ ≤ cap."""
        outer = self.potential + field
        values = (
            self._without_internal(old, outer, s) if self.internal is None else self._newton(old, outer, s)
        )
        if self.cap is not None:
            values = np.minimum(values, self.cap)
        values = self._inside(values)
        if not np.all(np.isfinite(values)):
            least = float(outer[self.grid.inside].min())
            worst = 2.0 / -least
            raise ValueError(
                f"tau: nothing holds the growth where the first variation is {least:.3g}, so that "
                f"tau/length² must stay below {worst:.3g}, got {s:.3g}: take a smaller tau"
            )
        return values

    def _without_internal(self, old: np.ndarray, outer: np.ndarray, s: float):
        factor = 1.0 + 0.5 * s * outer
        with np.errstate(divide="ignore"):
            grown = old / np.where(factor > 0.0, factor, 1.0) ** 2
        return np.where(factor > 0.0, grown, np.inf)

    def _newton(self, old: np.ndarray, outer: np.ndarray, s: float):
        held = old > TOLERANCES.smallest
        start = np.where(held, old, 1.0)
        size, z, settled = 1.0 + np.abs(np.log(start)), np.zeros(old.shape), ~held  # z = log ρ/ρ_k
        for _ in range(TOLERANCES.cell_iterations):
            with np.errstate(all="ignore"):
                rho, ratio = start * np.exp(z), np.exp(-0.5 * z)
                value = -2.0 / s * np.expm1(-0.5 * z) + self.internal.derivative(rho) + outer
                change = value / (ratio / s + rho * self.internal.second_derivative(rho))
            change = np.clip(
                np.nan_to_num(change, nan=0.0), -TOLERANCES.longest_step, TOLERANCES.longest_step
            )
            z = np.where(settled, z, z - change)
            settled = settled | (np.abs(change) <= TOLERANCES.settled * (size + np.abs(z)))
            if settled.all():
                break
        left = ~held | ~settled
        values = start * np.exp(z)
        if left.any():
            values[left] = self._bisected(old[left], outer[left], s)
        return values

    def _bisected(self, old: np.ndarray, outer: np.ndarray, s: float):
        def slope(rho):
            with np.errstate(all="ignore"):
                return 2.0 / s * (1.0 - np.sqrt(old / rho)) + self.internal.derivative(rho)

        return invert_derivative(slope, -outer)

    def slope(self, old: np.ndarray, values: np.ndarray, field: np.ndarray, s: float) -> np.ndarray:
        """ξ = U′ + V + field and, at the cap, the pressure that holds ρ there."""
        outer = self.potential + field + self._marginal(values)
        if self.cap is None:
            return outer
        with np.errstate(all="ignore"):
            held = 2.0 / s * (np.sqrt(old / values) - 1.0)
        return np.where((values >= self.cap) & (held > outer), held, outer)

    def response(self, old: np.ndarray, values: np.ndarray, s: float) -> np.ndarray:
        """dρ′/dλ in each cell: the inverse of √(ρ_k/ρ′³)/s + U″."""
        with np.errstate(all="ignore"):
            curvature = np.sqrt(old / values) / (s * values)
            if self.internal is not None:
                curvature = curvature + self.internal.second_derivative(values)
        free = (values > 0.0) & np.isfinite(curvature) & (curvature > 0.0)
        if self.cap is not None:
            free &= values < self.cap
        return np.where(free, 1.0 / np.where(free, curvature, 1.0), 0.0)

    def largest_level(self, old: np.ndarray, field: np.ndarray, s: float) -> float:
        """The λ at which a prox without internal energy or cap ceases to exist."""
        if self.internal is not None or self.cap is not None:
            return math.inf
        return 2.0 / s + float((self.potential + field)[self.grid.inside].min())

    def gap(self, old: np.ndarray, values: np.ndarray, field: np.ndarray, s: float) -> float:
        """Primal less dual, of two dual values the better in each cell.

        At the price ξ(ρ′) the gap is the metric's, 2(√ρ′(1 + sξ/2) − √ρ_k)²/(s(1 + sξ/2)), ∞ where
        1 + sξ/2 ≤ 0; that loses all digits where s is so large, or ρ_k so small, that 1 + sξ/2 is rounding.
        At the metric's own price ζ = 2(√(ρ_k/ρ′) − 1)/s it is that of U, ∫(ζ − ξ − U′(r) + U′(ρ′))dr from ρ′
        to where that vanishes: at most ρ′|ζ − ξ| if this is below 2ρ′.
        """
        held = (values > 0.0) | (old > 0.0)
        old, slope, values = old[held], self.slope(old, values, field, s)[held], values[held]
        with np.errstate(all="ignore"):
            factor, short = 1.0 + 0.5 * s * slope, 2.0 / s * (np.sqrt(old / values) - 1.0) - slope
            of_metric = 2.0 / s * (np.sqrt(values) * factor - np.sqrt(old)) ** 2 / factor
            rise = self._marginal(2.0 * values) - self._marginal(values)
        of_energy = np.where(short <= rise, values * np.abs(short), np.inf)
        least = np.minimum(np.where(factor > 0.0, of_metric, np.inf), of_energy)
        return float(least.sum()) * self.grid.cell_volume

    def _marginal(self, values: np.ndarray):
        """U′, of values that may be in vacuum."""
        if self.internal is None:
            return np.zeros(values.shape)
        with np.errstate(all="ignore"):
            return self.internal.derivative(values)

    def size(self, values: np.ndarray, field: np.ndarray) -> float:
        """∫(|U′| + |V| + |field|)dρ: what rounding of ξ, the sum of these, is relative to."""
        terms = np.abs(self._marginal(values)) + np.abs(self.potential) + np.abs(field)
        held = values > 0.0
        return float(np.sum(terms[held] * values[held])) * self.grid.cell_volume


def _level_of_rest(cells: CellProblem, old: np.ndarray, field: np.ndarray) -> float:
    """∫ξdρ/∫dρ at ρ_k, the multiplier as τ → 0."""
    held = old > 0.0
    outer = (cells.potential + field)[held]
    if cells.internal is not None:
        outer = outer + cells.internal.derivative(old[held])
    return float(np.vdot(outer, old[held]) / old[held].sum())


def squared_distance(mu: Density, nu: Density) -> float:
    """FR²(mu, nu) = 4∫(√ρ − √σ)² between densities on one grid."""
    return 4.0 * float(np.sum((np.sqrt(nu.values) - np.sqrt(mu.values)) ** 2)) * mu.grid.cell_volume


def made_and_left(sources: list, volume: float) -> dict:
    """What sources per volume in cells make and take, as a record says it."""
    made = sum(float(w[w > 0.0].sum()) for w in sources) * volume
    return {"made": made, "left": -sum(float(w[w < 0.0].sum()) for w in sources) * volume}


def balance(old: Density, new: Density, conserving: bool = False) -> dict:
    """The fields of a record that say what became of the mass: made in cells that grew, left in others."""
    told = made_and_left([new.values - old.values], old.grid.cell_volume)
    expected = 0.0 if conserving else told["made"] - told["left"]
    return {
        "mass_error": abs(new.mass - old.mass - expected),
        "min_density": float(new.values.min()),
        "details": told,
    }


def _summed(old: Density, new: Density, first: StepInfo, second: StepInfo, conserving: bool) -> StepInfo:
    """The record of two half steps as one."""
    told = balance(old, new, conserving)
    told["details"]["halves"] = 1
    note = joined("two half steps: the reflection is no density of less F", second.note)
    return StepInfo.summed([first, second], note=note, **told)
