"""The dynamic step solved to a gap: a start from coarser grids or the last step, iterations, certificates."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from jko.kernels.c_transform import c_transform
from jko.measures import Grid
from jko.steps.dynamic.certificate import Path, admissible_path, cost, lower_bound, path_of
from jko.steps.dynamic.splitting import Splitting
from jko.steps.dynamic.time_error import exact_bound, overpaid
from jko.steps.grid_energy import energy_size

_FIRST_CHECK = 10  # iterations before the first certificate
_LONGEST = 100  # iterations between certificates, so that no step misses its gap by a whole tail
_MORE = 0.5  # of the iterations so far until the next certificate, at most: it costs as much as twenty
_LEAST_WEIGHT = 0.25  # of those, carried to the next step: from less, long tails of a collapse drift away
_PATIENCE = 50  # iterations with the weights of the problem's own scales before they are changed at all
_BALANCE = 10  # iterations between changes of the weights
_SETTLING = (
    10.0  # changes after which their size falls, so that their product is bounded and iterations converge
)
_WEIGHTS = np.array([1.0, 1.0, 2.0])  # of flows, θ and densities, times the unit, before a step has found better ones
_MOST_CHANGE = 4.0  # of a weight at once
_COARSEST = 12  # cells along an axis below which it is not halved
_COARSE_ITERATIONS = 120
_COARSE_RESIDUAL = 1e-3  # relative, enough for a start of the next grid
_AT_REST = 1e-2  # times the tolerance: the share of what unbalanced forces would gain that counts as rest
_OF_TIME_ERROR = 0.02  # keeps the solver's error below a tenth of τ's own, as measured in docs/engines
_STRICTEST = 0.1  # times the tolerance, where τ itself costs nothing
_ROUNDING = 1e-14
_NEXT_TO_NOTHING = 1e-3  # of the largest density
_LEAST_SHARE = 1e-3  # of a move with an interaction that is tried


@dataclass(frozen=True)
class Outcome:
    """A step's path, its gap and whether it closed, the iterations, what the next step starts from, and what
    the inner slices cost beyond what the grid resolves (0 where that is little)."""

    path: object
    gap: float
    enough: float
    closed: bool
    excess: float
    iterations: int
    data: dict
    before: float
    overpaid: float


class DynamicSolver:
    """One step of `problem` from the values of a density."""

    def __init__(self, problem, settings, values, tau):
        self.problem, self.settings, self.tau = problem, settings, tau
        self.start = np.ascontiguousarray(values.reshape(problem.shape))
        self.actions = problem.actions(tau)
        self.iterations, self.changes = 0, 0
        self.interacting = bool(problem.parts.interaction)
        pull = self._linearize(values)
        self.rest = _AT_REST * settings.tolerance * problem.forces(values, pull, tau)

    def solve(self, data) -> Outcome:
        """The step, from the potential, flows and weights of the last one in `data`, or from nothing."""
        problem = self.problem
        potential, flow = unpacked(data, problem) if data else self._nested()
        potential = self._with_free_particles(potential)
        self.best, self.bound, self.gap = self._staying(), -math.inf, math.inf
        splitting = self._splitting(problem, self.start, self.field, self._weights(data))
        splitting.restart(potential, flow)
        self._certify(splitting)
        self._iterate(splitting)
        return self._outcome(splitting)

    def _linearize(self, values):
        """F = ∫U + field ρ + constant with the interaction's tangent at `values`, whose W∗ρ is returned.

        The field is taken less U′ of the mean density, so that potentials, near field + U′, start near 0: in
        other units of length an entropy's U′ differs by a constant.
        """
        problem, total = self.problem, float(self.start.sum())
        pull = problem.interaction(values)
        rest = 0.0
        if problem.internal is not None:
            mean = np.array([float(np.vdot(self.start, self.start)) / total])
            rest = float(problem.internal.derivative(mean)[0])
        self.field = np.ascontiguousarray(problem.outer(pull).reshape(problem.shape) - rest)
        tangent = 0.0 if pull is None else 0.5 * float(np.vdot(pull, values))
        self.constant = (rest * total - tangent) * problem.grid.cell_volume
        return pull

    def _energy(self, r):
        values = r.reshape(self.problem.grid.cells)
        return self.problem.energy(values, self.problem.interaction(values))

    def _staying(self):
        K = self.problem.slices
        flows = [[np.zeros(_faces(self.problem.shape, a)) for a in self.problem.axes] for _ in range(K)]
        path = path_of(self.problem, self.start, flows, self.actions, self._energy)
        values = self.start.reshape(self.problem.grid.cells)
        self.before = path.energy if self.problem.admits(values) else math.inf
        return path if self.problem.admits(values) else replace(path, energy=math.inf)

    def _weights(self, data):
        """The weights at the last step's end where they are below the problem's own, within bounds: small ones
        grow within tens of iterations, large ones hold the iterates where they start."""
        return np.clip(data.get("weights", 1.0), _LEAST_WEIGHT, 1.0) * _WEIGHTS

    def _splitting(self, problem, start, field, weights=_WEIGHTS):
        flow, theta, density = (self._unit * weights).tolist()
        return Splitting(problem, start, self.tau, field, ([flow] * len(self.actions), theta, density))

    @functools.cached_property
    def _empty(self):
        """Cells that hold next to nothing."""
        return (self.start < _NEXT_TO_NOTHING * self.start.max()) & (self.problem.most > 0.0)

    def _with_free_particles(self, potential):
        """The potential, and where cells are empty the least |x − y|²/2τ_k + f(y) + U′(0): what a particle
        alone would pay in the time left. A vacuum says nothing of its potential, which would wander."""
        lowest = 0.0
        if self.problem.internal is not None:
            with np.errstate(all="ignore"):
                lowest = float(self.problem.internal.derivative(np.zeros(1))[0])
        if not self._empty.any() or not math.isfinite(lowest):
            return potential
        K, cells = self.problem.slices, self.problem.grid.cells
        with_walls = np.where(self.problem.most > 0.0, -(self.field + lowest), -math.inf).reshape(cells)
        out = []
        for k in range(K):
            alone = c_transform(with_walls, self.problem.spacing, self.tau * (K - k) / K)
            out.append(np.where(self._empty, alone.reshape(self.problem.shape), potential[k]))
        return out

    def _iterate(self, splitting):
        """Iterations until the gap closes or their number is spent."""
        certified, check = self.iterations, self.iterations + _FIRST_CHECK
        limit = self.settings.max_iterations
        closed = self._closed()
        while self.iterations < limit and not closed:
            residuals = splitting.iterate()
            self.iterations += 1
            if self.iterations > _PATIENCE and self.iterations % _BALANCE == 0:
                self.changes = balance(splitting, residuals, self.changes)
            if self.iterations >= check or self.iterations == limit:
                before = self._left()
                self._certify(splitting)
                check = self.iterations + self._wait(self.iterations - certified, before - self._left())
                certified, closed = self.iterations, self._closed()

    def _left(self):
        """The powers of e that the gap has to fall by."""
        return math.log(max(self.gap, np.finfo(float).tiny) / max(self._enough(), np.finfo(float).tiny))

    def _wait(self, iterations, fall):
        """How many iterations the gap needs if it goes on as in the last ones, within bounds."""
        most = max(_FIRST_CHECK, min(int(_MORE * self.iterations), _LONGEST))
        needed = iterations * self._left() / fall if fall > 0.0 else most
        return int(min(max(needed, _FIRST_CHECK), most))

    def _certify(self, splitting):
        found = admissible_path(
            self.problem, self.start, splitting.flow, splitting.potential, self.actions, self._energy
        )
        if self.interacting:
            found = self._mixed(found)
        if found.value < self.best.value:
            self.best = found
            if self.interacting:
                self._renew(splitting)
        field, constant = splitting.field, self.constant
        candidates = [splitting.potential, self._with_free_particles(splitting.potential)]
        found = [lower_bound(self.problem, self.start, p, self.actions, field) for p in candidates]
        bound, pressure = max(found, key=lambda pair: pair[0])
        if bound + constant > self.bound or not self.problem.tangents_are_bounds:
            self.bound, self.pressure = bound + constant, pressure
        over = np.maximum(self.best.end - self.problem.most, 0.0)
        # a lower bound with the cap raised to where the path exceeds it
        slack = float(np.vdot(self.pressure, over)) * self.problem.grid.cell_volume
        self.gap = self.best.value - self.bound + slack + self._rounding()

    def _mixed(self, found):
        """The first of halved moves from the best path towards `found` that lowers the value, or `found`."""
        share, best = 1.0, self.best
        while share > _LEAST_SHARE and math.isfinite(best.value):
            if share == 1.0:
                mixed = found
            else:
                densities = [
                    (1.0 - share) * a + share * b
                    for a, b in zip(best.densities, found.densities, strict=True)
                ]
                flows = [
                    [(1.0 - share) * a + share * b for a, b in zip(v, w, strict=True)]
                    for v, w in zip(best.flows, found.flows, strict=True)
                ]
                paid = cost(self.problem, self.start, densities, flows, self.actions)
                mixed = Path(densities, flows, paid, self._energy(densities[-1]))
            if mixed.value < best.value:
                return mixed
            share *= 0.5
        return found

    def _renew(self, splitting):
        """The tangent of the interaction at the best path's end takes the place of the last one."""
        self._linearize(self.best.end.reshape(self.problem.grid.cells))
        splitting.field = self.field

    def _rounding(self):
        size = energy_size(self.problem.internal, self.field, self.best.end, self.problem.grid.cell_volume)
        return _ROUNDING * (abs(self.best.cost) + size)

    def _closed(self):
        return self.gap <= self._enough()

    def _enough(self):
        """The gap to stop at: `tolerance` of W₂²/2τ, or less where the step's own time error is small,
        F(ρ_k) − F(ρ′) − W₂²/τ, by which a step fails to be one of steepest descent
        [NochettoSavareVerdi2000].
        """
        best, tolerance = self.best, self.settings.tolerance
        allowed = tolerance * best.cost
        if math.isfinite(self.before):
            own = _OF_TIME_ERROR * (self.before - best.energy - 2.0 * best.cost)
            allowed = min(allowed, max(own, _STRICTEST * allowed))
        return allowed + self.rest + 4.0 * self._rounding()

    def _outcome(self, splitting):
        most = self.problem.most
        held = np.isfinite(most) & (most > 0.0)
        excess = float(np.max(self.best.end[held] / most[held], initial=0.0)) - 1.0
        return Outcome(
            self.best,
            max(self.gap, 0.0),
            self._enough(),
            self._closed(),
            excess,
            self.iterations,
            packed(splitting, self._unit),
            self.before,
            self._overpaid(splitting),
        )

    def _overpaid(self, splitting):
        """By which share of the decrease the exact step may be better, 0 where that is little."""
        problem = self.problem
        cells, free = problem.grid.cells, problem.most > 0.0
        total = float(self.start.sum())

        def least(last):
            left = self.field + last.reshape(problem.shape)
            return problem.cells.least(left[free], problem.most[free], total)[0]

        exact = -math.inf
        for begin, end in self._ends(splitting):
            fields = (x.reshape(cells) for x in (self.start, begin, np.where(free, end, math.inf)))
            exact = max(exact, exact_bound(problem.grid, self.tau, *fields, least, problem.blocked))
        decrease = self.before - self.best.value
        if not math.isfinite(decrease):
            decrease = self.best.cost
        mass = total * problem.grid.cell_volume
        return overpaid(problem.grid, self.tau, mass, self.bound - self.constant - exact, decrease)

    def _ends(self, splitting):
        """Candidates for (p¹ − w¹, p^K + w^K): those of the iterates, and what the first variation of F at
        the end says."""
        problem = self.problem
        for p in (splitting.potential, self._with_free_particles(splitting.potential)):
            begin = p[0] - problem.speed_term(p[0], self.actions)
            yield begin, p[-1] + problem.speed_term(p[-1], self.actions)
        if problem.blocked is None:  # which needs both of one constant
            end = self.field + self.pressure
            if problem.internal is not None:
                least = self.start.max() * np.finfo(float).eps
                end = end + problem.internal.derivative(np.maximum(self.best.end, least))
            yield begin, end

    @functools.cached_property
    def _unit(self):
        """The unit of the weights, an energy over a density: how much V + W∗ρ differs over the mass plus the
        stiffness of U, or else what a move by one cell costs."""
        r = self.start
        total = float(r.sum())
        density = float(np.vdot(r, r)) / total
        mean = float(np.vdot(r, self.field)) / total
        energy = math.sqrt(float(np.vdot(r, (self.field - mean) ** 2)) / total)
        if self.problem.internal is not None:
            energy += density * float(self.problem.internal.second_derivative(np.array([density]))[0])
        energy = energy if energy > 0.0 else max(self.actions)
        return energy / density

    def _nested(self):
        """(potential, flow) to start from: the same step on coarser grids, from the coarsest."""
        levels = [(self.problem, self.start, self.field)]
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
            K, shape = self.problem.slices, self.problem.shape
            flows = [[np.zeros(_faces(shape, a)) for a in self.problem.axes] for _ in range(K)]
            return [np.zeros(shape) for _ in range(K)], flows
        return prolonged(*guess, self.problem)

    def _coarse(self, splitting):
        changes = 0
        for iteration in range(1, _COARSE_ITERATIONS + 1):
            residuals = splitting.iterate()
            if iteration % _BALANCE == 0:
                if iteration > _PATIENCE:
                    changes = balance(splitting, residuals, changes)
                size = sum(float(np.vdot(r, r)) for r in splitting.density)
                if residuals[4] + residuals[5] <= _COARSE_RESIDUAL**2 * size:
                    return


