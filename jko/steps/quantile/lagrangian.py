"""The Lagrangian form of a step on the line: its objective, derivatives and certificate."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jko.steps.quantile import joined_ends
from jko.steps.quantile.tolerances import TOLERANCES


class Solution(NamedTuple):
    """Edges `[n+1]`, widths `[n]`, the energy F, the cost of the move, the gap, and whether it closed."""

    edges: np.ndarray
    widths: np.ndarray
    energy: float
    cost: float
    gap: float
    iterations: int
    closed: bool
    magnitude: float = 0.0  # of the summands of the objective: rounding is relative to it
    details: Mapping[str, float | str] = MappingProxyType({})


class Problem(NamedTuple):
    """min over edges of W_p^p/(pτ^{p−1}) + F against `start` `[n+1]`, masses `[n]` between, inside two walls,
    p the `exponent`.

    Widths go beside the edges: one of 1e-12 at position 3 keeps no digit as a difference. `kept` are the
    numbers of the edges left of a step's, where cells were joined for it. With a `period` the edges go once
    round a circle, the last being the first a turn on, and empty cells are gaps that are shut.
    """

    energy: object
    start: np.ndarray
    widths: np.ndarray
    masses: np.ndarray
    tau: float
    walls: tuple[float, float]
    kept: np.ndarray | None = None
    exponent: float = 2.0
    period: float | None = None

    @property
    def rate(self) -> float:
        """τ^{1−p}, the factor of W_p^p/p."""
        return self.tau ** (1.0 - self.exponent)

    @property
    def convexity(self) -> float:
        """1/τ + λ. At p ≠ 2, where a cost is nowhere strongly convex or not everywhere, λ ≥ 0 makes the step
        convex and is left out beside it: ∞ or −∞."""
        if self.exponent != 2.0:
            return np.inf if self.energy.modulus >= 0.0 else -np.inf
        return 1.0 / self.tau + self.energy.modulus

    def cost(self, edges: np.ndarray) -> float:
        """W_p^p/(pτ^{p−1}) from the start, exact for densities that are constant on the cells."""
        from jko.loops.elliptic import banded, power_cost

        if self.exponent == 2.0:
            return 0.5 * banded.transport_cost(self.masses, self.start, edges) / self.tau
        return power_cost.cost(self.masses, self.start, edges, self.exponent) * self.rate / self.exponent

    def inside(self, edges: np.ndarray):
        """The edges less what rounding takes them out of the walls, or out of one turn."""
        if self.period is None:
            return np.clip(edges, *self.walls)
        return np.append(edges[:-1], edges[0] + self.period)

    def apart(self, target: np.ndarray, widths: np.ndarray, least: np.ndarray):
        """(edges, widths) nearest to `target` that are no narrower than `least`: `kept_apart`."""
        if self.period is not None:
            return joined_ends.kept_apart(target, widths, least, self.masses, self.period)
        return kept_apart(target, widths, least, self.masses, self.walls)


class Point:
    """The objective at given edges, with its gradient and Hessian."""

    def __init__(self, problem, edges: np.ndarray, widths: np.ndarray):
        self.edges, self.widths = edges, widths
        self.terms = problem.energy.at(edges, widths, problem.masses)
        self.cost, self.expected = problem.cost(edges), None
        self.value, self.magnitude = self.terms.energy + self.cost, self.terms.magnitude + self.cost

    def assemble(self, problem, positive: bool = True):
        """The gradient and the Hessian, which is made positive or left as it is."""
        from jko.loops.elliptic import banded

        n, rate = problem.masses.size, 1.0 / problem.tau if problem.exponent == 2.0 else 0.0
        self.gradient, self.rows, self.upper = np.empty(n + 1), np.empty(n + 1), np.empty(n)
        banded.assemble(
            self.edges, problem.start, problem.masses, *self.terms[1:5], rate,
            -TOLERANCES.convexified * rate if positive else -np.inf,
            self.gradient, self.rows, self.upper,
        )  # fmt: skip
        if self.terms.at_edges is not None:
            self.gradient += self.terms.at_edges[0]
            self.rows += self.terms.at_edges[1]
        if rate == 0.0:
            self._add_cost(problem)
        if self.terms.at_edges is not None and self.edges[0] <= TOLERANCES.centre * self.edges[-1]:
            self.gradient[0], self.rows[0] = 0.0, TOLERANCES.fixed  # the centre of a ball is no edge

    def _add_cost(self, problem):
        """The gradient of W_p^p/(pτ^{p−1}), and in the place of its Hessian, which may be 0 or ∞, secants
        from where the edges are to where the forces expected there send them: in the end Newton's method."""
        from jko.loops.elliptic import power_cost

        p, rate, masses, n = problem.exponent, problem.rate, problem.masses, problem.masses.size
        force = -self.gradient / lumped(masses) if self.expected is None else self.expected
        wanted = np.sign(force) * (np.abs(force) / rate) ** (1.0 / (p - 1.0))
        least = TOLERANCES.least_move * max(np.abs(wanted).max(), np.abs(self.edges - problem.start).max())
        cells = masses, problem.start, self.edges
        pull, rows, upper = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n)
        power_cost.add_gradient(*cells, p, rate, pull)
        power_cost.add_weights(
            *cells, wanted, p, rate, max(least, 1e-100), TOLERANCES.near_wanted, rows, upper
        )
        self.gradient, self.rows, self.upper = self.gradient + pull, self.rows + rows, self.upper + upper
        self._cost_model = pull, rows, upper

    def expecting(self, problem, before: Point, direction: np.ndarray) -> Point:
        """The same point, told the forces per unit mass that its cost's model expected after `direction`."""
        if problem.exponent != 2.0:
            pull, rows, upper = before._cost_model
            across = upper * np.diff(direction)
            pull = pull + rows * direction + np.append(across, 0.0) - np.append(0.0, across)
            self.expected = pull / lumped(problem.masses)
        return self


