"""The dynamic step solved to a gap: a start from coarser grids or the last step, iterations, certificates."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from jko.scheme import Scheme, State
from jko.steps.grid.source import runaway
from jko.steps.grid.time_error import lost_to_slices
from jko.steps.primal_dual.certificate import (
    Path,
    admissible_path,
    lower_bound,
    mixed,
    next_to_empty,
    path_of,
    rounding,
)
from jko.steps.primal_dual.grids import box_of_mass, inside, reach_of
from jko.steps.primal_dual.nested import nested_start
from jko.steps.primal_dual.newton import DualNewton
from jko.steps.primal_dual.own_error import at_the_end, at_the_start, turning
from jko.steps.primal_dual.potentials import ends, first_variation, with_free_particles
from jko.steps.primal_dual.splitting import Splitting
from jko.steps.primal_dual.tolerances import TOLERANCES
from jko.steps.primal_dual.weights import balance, split, stiffness_of, units_of, weights_of


class DynamicSolver:
    """One step of `problem` from the values of a density: the `best` path, its `gap` and whether it `closed`,
    its `iterations`, F `before`."""

    def __init__(self, problem, settings: Scheme, values: np.ndarray, tau: float):
        self.problem, self.settings, self.tau = problem, settings, tau
        self.start = np.ascontiguousarray(values.reshape(problem.shape))
        self.pressure = np.zeros_like(problem.excess(self.start))
        self.actions = problem.actions(tau, self.start)
        self.iterations, self.changes, self.expected, self.stayed = 0, 0, 0, 0
        self.within = math.inf  # the iterations that `tolerance` itself took
        self.turned_from: np.ndarray | None = None  # the potential of the last velocity
        if problem.doors is not None:
            self.prices = problem.prices(problem.interaction(values))
        self._linearize(values)
        self.best, self.bound, self.gap, self.own = self._staying(), -math.inf, math.inf, math.inf
        self.rest = self._share_of_forces()

    def solve(self, data: State) -> dict:
        """What the next step starts from: the step is taken from the potential, flows and weights of the last
        one in `data`, or from nothing.

        It is sought in a box around the mass, and bounded on the whole grid: where that bound says less than
        was asked for, in one with twice the margin.
        """
        self.turned_from = data["end"] if data else at_the_start(self.problem, self.start)
        reach = reach_of(self.problem, self.start, self.field, self.tau)
        boxed = not self.problem.interacts and self.problem.length is None
        while boxed and (box := box_of_mass(self.start, reach)) is not None:
            data, closed = self._in_box(data, box)
            if self.closed() or not closed:
                return data
            reach = [2 * n for n in reach]
        return self._run(data)

    def _run(self, data: State | dict) -> dict:
        """Iterations from `data`, and what the next step starts from."""
        self.stayed = int(data.get("stayed", not data))
        if self.stayed:
            rest = self._at_rest(data)
            # what is just enough would be so for ever
            share = 1.0 if self.stayed > TOLERANCES.stays else TOLERANCES.rested
            if self.closed() and self.gap <= share * self.enough():
                return rest
            self.bound, self.gap = -math.inf, math.inf
        potential, flow = self._start_from(data)
        self.expected = min(int(data.get("iterations", 0)), TOLERANCES.longest_wait)
        potential = self._with_free_particles(potential, self._empty())
        splitting = split(self.problem, self.start, self.tau, self.field, self._weights(data))
        splitting.restart(potential, flow)
        if self.problem.interacts or self._first_check() <= TOLERANCES.first_check or self.runaway() > 0.0:
            self._certify(splitting)  # else the last step's flows are far off, and dear to cut
        most = self.settings.max_iterations
        self._iterate(splitting, min(self._newton_from, most))
        if self._newton_from <= self.iterations < most:
            self._finish(splitting)
        self._iterate(splitting, most)
        weights = weights_of(splitting, len(self._units)) / self._units
        return self._packed(splitting.potential, splitting.flow, weights)

    def _at_rest(self, data: State | dict) -> dict:
        """The bound that staying gets from the potential of a last step that stayed, or from 0, which says
        that the start is a minimiser of F; and what the next step would start from."""
        potential, flow = np.zeros((self.problem.slices, *self.problem.shape)), self.problem.no_flows()
        if data:
            potential = data["potential"] - self.shift
        self._bound_by(potential)
        return self._packed(potential, flow, data.get("weights", np.ones(len(self._units))))

    def _in_box(self, data: State | dict, box: list):
        """The same in a box, outside of which all stays, bounded on the whole grid; and whether it closed
        there."""
        problem, at = self.problem, (slice(None), *box)
        part = problem.within(box)
        inner = DynamicSolver(part, self.settings, self.start[tuple(box)].reshape(part.layout), self.tau)
        inner.iterations = self.iterations
        inner.turned_from = None if self.turned_from is None else self.turned_from[tuple(box)]
        faces = [exchange.within(box) for exchange in problem.exchanges]
        parts = {"potential": at, "end": tuple(box)}
        parts |= {f"flow{a}": (slice(None), *place) for a, place in enumerate(faces)}
        found = inner._run({name: data[name][parts[name]] if name in parts else data[name] for name in data})
        self.iterations, self.within = inner.iterations, inner.within
        potential = np.zeros((problem.slices, *problem.shape))
        potential[at] = found["potential"] - self.shift
        outside = np.ones(problem.shape, bool)
        outside[tuple(inside(box, problem.shape, TOLERANCES.margin))] = False
        potential = self._with_free_particles(list(potential), outside)
        densities, flows = [self.start.copy() for _ in inner.best.densities], problem.no_flows()
        for k, r in enumerate(inner.best.densities):
            densities[k][tuple(box)] = r
            for a, place in enumerate(faces):
                flows[k][a][place] = inner.best.flows[k][a]
        self.best = Path(densities, flows, inner.best.cost, self._energy(densities[-1]))
        self.rest = min(self.rest, self._share_of_forces())
        self._bound_by(potential)
        found["potential"] = np.stack(potential) + self.shift
        found["end"] = self._end(potential)
        for a, exchange in enumerate(problem.exchanges):
            whole = np.zeros((problem.slices, *exchange.shape))
            whole[parts[f"flow{a}"]] = found[f"flow{a}"]
            found[f"flow{a}"] = whole
        return found, inner.closed()

    def _packed(self, potential: np.ndarray, flow: list, weights: np.ndarray) -> dict:
        """What the next step starts from, as arrays."""
        data = {
            "potential": np.stack(potential) + self.shift,
            "end": self._end(potential),
            "weights": weights,
            "iterations": self.iterations,
            "stayed": self.stayed + 1 if self.best.cost == 0.0 else 0,
        }
        return data | {f"flow{a}": np.stack(slices) for a, slices in enumerate(zip(*flow, strict=True))}

    def _start_from(self, data: State | dict) -> tuple:
        """(potential, flow) of `_packed`, or of coarser grids."""
        if not data:
            return nested_start(self.problem, self.start, self.field, self.tau, self._units)
        exchanges, slices = range(len(self.problem.exchanges)), range(self.problem.slices)
        return data["potential"] - self.shift, [[data[f"flow{a}"][k] for a in exchanges] for k in slices]

    def _linearize(self, values: np.ndarray):
        """F = ∫U + field ρ + constant with the interaction's tangent at `values`.

        The field is taken less U′ of the mean density, the `shift`, so that potentials, near field + U′,
        start near 0: in other units of length an entropy's U′ differs by a constant. Not so where there are
        sources, which such a constant would drive.
        """
        problem, total = self.problem, self.problem.totals(self.start)
        values = problem.inside(values)
        pull = problem.interaction(values)
        self.shift = np.zeros_like(total)
        if problem.internal is not None and problem.length is None:
            mean = problem.totals(self.start**2) / total
            self.shift = problem.internal.derivative(np.minimum(mean, 0.5 * problem.fullest))
        outer = problem.outer(pull)
        if problem.doors is not None:
            outer = outer.copy()
            outer[problem.doors] = self.prices
        self.field = np.ascontiguousarray(outer.reshape(problem.shape) - self.shift)
        tangent = 0.0 if pull is None else 0.5 * float(np.vdot(pull, values))
        self.constant = (float(np.vdot(self.shift, total)) - tangent) * problem.grid.cell_volume

    def _energy(self, r: np.ndarray):
        values = r.reshape(self.problem.layout)
        inside = self.problem.inside(values)
        energy = self.problem.energy(inside, self.problem.interaction(inside))
        return energy + (0.0 if inside is values else self.paid_in_doors(values))

    def _share_of_forces(self) -> float:
        """The gap at which a density is at rest, by the forces that hold each other at the end of the best
        path: those at a steep start say nothing of it. What unbalanced forces would gain grows with τ, what F
        has to give does not."""
        r = self.best.end
        least = TOLERANCES.next_to_nothing * r.max(axis=self.problem.axes, keepdims=True)
        # cells without mass to speak of may hold rounding, whose slopes are large
        values = self.problem.inside(np.where(r > least, r, 0.0).reshape(self.problem.layout))
        gain = self.problem.gain(values, self.problem.interaction(values), self.tau)
        return TOLERANCES.at_rest * self.settings.tolerance * gain if math.isfinite(gain) else 0.0

    def paid_in_doors(self, values: np.ndarray) -> float:
        """What the mass in doors pays there."""
        doors = self.problem.doors
        return 0.0 if doors is None else float(values[doors] @ self.prices) * self.problem.grid.cell_volume

    def _staying(self):
        path = path_of(self.problem, self.start, self.problem.no_flows(), self.actions, self._energy)
        values = self.start.reshape(self.problem.layout)
        self.before = path.energy if self.problem.admits(values) else math.inf
        return path if self.problem.admits(values) else replace(path, energy=math.inf)

    def _weights(self, data: State | dict):
        """The weights at the last step's end where they are below the problem's own, within bounds: small
        ones grow within tens of iterations, large ones hold the iterates where they start."""
        return np.clip(data.get("weights", 1.0), TOLERANCES.least_weight, 1.0) * self._units

    def _empty(self):
        """Cells that hold next to nothing, at the start and at the end of the best path."""
        free = self.problem.most > 0.0
        return next_to_empty(self.problem, self.start) & next_to_empty(self.problem, self.best.end) & free

    def _with_free_particles(self, potential, cells: np.ndarray):
        lowest = self.problem.first_slope(self.best.end, self.pressure)
        return with_free_particles(self.problem, potential, self.field, lowest, self.tau, cells)

    @functools.cached_property
    def _newton_from(self) -> float:
        """The iterations before Newton's method: ∞ where it does not know the problem, or is large."""
        problem = self.problem
        known = problem.standard and problem.doors is None
        if not known or problem.slices**2 * self.start.size > TOLERANCES.newton_unknowns:
            return math.inf
        at_once = problem.grid.dimension == 1 and problem.cells.curved
        return TOLERANCES.first_check if at_once else TOLERANCES.before_newton

    def _finish(self, splitting: Splitting):
        """Newton's method for the potential, from where the splitting is and back to it.

        Its proximal term holds mass back, an error of one sign, so that it goes on until it gains no more.
        """
        # a path's density is right where U bends; under caps alone it is the iterate's that keeps below them
        first = self.best.densities if self.problem.cells.curved else splitting.density
        newton = DualNewton(self.problem, self.start, self.actions, self._stiffness, first)
        ends = ([field] * self.problem.slices for field in (self._first_variation(), 0.0 * self.field))
        newton.start_from([splitting.potential, *ends], self.field)
        for _ in range(TOLERANCES.newton_updates):
            before = self.gap
            self.iterations += newton.iterate(self.field)
            self._certify(newton)
            settled = self.gap <= TOLERANCES.newton_beyond * self.enough() or self.gap > 0.5 * before
            if self.iterations >= self.settings.max_iterations or (self.closed() and settled):
                break
        splitting.restart(newton.potential, newton.flow)

    def _iterate(self, splitting: Splitting, limit: float):
        """Iterations until the gap closes or their number is spent."""
        certified = self.iterations
        check = certified + self._first_check()
        limit = 0 if not self.problem.interacts and self.runaway() > 0.0 else limit
        closed = self.closed()
        while self.iterations < limit and not closed:
            residuals = splitting.iterate()
            self.iterations += 1
            if self.iterations > TOLERANCES.patience and self.iterations % TOLERANCES.balance == 0:
                self.changes = balance(splitting, residuals, self.changes)
            if self.iterations >= check or self.iterations == limit:
                before = self._left()
                self._certify(splitting)
                check = self.iterations + self._wait(self.iterations - certified, before - self._left())
                certified, closed = self.iterations, self.closed()

    def _first_check(self) -> int:
        """Iterations before the first certificate."""
        return max(TOLERANCES.first_check, int(TOLERANCES.as_last * self.expected))

    def _left(self):
        """The powers of e that the gap has to fall by."""
        return math.log(max(self.gap, np.finfo(float).tiny) / max(self.enough(), np.finfo(float).tiny))

    def _wait(self, iterations: int, fall: float):
        """How many iterations the gap needs if it goes on as in the last ones, within bounds."""
        most = max(
            TOLERANCES.first_check, min(int(TOLERANCES.wait_share * self.iterations), TOLERANCES.longest_wait)
        )
        needed = iterations * self._left() / fall if fall > 0.0 else most
        return int(min(max(needed, TOLERANCES.first_check), most))

    def _certify(self, splitting: Splitting):
        found = admissible_path(
            self.problem, self.start, splitting.flow, splitting.potential, self.actions, self._energy
        )
        if self.problem.interacts:
            found = self._mixed(found)
        if self._merit(found) < self._merit(self.best):
            self.best = found
            self.rest = min(self.rest, self._share_of_forces())
            if self.problem.interacts:
                self._linearize(found.end.reshape(self.problem.layout))
                splitting.field = self.field
        self._bound_by(splitting.potential)

    def _bound_by(self, potential: list):
        """The gap with the bound that a potential gives."""
        bound, pressure = lower_bound(
            self.problem, self.start, self.best, potential, self.actions, self.field
        )
        if bound + self.constant > self.bound or not self.problem.tangents_are_bounds:
            self.bound, self.pressure = bound + self.constant, pressure
        self.gap = self.best.value - self.bound + self._slack(self.best) + self._rounding()
        self.own = math.inf
        if self.turned_from is not None and self.problem.standard:
            before = self.turned_from - self.shift
            self.own = turning(self.problem, self.start, before, potential[0], self.actions)

    def _end(self, potential: list):
        """The potential of the velocity at the end."""
        return at_the_end(self.problem, self.best, self.start, potential[-1], self.actions) + self.shift

    def _slack(self, path: Path) -> float:
        """What a lower bound loses with the cap raised to where the path exceeds it."""
        over = self.problem.excess(path.end)
        return float(np.vdot(self.pressure, over)) * self.problem.grid.cell_volume

    def _beyond(self, path: Path) -> float:
        """By which share of the cap a path ends above it, 0 where that is within `cap_excess`."""
        return max(self.problem.fullness(path.end) - 1.0 - TOLERANCES.cap_excess, 0.0)

    def _merit(self, path: Path) -> tuple[float, float]:
        """What paths are compared by: how far they end above the cap, as from a start above it all do at
        first, then their value."""
        if not math.isfinite(path.value):
            return math.inf, math.inf
        return self._beyond(path), path.value + self._slack(path)

    def _mixed(self, found):
        """The first of halved moves from the best path towards `found` that lowers the value, or `found`."""
        share, best = 1.0, self.best
        while share > TOLERANCES.least_share and math.isfinite(best.value):
            tried = mixed(self.problem, self.start, (best, found), share, self.actions, self._energy)
            if self._merit(tried) < self._merit(best):
                return tried
            share *= 0.5
        return found

    def _rounding(self) -> float:
        return rounding(self.problem, self.start, self.best, self.actions, self.field)

    def closed(self) -> bool:
        """Whether the gap is enough and the cap kept."""
        return self.gap < math.inf and self.gap <= self.enough() and self._beyond(self.best) == 0.0

    def enough(self) -> float:
        """The gap to stop at: `tolerance` of W₂²/2τ, or less where τ's own error in the velocity is small,
        as long as that is near or Newton's method starts at once."""
        best, tolerance = self.best, self.settings.tolerance
        allowed = tolerance * best.cost
        rest = self.rest + 4.0 * self._rounding()
        if self.gap <= allowed + rest:
            self.within = min(self.within, self.iterations)
        last = min(TOLERANCES.strives * self.within, self.settings.max_iterations)
        if self.iterations < last or self._newton_from == TOLERANCES.first_check:
            allowed = min(allowed, max(self._of_own_error(), TOLERANCES.strictest * allowed))
        return allowed + rest

    def _of_own_error(self):
        """The gap that is little beside what τ costs: by the velocity in W₂, in other metrics by
        F(ρ_k) − F(ρ′) − W²/τ, by which a step fails to be one of steepest descent [NochettoSavareVerdi2000].
        """
        if self.problem.standard:
            return TOLERANCES.own_error * self.own
        lost = self.before - self.best.energy - 2.0 * self.best.cost
        return TOLERANCES.of_time_error * lost if math.isfinite(lost) else math.inf

    def runaway(self) -> float:
        """What a unit of mass gains where growth has no bound, in the tangent of an interaction; else 0."""
        problem = self.problem
        if problem.length is None:
            return 0.0
        uncapped = self.field[(problem.most > 0.0) & ~np.isfinite(problem.most)]
        return runaway(uncapped, problem.internal, problem.length, self.tau)

    def _first_variation(self) -> np.ndarray:
        """f + U′ and the pressure, at the end of the best path."""
        return first_variation(self.problem, self.field, self.start, self.best.end) + self.pressure

    def overpaid(self, data: dict) -> float:
        """By which share of the decrease the exact step may be better, 0 where that is little, or where the
        metric is not W₂."""
        problem, best, bound = self.problem, self.best, self.bound - self.constant
        if not problem.standard:
            return 0.0
        potential, decrease = data["potential"] - self.shift, self.before - best.value

        def candidates():
            yield potential
            yield self._with_free_particles(potential, self._empty())

        known = ends(problem, self.start, best.end, self.actions, self._first_variation(), candidates)
        decrease = decrease if math.isfinite(decrease) else best.cost
        return lost_to_slices(problem, self.tau, self.start, best.end, known, self.field, bound, decrease)

    @functools.cached_property
    def _units(self) -> np.ndarray:
        return units_of(self.problem, self.start, self.actions, self._stiffness)

    @functools.cached_property
    def _stiffness(self) -> float:
        return stiffness_of(self.problem, self.start, self.field, self.actions)