def balance(splitting, residuals, changes):
    """Multiply each weight by a power of (primal residual / dual residual) of its block, a ratio without
    units.
    """
    power = 0.1 / (1.0 + (changes / _SETTLING) ** 2)
    tiny = np.finfo(float).tiny
    # by logarithms, since a dual residual of 0 would make the ratio overflow
    logs = power * (np.log(residuals[0::2] + tiny) - np.log(residuals[1::2] + tiny))
    most = math.log(_MOST_CHANGE)
    factors = np.exp(np.clip(logs, -most, most)).tolist()
    splitting.rescale(*factors)
    return changes + 1


def packed(splitting, unit) -> dict:
    """What the next step starts from, as arrays."""
    problem = splitting.problem
    weights = np.array([splitting.s[0], splitting.g, splitting.m]) / (unit * _WEIGHTS)
    data = {"potential": np.stack(splitting.potential), "weights": weights}
    for a in problem.axes:
        data[f"flow{a}"] = np.stack([v[a] for v in splitting.flow])
    return data


def unpacked(data, problem):
    """(potential, flow) of `packed`."""
    K = problem.slices
    flow = [[np.array(data[f"flow{a}"][k]) for a in problem.axes] for k in range(K)]
    return [np.array(p) for p in data["potential"]], flow