def lumped(masses: np.ndarray) -> np.ndarray:
    """The masses at the edges `[n+1]`, half of each cell's on either side."""
    return np.maximum(0.5 * (np.append(masses, 0.0) + np.append(0.0, masses)), 1e-300)


def solution(point: Point, gap: float, iterations: int, closed: bool) -> Solution:
    """What a method ends with."""
    energy, magnitude = point.terms.energy, point.magnitude
    return Solution(point.edges, point.widths, energy, point.cost, gap, iterations, closed, magnitude)


def allowed_gap(problem, cost: float, tolerance: float, rounding: float) -> float:
    """The gap that closes a step: a share of its cost, the `rounding` of J's summands, or what moves within
    the rounding of positions cost, where all mass has come to one point and nothing else is left."""
    positions, p = np.finfo(float).eps * max(map(abs, problem.walls)), problem.exponent
    return max(tolerance * cost, rounding, float(np.sum(problem.masses)) * positions**p * problem.rate / p)


class Stall:
    """Whether an objective has stopped falling: over so many iterations it fell by less than is asked of the
    gap. Where a potential has kinks no gradient tends to 0, and an iteration would go on for ever."""

    def __init__(self, iterations: int):
        self._values, self._iterations = [], iterations

    def reached(self, value: float, enough: float) -> bool:
        """Told of the objective after an iteration."""
        self._values.append(value)
        return len(self._values) > self._iterations and self._values[-1 - self._iterations] - value <= enough


