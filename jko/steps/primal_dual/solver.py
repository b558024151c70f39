"""The dynamic step solved to a gap: a start from coarser grids or the last step, iterations, certificates."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from jko.loops.transport.c_transform import c_transform
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
)
from jko.steps.primal_dual.grids import (
    box_of_mass,
    halved,
    inside,
    prolonged,
    rolled,
    seam,
    turned,
)
from jko.steps.primal_dual.newton import DualNewton
from jko.steps.primal_dual.own_error import at_the_end, at_the_start, turning
from jko.steps.primal_dual.splitting import Splitting
from jko.steps.primal_dual.tolerances import TOLERANCES


@dataclass(frozen=True)
class Outcome:
    """A step's path, its gap and whether it closed, the iterations, what the next step starts from, what the
    inner slices cost beyond what the grid resolves (0 where that is little), and what a unit of mass gains
    where growth has no bound (else 0), and what mass in doors pays."""

    path: object
    gap: float
    enough: float
    closed: bool
    excess: float
    iterations: int
    data: dict
    before: float
    overpaid: float
    runaway: float
    paid: float


class DynamicSolver:
    """One step of `problem` from the values of a density."""

    def __init__(self, problem, settings: Scheme, values: np.ndarray, tau: float):
        self.problem, self.settings, self.tau = problem, settings, tau
        self.start = np.ascontiguousarray(values.reshape(problem.shape))
        self.pressure = np.zeros_like(problem.excess(self.start))
        self.actions = problem.actions(tau, self.start)
        self.iterations, self.changes, self.expected, self.stayed = 0, 0, 0, 0
        self.within = math.inf  # the iterations that `tolerance` itself took
        self.turned_from: np.ndarray | None = None  # the potential of the last velocity
        self.interacting = problem.interacts
        if problem.doors is not None:
            self.prices = problem.prices(problem.interaction(values))
        self._linearize(values)
        self.best, self.bound, self.gap, self.own = self._staying(), -math.inf, math.inf, math.inf
        self.rest = self._share_of_forces()

    def solve(self, data: State) -> Outcome:
        """The step, from the potential, flows and weights of the last one in `data`, or from nothing.

        It is sought in a box around the mass, and bounded on the whole grid: where that bound says less than
        was asked for, in one with twice the margin.
        """
        self.turned_from = at_the_start(self.problem, self.start.reshape(self.problem.layout))
        if data:
            self.turned_from = data["end"]
        reach = self._reach()
        boxed = not self.interacting and self.problem.length is None
        while boxed and (box := box_of_mass(self.start, reach)) is not None:
            data, closed = self._in_box(data, box)
            if self._closed() or not closed:
                return self._outcome(data)
            reach = [2 * n for n in reach]
        return self._outcome(self._run(data))

    def _run(self, data: State | dict) -> dict:
        """Iterations from `data`, and what the next step starts from."""
        self.stayed = int(data.get("stayed", not data))
        if self.stayed:
            rest = self._at_rest(data)
            # what is just enough would be so for ever
            share = 1.0 if self.stayed > TOLERANCES.stays else TOLERANCES.rested
            if self._closed() and self.gap <= share * self._enough():
                return rest
            self.bound, self.gap = -math.inf, math.inf
        potential, flow = self._unpacked(data) if data else self._nested()
        self.expected = min(int(data.get("iterations", 0)), TOLERANCES.longest_wait)
        potential = self._with_free_particles(potential, self._empty())
        splitting = self._splitting(self.problem, self.start, self.field, self._weights(data))
        splitting.restart(potential, flow)
        if self.interacting or self._first_check() <= TOLERANCES.first_check or self._runaway() > 0.0:
            self._certify(splitting)  # else the last step's flows are far off, and dear to cut
        most = self.settings.max_iterations
        self._iterate(splitting, min(self._newton_from, most))
        if self._newton_from <= self.iterations < most:
            self._finish(splitting)
        self._iterate(splitting, most)
        weights = [*splitting.s[:1], splitting.g, splitting.m, *splitting.s[-1:]]
        weights = np.array(weights[: len(self._units)]) / self._units
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
        return found, inner._closed()

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

    def _unpacked(self, data: dict):
        """(potential, flow) of `_packed`."""
        exchanges, slices = range(len(self.problem.exchanges)), range(self.problem.slices)
        flow = [[data[f"flow{a}"][k] for a in exchanges] for k in slices]
        return list(data["potential"] - self.shift), flow

    def _reach(self):
        """Cells along each axis that mass may need beside it: how far the field pushes it in τ, how far U
        can, as |x − y|²/2τ ≤ U′(max ρ) − U′(0), and a few. All cells where U′(0) = −∞ and along axes that
        turn."""
        push, largest = 0.0, self.start.max(axis=self.problem.axes, keepdims=True)
        if self.problem.internal is not None:
            push = float((self.problem.internal.derivative(largest) - self._lowest).max())
            push = push if math.isfinite(push) else math.inf
        reach = []
        for axis, (h, n) in enumerate(zip(self.problem.spacing, self.problem.grid.cells, strict=True)):
            faces = self.problem.exchanges[axis]
            held = faces.mean(self.start) > TOLERANCES.next_to_nothing * largest
            slope = float(np.abs(faces.drop(self.field)[held]).max(initial=0.0)) / h
            cells = (self.tau * slope + math.sqrt(2.0 * self.tau * max(push, 0.0))) / h
            reach.append(n if faces.turns else 2 * TOLERANCES.margin + math.ceil(min(cells, n)))
        return reach + [0] * (3 - len(reach))

    @functools.cached_property
    def _lowest(self):
        """U′(0), for each species."""
        if self.problem.internal is None:
            return 0.0
        with np.errstate(all="ignore"):
            return self.problem.internal.derivative(np.zeros((1, 1, self.problem.species)))

    def _linearize(self, values: np.ndarray):
        """F = ∫U + field ρ + constant with the interaction's tangent at `values`, whose W∗ρ is returned.

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
        return pull

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

    def _splitting(self, problem, start: np.ndarray, field: np.ndarray, weights: np.ndarray | None = None):
        flow, theta, density, *source = (self._units if weights is None else weights).tolist()
        flows = [flow] * problem.grid.dimension + source
        return Splitting(problem, start, self.tau, field, (flows, theta, density))

    def _empty(self):
        """Cells that hold next to nothing, at the start and at the end of the best path."""
        free = self.problem.most > 0.0
        return next_to_empty(self.problem, self.start) & next_to_empty(self.problem, self.best.end) & free

    def _with_free_particles(self, potential: list, cells: np.ndarray):
        """The potential, and in these cells the least |x − y|²/2τ_k + f(y) + U′(0): what a particle alone
        would pay in the time left. A vacuum says nothing of its potential, which would wander."""
        problem, grid, K = self.problem, self.problem.grid, self.problem.slices
        lowest = problem.first_slope(self.best.end, self.pressure)
        if not cells.any() or not np.isfinite(lowest).all():
            return potential
        paid = np.where(problem.most > 0.0, -(self.field + np.where(problem.held, lowest, 0.0)), -math.inf)

        def alone(time: float):
            moved = [c_transform(p, grid.spacing, time, periodic=grid.periodic) for p in problem.each(paid)]
            return self._grown(problem.together(moved), time)

        times = [self.tau * (K - k) / K for k in range(K)]
        return [np.where(cells, alone(t), p) for t, p in zip(times, potential, strict=True)]

    def _grown(self, potential: np.ndarray, time: float):
        """What a particle alone pays beside its way where it may grow or die: −∂_t p + p²/2δ² = 0, while
        finite."""
        if self.problem.length is None:
            return potential
        factor = 1.0 + 0.5 * time / self.problem.length**2 * potential
        return np.divide(potential, factor, out=potential.copy(), where=factor > 0.5)

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
        newton = DualNewton(self.problem, self.start, self.actions, self._unit, first)
        ends = ([field] * self.problem.slices for field in (self._first_variation(), 0.0 * self.field))
        newton.start_from([splitting.potential, *ends], self.field)
        for _ in range(TOLERANCES.newton_updates):
            before = self.gap
            self.iterations += newton.iterate(self.field)
            self._certify(newton)
            settled = self.gap <= TOLERANCES.newton_beyond * self._enough() or self.gap > 0.5 * before
            if self.iterations >= self.settings.max_iterations or (self._closed() and settled):
                break
        splitting.restart(newton.potential, newton.flow)

    def _iterate(self, splitting: Splitting, limit: float):
        """Iterations until the gap closes or their number is spent."""
        certified = self.iterations
        check = certified + self._first_check()
        limit = 0 if not self.interacting and self._runaway() > 0.0 else limit
        closed = self._closed()
        while self.iterations < limit and not closed:
            residuals = splitting.iterate()
            self.iterations += 1
            if self.iterations > TOLERANCES.patience and self.iterations % TOLERANCES.balance == 0:
                self.changes = balance(splitting, residuals, self.changes)
            if self.iterations >= check or self.iterations == limit:
                before = self._left()
                self._certify(splitting)
                check = self.iterations + self._wait(self.iterations - certified, before - self._left())
                certified, closed = self.iterations, self._closed()

    def _first_check(self) -> int:
        """Iterations before the first certificate."""
        return max(TOLERANCES.first_check, int(TOLERANCES.as_last * self.expected))

    def _left(self):
        """The powers of e that the gap has to fall by."""
        return math.log(max(self.gap, np.finfo(float).tiny) / max(self._enough(), np.finfo(float).tiny))

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
        if self.interacting:
            found = self._mixed(found)
        if self._merit(found) < self._merit(self.best):
            self.best = found
            self.rest = min(self.rest, self._share_of_forces())
            if self.interacting:
                self._renew(splitting)
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

    def _renew(self, splitting):
        """The tangent of the interaction at the best path's end takes the place of the last one."""
        self._linearize(self.best.end.reshape(self.problem.layout))
        splitting.field = self.field

    def _rounding(self):
        volume = self.problem.grid.cell_volume
        size = self.problem.size_in(self.field, self.best.end)
        # where a cap alone holds nothing, all mass by a cell is the scale
        size += max(float(np.max(a)) for a in self.actions) * float(self.start.sum()) * volume
        if self.problem.length is not None:
            size += abs(float(self.field.min())) * float(self.best.end.sum()) * volume
        return TOLERANCES.rounding * (abs(self.best.cost) + size)

    def _closed(self):
        return self.gap < math.inf and self.gap <= self._enough() and self._beyond(self.best) == 0.0

    def _enough(self):
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

    def _outcome(self, data: dict):
        excess = self.problem.fullness(self.best.end) - 1.0
        return Outcome(
            self.best,
            max(self.gap, 0.0),
            self._enough(),
            self._closed(),
            excess,
            self.iterations,
            data,
            self.before,
            self._overpaid(list(data["potential"] - self.shift)),
            self._runaway(),
            self.paid_in_doors(self.best.end.reshape(self.problem.layout)),
        )

    def _runaway(self):
        """What a unit of mass gains where growth has no bound, in the tangent of an interaction; else 0."""
        problem = self.problem
        if problem.length is None:
            return 0.0
        uncapped = self.field[(problem.most > 0.0) & ~np.isfinite(problem.most)]
        return runaway(uncapped, problem.internal, problem.length, self.tau)

    def _overpaid(self, potential: list):
        """By which share of the decrease the exact step may be better, 0 where that is little, or where the
        metric is not W₂."""
        problem = self.problem
        if not problem.standard:
            return 0.0
        decrease = self.before - self.best.value
        if not math.isfinite(decrease):
            decrease = self.best.cost
        ends, bound = self._ends(potential), self.bound - self.constant
        return lost_to_slices(problem, self.tau, self.start, self.best.end, ends, self.field, bound, decrease)

    def _ends(self, potential: list):
        """Candidates for (p¹ − w¹, p^K + w^K): what the first variation of F at the end says, which knows of
        a vacuum too, and those of the iterates."""
        problem, r = self.problem, self.best.end

        def of(p: list):
            begin, end = (problem.speed_term(q, self.actions, self.start) for q in (p[0], p[-1]))
            return p[0] - begin, p[-1] + end

        begin, end = of(potential)
        if problem.doors is None:
            slope = self._first_variation()
            yield begin, slope - problem.totals(r * (slope - end)) / problem.totals(r)
            if problem.blocked is not None and problem.internal is None:
                return  # right in each cell, where others may lead all ways into an obstacle
        yield begin, end
        yield of(self._with_free_particles(potential, self._empty()))

    def _first_variation(self):
        """f + U′ and the pressure, at the end of the best path, next to full where U′ is infinite."""
        if self.problem.internal is None:
            return self.field + self.pressure
        eps = np.finfo(float).eps
        r = np.maximum(self.best.end, self.start.max(axis=self.problem.axes, keepdims=True) * eps)
        with np.errstate(divide="ignore"):
            slope = self.problem.internal.derivative(r)
        if not np.isfinite(slope).all():
            slope = np.where(np.isfinite(slope), slope, self.problem.internal.derivative(r * (1.0 - eps)))
        return self.field + self.pressure + slope

    @functools.cached_property
    def _units(self):
        """The units of the weights of flows, θ and densities, and of sources where there are any: how stiff
        their cost is at the mean density."""
        first, theta, density, source = TOLERANCES.weights
        units = [self._unit * first, self._unit * theta, self._unit * density]
        if self.problem.length is not None:
            mean = float(np.vdot(self.start, self.start)) / float(self.start.sum())
            units.append(2.0 * self.actions[-1] / mean * source)
        return np.array(units)

    @functools.cached_property
    def _unit(self):
        """The unit of the weights, an energy over a density: how much V + W∗ρ differs over the mass, or the
        first variation from 0 where there are sources, plus the stiffness of U, or else what a move by one
        cell costs."""
        r, totals = self.start, self.problem.totals(self.start)
        total, half = float(totals.sum()), 0.5 * self.problem.fullest
        density = min(float(np.vdot(r, r)) / total, half)  # U′ and U″ of what is full are infinite
        if self.problem.length is None:
            change = self.field - self.problem.totals(r * self.field) / totals
        else:
            values = np.minimum(r, half).reshape(self.problem.layout)
            change = self.problem.slope(values, self.problem.interaction(values)).reshape(r.shape)
        energy = math.sqrt(float(np.vdot(r, change**2)) / total)
        if self.problem.internal is not None:
            alone = np.full((1, 1, self.problem.species), density)
            energy += density * float(self.problem.internal.second_derivative(alone).max())
        energy = energy if energy > 0.0 else max(float(np.max(action)) for action in self.actions)
        return energy / density

    def _nested(self):
        """(potential, flow) to start from: the same step on coarser grids, which turn with the data, from the
        coarsest."""
        turn = seam(self.start, self.field, self.problem.grid.periodic)
        fine = turned(self.problem, turn) if any(turn) else self.problem
        levels = [(fine, rolled(self.start, turn), rolled(self.field, turn))]
        while (coarse := halved(*levels[-1])) is not None:
            levels.append(coarse)
        guess = None
        for problem, start, field in reversed(levels[1:]):
            splitting = self._splitting(problem, start, field)
            if guess is None:
                splitting.gather()
            else:
                splitting.restart(*prolonged(*guess, problem))
            self._coarse(splitting)
            guess = splitting.potential, splitting.flow
        if guess is None:
            return [np.zeros(self.problem.shape) for _ in range(self.problem.slices)], self.problem.no_flows()
        potential, flow = prolonged(*guess, fine)
        back = tuple(-n for n in turn)
        return [rolled(p, back) for p in potential], [[rolled(v, back) for v in slices] for slices in flow]

    def _coarse(self, splitting: Splitting):
        changes = 0
        for iteration in range(1, TOLERANCES.coarse_iterations + 1):
            residuals = splitting.iterate()
            if iteration % TOLERANCES.balance == 0:
                if iteration > TOLERANCES.patience:
                    changes = balance(splitting, residuals, changes)
                size = sum(float(np.vdot(r, r)) for r in splitting.density)
                if residuals[4] + residuals[5] <= TOLERANCES.coarse_residual**2 * size:
                    return


def balance(splitting: Splitting, residuals: np.ndarray, changes: int):
    """Multiply each weight by a power of (primal residual / dual residual) of its block, a ratio without
    units.
    """
    power = 0.1 / (1.0 + (changes / TOLERANCES.settling) ** 2)
    tiny = np.finfo(float).tiny
    # by logarithms, since a dual residual of 0 would make the ratio overflow
    logs = power * (np.log(residuals[0::2] + tiny) - np.log(residuals[1::2] + tiny))
    most = math.log(TOLERANCES.most_change)
    factors = np.exp(np.clip(logs, -most, most)).tolist()
    splitting.rescale(*factors)
    return changes + 1
