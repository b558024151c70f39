"""Newton's method for the Lagrangian form of a step on the line, cells kept open by an internal energy."""

from __future__ import annotations

import numpy as np

from jko.steps.quantile import joined_ends
from jko.steps.quantile.lagrangian import (
    Point,
    Solution,
    Stall,
    allowed_gap,
    certified_gap,
    kept_apart,
    solution,
)
from jko.steps.quantile.tolerances import TOLERANCES


def minimise(problem, tolerance: float, most_iterations: int, first=None) -> Solution:
    """The minimiser, to a gap of tolerance · W₂²/2τ and one step beyond, or to rounding; from `start`, or
    from `first` (edges, widths).

    The step beyond squares the error where mass is, while cells of 1e-30 may still be on their way. An
    outermost edge on its wall and pushed outwards is held there, and let go when the push turns inwards.
    """
    first = first or (problem.start, problem.widths)
    if problem.period is not None:
        first = joined_ends.wound(problem, *first)
    point, closed = Point(problem, *first), False
    for iteration in range(most_iterations + 1):
        held, direction = _assembled(problem, point)
        at_end = iteration == most_iterations or direction is None
        last, gap = closed, np.inf
        if last or at_end or _may_be_closed(problem, point, direction):
            gap = certified_gap(problem, point.edges, without(point.gradient, held))
        closed = is_closed(problem, point, gap, tolerance)
        moved = None if at_end or (last and closed) else _line_search(problem, point, direction)
        if moved is None:
            break
        point = moved.expecting(problem, point, direction)
    return solution(point, gap, iteration, closed)


def _assembled(problem, point: Point):
    """Which walls hold, and the Newton direction: with the Hessian as it is where that is positive."""
    for positive in (False, True) if problem.convexity <= 0.0 else (True,):
        point.assemble(problem, positive)
        held = pushed(point, problem.walls)
        direction = _newton_direction(problem, point, held)
        if direction is not None:
            break
    return held, direction


def _may_be_closed(problem, point: Point, direction: np.ndarray):
    # half the Newton decrement is a lower bound on the certified gap, and already known
    decrement = np.inf if direction is None else -float(point.gradient @ direction)
    return (
        0.5 * decrement
        <= TOLERANCES.decrement_cost * point.cost + TOLERANCES.decrement_rounding * point.magnitude
    )


def is_closed(problem, point: Point, gap: float, tolerance: float) -> bool:
    """Whether the gap is below tolerance · W₂²/2τ, or below what rounding makes of J."""
    return bool(gap <= allowed_gap(problem, point.cost, tolerance, TOLERANCES.rounding * point.magnitude))


def pushed(point: Point, walls: tuple):
    """Whether the first and the last edge are pushed against their walls."""
    gradient, edges = point.gradient, point.edges
    return [
        bool(edges[0] <= walls[0] and gradient[0] > 0.0),
        bool(edges[-1] >= walls[1] and gradient[-1] < 0.0),
    ]


def without(gradient: np.ndarray, held: list):
    """The gradient without what pushes the edges that are held against their walls."""
    free = gradient.copy()
    for index, stays in zip((0, -1), held, strict=True):
        if stays:
            free[index] = 0.0
    return free


def _newton_direction(problem, point: Point, held: list):
    """−H⁻¹g with the held edges fixed, H made stiffer where a cell would lose most of its width at once.

    A light cell that must shrink tenfold would otherwise shorten the step of all others: for an entropy
    w/(ΔX ΔX′), the secant between the old and the new width, is the stiffness that takes it there.
    """
    from jko.loops.elliptic import banded

    stiffening, widths = np.zeros(point.upper.size), np.where(problem.masses > 0.0, point.widths, np.inf)
    for _ in range(TOLERANCES.stiffenings):
        if problem.period is not None:
            direction = joined_ends.direction(point, problem.masses, stiffening)
        else:
            direction, held = _on_walls(point, stiffening, held, problem.walls)
        if direction is None:
            return None
        if not banded.stiffen(direction, widths, point.terms.rigidity, stiffening, TOLERANCES.given_up):
            break
    return direction