def halved(problem, start, field):
    """(problem, start, field) on a grid with half the cells along each axis that allows it, or None."""
    grid = problem.grid
    halves = [n % 2 == 0 and n > _COARSEST for n in grid.cells]
    if not any(halves):
        return None
    cells = [n // 2 if half else n for n, half in zip(grid.cells, halves, strict=True)]
    coarse = copy.copy(problem)
    coarse.grid = Grid.uniform(grid.lower, grid.upper, tuple(cells))
    coarse.shape = (*cells, *(1,) * (3 - len(cells)))
    coarse.spacing = coarse.grid.spacing
    coarse.most = _means(problem.most, halves)
    closed_cells = _means((problem.most <= 0.0).astype(float), halves) >= 1.0
    coarse.blocked = closed_cells.reshape(coarse.grid.cells) if problem.blocked is not None else None
    coarse.closed = [coarse._closed(a) for a in coarse.axes]
    return coarse, _means(start, halves), _means(field, halves)


def _means(values, halves):
    for axis, half in enumerate(halves):
        if half:
            lower = np.take(values, range(0, values.shape[axis], 2), axis)
            upper = np.take(values, range(1, values.shape[axis], 2), axis)
            values = 0.5 * (lower + upper)
    return np.ascontiguousarray(values)


def prolonged(potential, flow, problem):
    """A potential and flows of a coarser grid on the grid of `problem`: linear between cells and faces."""
    cells = problem.shape
    potentials = [_refined(p, cells) for p in potential]
    flows = []
    for v in flow:
        fine = []
        for a in problem.axes:
            faces = _faces(cells, a)
            w = v[a]
            if w.shape[a] != faces[a]:
                w = 2.0 * _refined_faces(w, a)
            others = tuple(faces[b] if b != a else w.shape[a] for b in range(3))
            fine.append(_refined(w, others))
        flows.append(fine)
    return potentials, flows


def _refined(values, shape):
    for axis in range(3):
        if values.shape[axis] != shape[axis]:
            lines = np.moveaxis(values, axis, 0)
            before = np.concatenate([lines[:1], lines[:-1]])
            after = np.concatenate([lines[1:], lines[-1:]])
            fine = np.stack([0.75 * lines + 0.25 * before, 0.75 * lines + 0.25 * after], axis=1)
            values = np.moveaxis(fine.reshape(-1, *lines.shape[1:]), 0, axis)
    return np.ascontiguousarray(values)


def _refined_faces(values, axis):
    """From n − 1 faces to 2n − 1: those of the coarse grid, and the mean of two between them, 0 at the
    walls.
    """
    lines = np.moveaxis(values, axis, 0)
    walled = np.concatenate([0.0 * lines[:1], lines, 0.0 * lines[:1]])
    fine = np.empty((2 * lines.shape[0] + 1, *lines.shape[1:]))
    fine[1::2] = lines
    fine[0::2] = 0.5 * (walled[1:] + walled[:-1])
    return np.moveaxis(fine, 0, axis)


def _faces(shape, axis):
    return tuple(n - 1 if a == axis else n for a, n in enumerate(shape))
