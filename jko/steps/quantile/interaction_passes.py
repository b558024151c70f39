"""A step with an interaction between cells, by passes that each solve a step of single cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jko.records import joined
from jko.steps.quantile.cap import VariedCap
from jko.steps.quantile.energy import CellTerms
from jko.steps.quantile.lagrangian import Stall, allowed_gap, certified_gap
from jko.steps.quantile.tolerances import TOLERANCES


class Iterate(NamedTuple):
    """Edges `[n+1]`, widths `[n]`, the interaction there, the whole objective J and its summands' size."""

    edges: np.ndarray
    widths: np.ndarray
    pairs: object
    value: float
    magnitude: float


class Modelled:
    """The energy of single cells plus a convex model of the interaction round an iterate Y.

    E(X) ≈ E + g·(X − Y) + ½Σ w c |X − Y|² at the Gauss points + Σ κ w² D(ΔX, ΔY), c ≥ 0 about W″ ∗ ρ and D
    the Bregman distance of what in W is convex and singular at 0: neighbours keep each other apart.
    """

    def __init__(self, energy, iterate: Iterate, factor: float = 1.0):
        from jko.loops.elliptic import banded

        self.energy, self.iterate = energy, iterate
        self.internal, self.cap, self.modulus = energy.internal, energy.cap, energy.modulus_of_cells
        self.keeps_open = energy.keeps_open
        rough = energy.interaction.kernel.tolerance
        self.note = f"W summed to {rough:.0e} of its range" if rough > 1e-9 else ""
        self.points = banded.gauss_points(iterate.edges)
        self.curvature = factor * iterate.pairs.curvature
        self.near = TOLERANCES.model_near * np.sqrt(iterate.widths.size) * factor
        self.barrier = energy.interaction.kernel.barrier if energy.interaction.kernel.keeps_open else None
        if self.barrier:
            self.start = self.barrier(_positive(iterate.widths))

    def at(self, edges: np.ndarray, widths: np.ndarray, masses: np.ndarray) -> CellTerms:
        """As LineEnergy.at."""
        terms = self.energy.at(edges, widths, masses)
        away, slope = self.forces(edges)
        energy = 0.5 * float(masses @ (away * (0.5 * (self.iterate.pairs.slope + slope))).sum(axis=0))
        value, pressure, rigidity = self.spring(widths, masses)
        return CellTerms(
            terms.energy + self.iterate.pairs.energy + energy + value, terms.pressure + pressure,
            terms.rigidity + rigidity, terms.slope + slope, terms.curvature + self.curvature,
            terms.magnitude + abs(self.iterate.pairs.energy) + abs(energy) + abs(value),
        )  # fmt: skip

    def forces(self, edges: np.ndarray):
        """X − Y at the Gauss points, and the model's slope there."""
        from jko.loops.elliptic import banded

        away = banded.gauss_points(edges) - self.points
        return away, self.iterate.pairs.slope + self.curvature * away

    def spring(self, widths: np.ndarray, masses: np.ndarray):
        """The energy, −∂/∂ΔX and ∂²/∂ΔX² of the Bregman distances."""
        if not self.barrier:
            zero = np.zeros(masses.size)
            return 0.0, zero, zero
        weight = self.near * masses**2
        value, slope, bend = self.barrier(_positive(widths))
        start, start_slope, _ = self.start
        far = value - start - start_slope * (widths - self.iterate.widths)
        return float(weight @ far), weight * (start_slope - slope), weight * bend


def _positive(widths):
    return np.maximum(widths, 1e-140)


def minimise(problem, solve: Callable, tolerance: float, first: tuple | None = None):
    """(Solution, note): passes X → argmin of W₂²/2τ + cells + model at X, Anderson mixed, until the gap
    closes; from `start`, or from `first` (edges, widths).

    `solve(problem, tolerance, first)` answers a step of single cells. A mixed iterate [WalkerNi2011] is
    taken where it lowers the objective; else what the pass found, with a stiffer model until that does. The
    certificate is that of the pass plus by what the interaction's true forces differ from the model's:
    ½(|r| + |δ|)² in the metric ((1/τ + λ)M)⁻¹, λ that of V and W.
    """
    at = iterate(problem, *(first or (problem.start, problem.widths)))
    past, factor, iterations, change = [], 1.0, 0, np.nan
    stall, stalled = Stall(TOLERANCES.stalled_passes), False
    for passes in range(1, TOLERANCES.most_passes + 1):
        found, model, note = _pass(problem, solve, at, factor, TOLERANCES.pass_tolerance * tolerance)
        iterations += found.iterations
        change = _distance(problem, found.edges, at.edges)
        enough = allowed_gap(problem, found.cost, tolerance, TOLERANCES.pair_rounding * at.magnitude)
        mixed, stalled = None, stall.reached(at.value, enough)
        if passes < TOLERANCES.most_passes and not stalled and 0.5 * change**2 / problem.tau > enough:
            past = [*past[1 - TOLERANCES.pass_memory :], (at, found)]
            mixed = _mixed(problem, past)
        if mixed is not None:
            new = iterate(problem, *mixed)
            if new.value <= at.value + TOLERANCES.pair_rounding * at.magnitude:
                at, factor = new, max(1.0, 0.5 * factor)
                continue
        new = iterate(problem, found.edges, found.widths)
        gap = _gap(problem, found, model, new)
        closed = found.closed and gap <= enough
        if closed or stalled or passes == TOLERANCES.most_passes:
            break
        past = past if mixed is None else []
        if new.value <= at.value + TOLERANCES.pair_rounding * at.magnitude:
            at = new
        elif factor >= 4.0**TOLERANCES.pass_stiffenings:
            break
        else:
            factor, past = 4.0 * factor, []
    details = {"passes": passes, "last_move": float(change)}
    passes = f"{passes} passes of the interaction, the last by {change:.0e} in W2"
    note = joined(passes, model.note, note)
    energy = new.value - found.cost
    return found._replace(energy=energy, gap=gap, iterations=iterations, closed=closed, details=details), note