def _on_walls(point: Point, stiffening: np.ndarray, held: list, walls: tuple):
    # an edge on its wall that the direction would push out is held as well
    for _ in range(3):
        direction = _solve_held(point, stiffening, held)
        if direction is None:
            return None, held
        out = [
            bool(point.edges[0] <= walls[0] and direction[0] < 0.0),
            bool(point.edges[-1] >= walls[1] and direction[-1] > 0.0),
        ]
        if not any(out):
            return direction, held
        held = [a or b for a, b in zip(held, out, strict=True)]
    return None, held


def _solve_held(point: Point, stiffening: np.ndarray, held: list):
    from jko.loops.elliptic import banded

    direction = np.empty_like(point.gradient)
    matrix = point.rows, point.upper, stiffening
    return direction if banded.solve_held(*matrix, point.gradient, *held, direction) else None


def _line_search(problem, point: Point, direction: np.ndarray):
    growth = np.diff(direction)
    step = _to_wall(point.edges, direction, _longest_step(point.widths, growth), problem.walls)
    if step < TOLERANCES.short:
        bent, _ = arc_search(problem, point, direction, (1.0 - TOLERANCES.given_up) * point.widths)
        if bent is not None:
            return bent
    return _searched(problem, point, direction, growth, step, TOLERANCES.halvings)


def _searched(problem, point: Point, direction: np.ndarray, growth: np.ndarray, step: float, halvings: int):
    descent = float(point.gradient @ direction)
    if not descent < 0.0:
        return None
    noise = TOLERANCES.search_noise * point.magnitude
    for _ in range(halvings):
        edges = problem.inside(point.edges + step * direction)
        moved = Point(problem, edges, point.widths + step * growth)
        if moved.value <= point.value + TOLERANCES.sufficient_decrease * step * descent + noise:
            return moved
        step *= 0.5
    return None


def arc_search(
    problem, point: Point, direction: np.ndarray, least: np.ndarray, halvings: int = TOLERANCES.bendings
):
    """(A point of lower J on the arc t ↦ the edges nearest to X + t·direction whose cells keep the widths
    `least`, and t), (None, 0) where there is none: light cells on the way of heavy ones, crushed by many
    orders of magnitude at a wall, would shorten a straight step for all."""
    growth, step, noise = np.diff(direction), 1.0, TOLERANCES.search_noise * point.magnitude
    for _ in range(halvings):
        target = point.edges + step * direction, point.widths + step * growth
        edges, widths = problem.apart(*target, least)
        descent = float(point.gradient @ (edges - point.edges))
        if descent < 0.0:
            moved = type(point)(problem, edges, widths)
            if moved.value <= point.value + TOLERANCES.sufficient_decrease * descent + noise:
                return moved, step
        step *= 0.5
    return None, 0.0


def _longest_step(widths: np.ndarray, growth: np.ndarray):
    shrinking = np.where(growth < 0.0, -np.inf, 0.0)
    least = float(np.min(np.divide(growth, widths, out=shrinking, where=widths > 0.0)))
    return 1.0 if least >= -TOLERANCES.given_up else -TOLERANCES.given_up / least


def _to_wall(edges: np.ndarray, direction: np.ndarray, step: float, walls: tuple):
    if direction[0] < 0.0:
        step = min(step, (walls[0] - edges[0]) / direction[0])
    if direction[-1] > 0.0:
        step = min(step, (walls[1] - edges[-1]) / direction[-1])
    return step


def minimise_bounded(
    problem, bounds: np.ndarray, tolerance: float, most_iterations: int, first: tuple | None = None
) -> Solution:
    """The minimiser of W₂²/2τ + F with ΔX ≥ `bounds` `[n]` where they are not −∞, and the edges between the
    walls.

    Each iteration minimises the quadratic model under the bounds: distances at their bounds join their edges
    into rigid blocks. The new edges are those of the model, or the nearest that keep every cell open. The
    pressures z ≥ 0 of active distances are those of saturated cells, or of two fronts that touch; with r the
    gradient of the Lagrangian and s the slacks, ½rᵀ((1/τ + λ)M)⁻¹r + Σ z s is an upper bound on J − min J.
    """
    limits = _Limits(problem, bounds)
    point = Point(problem, *limits.entered(*(first or (problem.start, problem.widths))))
    return minimised(problem, limits, point, tolerance, most_iterations)