def certified_gap(problem, edges: np.ndarray, gradient: np.ndarray) -> float:
    """½gᵀ((1/τ + λ)M)⁻¹g ≥ J − min J, since J is (1/τ + λ)-convex in the metric of M.

    Where 1/τ + λ ≤ 0 it certifies nothing, and with 1/τ alone measures how stationary the edges are.

    At p ≠ 2 the Fenchel–Young defect ∫φ(d) + φ*(y) − yd of the cost φ = |d|^p/(pτ^{p−1}), with d the moves
    and y the force that holds F's in balance, φ′(d) less that of g: where F is convex in the edges J − min J
    is no more.
    """
    from jko.loops.elliptic import banded, power_cost

    if problem.exponent != 2.0:
        force = banded.force(problem.masses, gradient)
        return power_cost.defect(problem.masses, problem.start, edges, force, problem.exponent, problem.rate)
    convexity = problem.convexity if problem.convexity > 0.0 else 1.0 / problem.tau
    if problem.period is not None:
        return 0.5 * joined_ends.dual_norm_squared(problem.masses, gradient) / convexity
    return 0.5 * banded.dual_norm_squared(problem.masses, gradient) / convexity


def displaced(
    earlier: tuple,
    later: tuple,
    masses: np.ndarray,
    factor: float,
    walls: tuple,
    cap=None,
    period: float | None = None,
):
    """(X + factor (X − X₀), its widths, by how much of |X − X₀| in W₂ it was bent) for X₀ `earlier`, X
    `later`.

    `earlier` and `later` are (edges `[n+1]`, widths `[n]`). The line through two transports is one only as
    long as no cell's width falls to zero: what comes back is the nearest in W₂ (lumped masses) whose cells
    keep half their width, or less where they were shrinking fast, and w/cap (`kept_apart`). It bends the
    light tails and fronts alone, or the figure says so.
    """
    from jko.loops.elliptic import banded

    (edges0, widths0), (edges1, widths1) = earlier, later
    target = edges1 + factor * (edges1 - edges0)
    widths = widths1 + factor * (widths1 - widths0)
    least = _least_widths(widths0, widths1, factor)
    if isinstance(cap, float):
        least = np.maximum(least, masses / cap)
    if period is not None:
        edges, widths = joined_ends.kept_apart(target, widths, least, masses, period)
    else:
        edges, widths = kept_apart(target, widths, least, masses, walls)
    if cap is not None and not isinstance(cap, float):
        edges, widths = cap.entered(edges, masses)
    length = banded.transport_cost(masses, edges1, target)
    change = banded.transport_cost(masses, target, edges)
    return edges, widths, float(np.sqrt(change / length)) if length > 0.0 else 0.0


def kept_apart(target: np.ndarray, widths: np.ndarray, least: np.ndarray, masses: np.ndarray, walls: tuple):
    """(edges, widths) nearest to `target` in W₂ (lumped masses) that are no narrower than `least`, inside
    the walls: an isotonic regression of the edges less those widths [BarlowBartholomewBremnerBrunk1972].

    `widths` are the target's own, kept to the last bit where nothing had to give.
    """
    from scipy.optimize import isotonic_regression

    packed = np.append(0.0, np.cumsum(least))
    weights = np.append(masses, 0.0) + np.append(0.0, masses)
    wanted = target - packed
    free = isotonic_regression(wanted, weights=np.maximum(weights, 1e-300)).x
    free = np.clip(free, walls[0], max(walls[0], walls[1] - packed[-1]))
    # pools of equal edges are means that round, and no width of 1e-12 is read from those
    same = np.abs(free - wanted) <= TOLERANCES.pooled * max(map(abs, walls))
    untouched = same[1:] & same[:-1]
    widths = np.where(untouched, np.maximum(widths, least), least + np.diff(free))
    return np.where(same, target, free + packed), widths


def _least_widths(widths0: np.ndarray, widths1: np.ndarray, factor: float):
    shrinking = factor * (widths0 - widths1)
    quick = (
        TOLERANCES.least_width**2
        * widths1**2
        / np.maximum(shrinking, TOLERANCES.least_width * widths1 + 1e-300)
    )
    return np.minimum(TOLERANCES.least_width * widths1, quick)