def iterate(problem, edges: np.ndarray, widths: np.ndarray):
    """The Iterate at these edges."""
    pairs = problem.energy.interaction.at(edges, widths, problem.masses)
    cells = problem.energy.at(edges, widths, problem.masses)
    cost = problem.cost(edges)
    value, size = cells.energy + pairs.energy + cost, cells.magnitude + abs(pairs.energy) + cost
    return Iterate(edges, widths, pairs, value, size)


def _pass(problem, solve: Callable, at: Iterate, factor: float, tolerance: float):
    model = Modelled(problem.energy, at, factor)
    found, note = solve(problem._replace(energy=model), tolerance, (at.edges, at.widths))
    return found, model, note


def _distance(problem, edges: np.ndarray, others: np.ndarray):
    from jko.loops.elliptic import banded

    return np.sqrt(banded.transport_cost(problem.masses, others, edges))


def _gap(problem, found, model: Modelled, new: Iterate):
    """½(|r| + |δ|)² + Σ z s ≤ this: the pass's own gap, ½|r|² and Σ z s, is not told apart and counts
    twice."""
    missing = edge_forces(problem.masses, new.pairs.slope - model.forces(found.edges)[1])
    push = -model.spring(found.widths, problem.masses)[1]
    missing[:-1] += push
    missing[1:] -= push
    own = 1.0 / problem.tau + model.modulus
    own = own if own > 0.0 else 1.0 / problem.tau
    whole = problem.convexity if problem.convexity > 0.0 else 1.0 / problem.tau
    unbalanced = np.sqrt(certified_gap(problem, found.edges, missing)) + np.sqrt(found.gap * own / whole)
    return unbalanced**2 + found.gap


def edge_forces(masses: np.ndarray, slope: np.ndarray):
    """The gradient at the edges `[n+1]` of forces per unit mass at the Gauss points `[2, n]`."""
    from jko.loops.elliptic.banded import FAR, NEAR

    out = np.zeros(masses.size + 1)
    out[:-1] += 0.5 * masses * (FAR * slope[0] + NEAR * slope[1])
    out[1:] += 0.5 * masses * (NEAR * slope[0] + FAR * slope[1])
    return out


def _mixed(problem, past: list):
    """Anderson's combination of past passes, with cells kept open; None where it leaves the walls."""
    _, found = past[-1]
    if len(past) < 2:
        return found.edges, found.widths
    steps = np.stack([f.edges - a.edges for a, f in past])
    masses = problem.masses
    weights = np.sqrt(np.append(masses, 0.0) + np.append(0.0, masses))
    turns = np.diff(steps, axis=0)
    share = np.linalg.lstsq((turns * weights).T, steps[-1] * weights, rcond=TOLERANCES.dependent)[0]
    edges = found.edges - share @ np.diff(np.stack([f.edges for _, f in past]), axis=0)
    widths = found.widths - share @ np.diff(np.stack([f.widths for _, f in past]), axis=0)
    least = TOLERANCES.kept_width * found.widths
    if isinstance(problem.energy.cap, VariedCap):
        return problem.energy.cap.entered(np.clip(np.maximum.accumulate(edges), *problem.walls), masses)
    if problem.energy.cap is not None:
        least = np.maximum(least, masses / problem.energy.cap)
    narrow = widths < least
    if narrow.any() and problem.period is not None:
        edges, widths = problem.apart(edges, widths, np.where(problem.masses > 0.0, least, 0.0))
    elif narrow.any():
        widths = np.where(narrow, least, widths)
        middle = np.searchsorted(np.cumsum(masses), 0.5 * masses.sum())
        placed = np.append(0.0, np.cumsum(widths))
        edges = edges[middle] + placed - placed[middle]
    lower, upper = problem.walls
    if edges[0] < lower or edges[-1] > upper:
        return None
    return edges, widths