def minimised(problem, limits, point: Point, tolerance: float, most_iterations: int) -> Solution:
    """The minimiser from a point within the limits, which give the direction, the gap and the search."""
    closed, stall = False, Stall(TOLERANCES.stalled_iterations)
    for iteration in range(most_iterations + 1):
        direction = limits.direction(point)
        gap = limits.gap(point)
        enough = allowed_gap(problem, point.cost, tolerance, TOLERANCES.rounding * point.magnitude)
        last, closed = closed, gap <= enough
        if not closed and stall.reached(point.value, enough):
            break
        if (last and closed) or iteration == most_iterations or direction is None:
            break
        if closed and -float(point.gradient @ direction) <= TOLERANCES.nothing_to_gain * point.magnitude:
            break
        moved = limits.search(point, direction)
        if moved is None:
            break
        point = moved.expecting(problem, point, direction)
    return solution(point, gap, iteration, bool(closed))


class _Limits:
    """The bounds of the n + 2 distances: wall to first edge, the widths, last edge to wall."""

    def __init__(self, problem, bounds: np.ndarray):
        self.problem, self.walls, self.masses = problem, problem.walls, problem.masses
        self.bounded = np.isfinite(bounds)
        self.floor = np.where(self.bounded, bounds, 0.0)
        self.active = np.zeros(bounds.size + 2, bool)

    def entered(self, edges: np.ndarray, widths: np.ndarray):
        """The nearest edges that keep to the bounds."""
        least = np.where(self.bounded, self.floor, TOLERANCES.kept_width * widths)
        if np.all(widths >= least):
            return edges, widths
        return kept_apart(edges, widths, least, self.masses, self.walls)

    def room(self, point: Point):
        """Distances less their bounds, ∞ where there is none."""
        ends = point.edges[0] - self.walls[0], self.walls[1] - point.edges[-1]
        slack = np.concatenate([ends[:1], point.widths - self.floor, ends[1:]])
        least = TOLERANCES.tight * np.concatenate([[0.0], self.floor, [0.0]]) + TOLERANCES.tight_point * (
            self.walls[1] - self.walls[0]
        )
        bounded = np.concatenate([[True], self.bounded, [True]])
        return np.where(bounded, np.where(slack <= least, 0.0, slack), np.inf)

    def direction(self, point: Point):
        """Where the quadratic model under the bounds is least, with the Hessian as it is where that will do;
        None where it has no minimum."""
        for positive in (False, True) if self.problem.convexity <= 0.0 else (True,):
            point.assemble(self.problem, positive)
            direction = self._of_model(point)
            if direction is not None:
                break
        return direction

    def _of_model(self, point: Point):
        from jko.loops.elliptic import banded, rigid_blocks

        out, stiffening = np.empty_like(point.gradient), np.zeros(self.masses.size)
        room, open_widths = self.room(point), np.where(self.bounded, np.inf, point.widths)
        upper = point.upper
        for _ in range(TOLERANCES.stiffenings):
            if not rigid_blocks.bounded_direction(
                point.rows,
                upper,
                point.gradient,
                self.masses,
                room,
                self.active,
                TOLERANCES.active_set_rounds,
                out,
            ):
                return None
            if not banded.stiffen(
                out, open_widths, point.terms.rigidity, stiffening, 1.0 - TOLERANCES.kept_width
            ):
                break
            upper = point.upper - stiffening
        return out

    def gap(self, point: Point):
        from jko.loops.elliptic import rigid_blocks

        room = self.room(point)
        tight = self.active & (room <= 0.0)
        pressure, residual = np.empty(room.size), np.empty(room.size - 1)
        wrong = rigid_blocks.multipliers(point.gradient, self.masses, tight, pressure, residual)
        return certified_gap(self.problem, point.edges, residual) + wrong * (self.walls[1] - self.walls[0])

    def search(self, point: Point, direction: np.ndarray):
        """A point of lower J on the arc along the direction, or else along the gradient."""
        least = np.where(self.bounded, self.floor, TOLERANCES.kept_width * point.widths)
        moved, _ = arc_search(self.problem, point, direction, least)
        if moved is not None:
            return moved
        diagonal = point.rows - np.append(point.upper, 0.0) - np.append(0.0, point.upper)
        return arc_search(self.problem, point, -point.gradient / diagonal, least)[0]
