"""The pressure of a JKO step from coarse grids to fine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt

import numpy as np

from functionals import Functional
from jko.loops.grids.resample import average, interpolate
from jko.loops.transport.c_transform import c_transform
from jko.loops.transport.monge_ampere import End
from jko.measures import Density, Measure
from jko.steps.back_and_forth.nested import NestedAscent
from jko.steps.grid.dual_energy import DualEnergy
from jko.steps.grid.energy import DualProblem
from jko.steps.grid.interaction_passes import InteractionPasses
from jko.steps.grid.levels import Levels, Region
from jko.steps.grid.marginals import grid_bias, least_squared_distance, rescaled
from jko.steps.grid.reflection import smoothed
from jko.steps.monge_ampere.newton import LogEnergy, PressureNewton, SteepNewton, transport_cost
from jko.steps.monge_ampere.tolerances import TOLERANCES


@dataclass(frozen=True)
class Found:
    """A pressure of the mass of ρ_k, its density, and what the two prove: `gap` of the equation, `lack` of
    what is stored, F(ρ′) + W₂²/2τ, W₂² as far as marginals or the map tell, less the dual value and the
    grid's bias; `own` is the gap whose velocity error is τ's own, `size` the sum of the energies' absolute
    terms, which rounding is relative to. It was solved with these `ends`, the fields of a torus turned by
    `turn` cells."""

    p: np.ndarray
    values: np.ndarray
    gap: float
    transport: float
    own: float
    folded: float
    defect: float
    iterations: int
    before: float
    after: float
    size: float
    lack: float
    ends: tuple = ()
    turn: tuple[int, ...] = ()

    @property
    def rounding(self) -> float:
        """What rounding may make of the energies' sums."""
        return TOLERANCES.energy_rounding * self.size

    @property
    def bound(self) -> float:
        """The larger of both certificates: Newton's equation may be solved where its differences miss what
        the stored density lacks."""
        return float(np.maximum(self.gap, self.lack - self.rounding))

    @property
    def relative_bound(self) -> float:
        """bound/(W₂²/2τ); 0 of 0."""
        if self.transport > 0.0:
            return self.bound / self.transport
        return math.inf if self.bound > 0.0 else 0.0


class PressureLadder:
    """The potential on all grids of a ladder, and Newton's method up along it.

    `cautions`: (limit, tail) of the corrections on the coarsest grid and on the others, to be tried in turn;
    a number begins with back-and-forth on a grid of that many times `medium` cells and goes on with
    `SteepNewton`.
    """

    cautions = (((np.inf, np.inf), (1.0, 30.0)), ((5.0, 20.0), (1.0, 20.0)), 1, 2)

    def __init__(self, F: Functional, mu: Density, scheme: str):
        self.problem = DualProblem(F, mu, None, scheme)
        self.energy = LogEnergy(self.problem.internal)
        self.dual = DualEnergy(self.problem.internal)
        self.grid = mu.grid
        self.levels = Levels(mu.grid, TOLERANCES.coarsest[mu.grid.dimension - 1])
        self.sizes = self.levels.sizes
        self.potentials = self.levels.coarsened(self.problem.potential)
        self._turned = (0,) * mu.grid.dimension, self.potentials  # a turn of the torus, and them turned

    def climb(
        self, mu: Density, tau: float, field, p, tolerance: float, most: int, caution: tuple, first=None
    ) -> Found:
        """The step's pressure; from a given p on the finest grid alone. `field` is the interaction's first
        variation, `first` that at ρ_k.

        A torus is turned until its emptiest layers are at its ends, and cut there if no mass that counts is
        near them: far tails from both sides meet in a kink, which no difference likes. Where mass comes to
        the cut, what it would save by crossing is added to the gap; if that is more than the rest of it,
        or the rest above its goal, joined ends are tried as well, and the smaller gap is kept.
        """
        axes, periodic = tuple(range(mu.dimension)), self.grid.periodic
        settings, log = (tolerance, most, caution), log_density(mu.values)
        shift = emptiest_seam(log, periodic)
        if not any(periodic):
            found = self._climb(mu, log, tau, field, p, first, self.potentials, ends_of(log), *settings)
            return replace(found, turn=shift)

        def turned(field, back: int = 1):
            return None if field is None else np.roll(field, tuple(back * s for s in shift), axes)

        if self._turned[0] != shift:
            self._turned = shift, self.levels.coarsened(turned(self.problem.potential))
        mu, log = mu.with_values(turned(mu.values)), turned(log)
        given = mu, log, tau, turned(field), turned(p), turned(first), self._turned[1]
        ends = ends_of(log, periodic)
        found = self._climb(*given, ends, *settings)
        if not cut_stays_empty(found.values, ends, periodic):
            saved = self._saved(mu, tau, found.p, joined_axes(ends))
            tries = [replace(found, gap=found.gap + saved)]
            if saved > found.gap or found.gap > tolerance * found.transport:
                tries.append(self._climb(*given, ends_of(log, periodic, cut=False), *settings))
            best = min(tries, key=lambda each: each.gap)
            found = replace(best, iterations=sum(each.iterations for each in tries))
        return replace(found, p=turned(found.p, -1), values=turned(found.values, -1), turn=shift)

    def _saved(self, mu: Density, tau: float, p: np.ndarray, joined: tuple[bool, ...]) -> float:
        """∫φᶜρ_k, φ = −p, of the torus with its cuts less that of the whole one: what ways across the cuts
        take off the dual value, and add to the gap."""
        cut, whole = (
            c_transform(-p, self.grid.spacing, tau, periodic=a) for a in (joined, self.grid.periodic)
        )
        return self.grid.cell_volume * float(np.vdot(cut - whole, mu.values))

    def _climb(
        self, mu: Density, log, tau, field, p, first, potentials, ends, tolerance, most: int, caution
    ) -> Found:
        joined = joined_axes(ends)
        if field is not None:
            potentials = [v + w for v, w in zip(potentials, self.levels.coarsened(field), strict=True)]
        logs = self.levels.coarsened(log) if p is None else [log]
        spent, steep = 0, isinstance(caution, int)
        coarsest = self._medium(caution) if steep and p is None else len(logs) - 1
        for depth in reversed(range(coarsest + 1)):
            size = self.sizes[depth]
            data = tau, self.levels.spacing(size), logs[depth], potentials[depth]
            if p is None:
                p = self._back_and_forth(mu, size, data, joined) if steep else self._start(*data, joined)
            elif p.shape != size:
                ratios = [m / n for m, n in zip(p.shape, size, strict=True)]
                p = interpolate(p, size, (0.0,) * len(size), ratios, joined)
            before = self._variation(log, potentials[0], field, first) if depth == 0 else None
            if steep:
                newton = SteepNewton(self.energy, *data, ends, before)
            else:
                limits = caution[depth < len(self.sizes) - 1]
                newton = PressureNewton(self.energy, *data, ends, *limits, before)
            now = newton.solve(p, max(tolerance, TOLERANCES.steep_gap) if steep else tolerance, most)
            p, spent = now.p, spent + newton.iterations
            if not (now.gap < TOLERANCES.coarse_gap * now.transport or newton.is_nothing(now)):
                return self._lost(p, mu, spent)
        return replace(self._certify(newton, now, mu, log, potentials[0], spent), ends=ends)

    def _variation(self, log: np.ndarray, potential: np.ndarray, field=None, first=None):
        """U′(ρ_k) + V, V with the field replaced by the first."""
        slope = self.energy.slope(log, np.exp(log))[0] + potential
        return slope if field is None else slope + (first - field)

    def _medium(self, times):
        """The depth of the finest grid of so many times `medium` cells at most along an axis."""
        most = times * TOLERANCES.medium[self.grid.dimension - 1]
        return next((d for d, size in enumerate(self.sizes) if max(size) <= most), len(self.sizes) - 1)

    def _back_and_forth(self, mu: Measure, size, data, joined: tuple[bool, ...]):
        """The pressure of a dual ascent, whose second derivatives binomial passes rid of noise."""
        tau, spacing, _, potential = data
        region = Region(spacing, (0,) * len(size), average(mu.values, size), potential, None, joined)
        support = self.problem.full_support
        nested = NestedAscent(
            self.problem.internal,
            tau,
            support,
            TOLERANCES.ascent_pairs,
            TOLERANCES.ascent_margin,
            TOLERANCES.ascent_metric,
        )
        ascent, phi, _ = nested.run(region, boxed=False)
        return -smoothed(ascent.normalise(phi)[0], TOLERANCES.smoothing, joined)

    def _start(
        self, tau: float, spacing: tuple, log: np.ndarray, potential: np.ndarray, joined: tuple[bool, ...]
    ):
        """U′(ρ_k) + V, with its second derivatives bounded from below as those of a solution are."""
        start = self._variation(log, potential)
        reach = TOLERANCES.start_stretch * tau
        conjugate = partial(c_transform, spacing=spacing, tau=reach, periodic=joined)
        return -conjugate(conjugate(-start))

    def _lost(self, p, mu: Measure, spent) -> Found:
        nan = math.nan
        return Found(p, mu.values, math.inf, nan, nan, 1.0, 1.0, spent, nan, nan, nan, nan)

    def _certify(
        self, newton: PressureNewton, now, mu: Density, log: np.ndarray, potential: np.ndarray, spent: int
    ):
        volume, total, found = self.grid.cell_volume, float(mu.values.sum()), float(now.density.sum())
        if not 0.0 < found < math.inf:
            return self._lost(now.p, mu, spent)
        work = now.p - potential
        with np.errstate(all="ignore"):
            shift, answer = self.dual.normalise(-work, total)
            work += shift
            scale = total / found
            pushed = now.density * scale
            log_pushed = now.log + math.log(scale)
            gap = self.energy.gap(pushed, answer, work, log_pushed)
            own, stiffness = self.energy.slope(log_pushed, pushed)
            residual = (own - work) / np.max(stiffness)
            values = rescaled(_joined(pushed, answer, residual, total), mu.values, self.grid.periodic)
        if not np.isfinite(gap) or not np.isfinite(values).all():
            return self._lost(now.p, mu, spent)
        internal = self.energy.total(log, mu.values), float(self.problem.internal.density(values).sum())
        outer = [float(np.vdot(potential, rho)) for rho in (mu.values, values)]
        before, after = (volume * (u + v) for u, v in zip(internal, outer, strict=True))
        transport = transport_cost(now.p, values, newton.tau, self.grid.spacing, newton.periodic)
        # what is stored as its marginals tell, or as the map does, which moved it
        cost = max(least_squared_distance(mu, values) / (2.0 * newton.tau), transport)
        return Found(
            p=now.p + shift,
            values=values,
            gap=gap * volume,
            transport=transport,
            own=newton.own_error(now) if newton.before is not None else 0.0,
            folded=now.folded,
            defect=scale - 1.0,
            iterations=spent,
            before=before,
            after=after,
            size=volume * sum(map(abs, (*internal, *outer))),
            lack=after + cost - self._bound(mu, newton.tau, work, potential, answer),
        )

    def _bound(self, mu: Density, tau: float, work: np.ndarray, potential: np.ndarray, answer: np.ndarray):
        """∫φᶜρ_k − ∫U*(−φ − V), φ = −p, and h²/8τ an axis, by which minima over a grid may be too large."""
        conjugate = c_transform(-work - potential, self.grid.spacing, tau, periodic=self.grid.periodic)
        first = float(np.vdot(conjugate, mu.values))
        value = self.grid.cell_volume * (first - self.dual.total_conjugate(work, answer))
        return value + grid_bias(mu, tau)


def _joined(pushed: np.ndarray, answer: np.ndarray, residual: np.ndarray, total: float):
    """ρ̂ = ρ_k(S)·det DS where the map is a guide, else U*′(p − V): in far tails, which weigh nothing, and
    where the two are apart, by their pressures as well: `residual` is U′(ρ̂) − p + V over the largest ρU″.

    Of an error δp both are off, ρ̂ by τ∇·(ρ∇δp), by which W₂ is off as the gap tells, U*′ by U*″δp, whose
    mass comes from anywhere: without end where U″ vanishes with ρ, so that a rounding of p fills a tail.
    """
    thin = (TOLERANCES.thin * answer.max()) ** 2
    change = pushed - answer
    apart = change / np.maximum(TOLERANCES.apart * (pushed + answer), TOLERANCES.smallest)
    apart *= np.minimum(np.abs(residual) / (2.0 * TOLERANCES.apart), 1.0)
    apart *= apart
    square = answer * answer
    change *= square / ((square + thin) * (1.0 + apart * apart))
    change += answer
    change *= total / float(change.sum())
    return change


def log_density(values: np.ndarray) -> np.ndarray:
    """log ρ of values `[*cells]`, not below what counts."""
    with np.errstate(divide="ignore"):
        log = np.log(values)
    return np.maximum(log, log.max() - TOLERANCES.deepest, out=log)


def emptiest_seam(log: np.ndarray, periodic: tuple[bool, ...]) -> tuple[int, ...]:
    """The turn along each axis that brings the two neighbouring layers of the least maximum to its ends; 0
    between walls."""
    found = []
    for axis, turns in enumerate(periodic):
        others = tuple(a for a in range(log.ndim) if a != axis)
        layers = log.max(axis=others)
        found.append(-int(np.maximum(layers, np.roll(layers, 1)).argmin()) if turns else 0)
    return tuple(found)


def ends_of(
    log: np.ndarray, periodic: tuple[bool, ...] = (), cut: bool = True
) -> tuple[tuple[End, End], ...]:
    """For each axis, how a pressure goes on beyond its lower and its upper end: freely where no mass that
    counts lies along it, through walls and, if it may be `cut`, round a periodic axis."""
    bar = log.max() - TOLERANCES.far
    found = []
    for axis in range(log.ndim):
        empty = [log.take(side, axis).max() < bar for side in (0, -1)]
        if any(periodic) and periodic[axis]:
            found.append((End.FREE if cut and all(empty) else End.JOINED,) * 2)
        else:
            found.append(tuple(End.FREE if far else End.MIRRORED for far in empty))
    return tuple(found)


def joined_axes(ends: tuple[tuple[End, End], ...]) -> tuple[bool, ...]:
    """For each axis, whether its ends are joined."""
    return tuple(lower is End.JOINED for lower, _ in ends)


def cut_stays_empty(values: np.ndarray, ends: tuple, periodic: tuple[bool, ...]) -> bool:
    """Whether no mass that counts lies along the ends of the periodic axes that are cut."""
    bar = values.max() * math.exp(-TOLERANCES.far)
    cuts = [axis for axis, turns in enumerate(periodic) if turns and ends[axis][0] is End.FREE]
    return all(values.take([0, -1], axis).max() < bar for axis in cuts)


def settle(ladder, mu: Measure, tau: float, settings, caution):
    """(the step with W∗ρ′ of its own density, a note, its details), by `InteractionPasses`.

    A field that is off by Δ leaves a gap of at most (τ/2)∫|∇Δ|²ρ′, the squared slope over twice the
    convexity of a step, and of ½∫(ρ′/κ)Δ², κ = ρU″, the Fenchel–Young defect of p. The lesser of both, as a
    distance, is added to Newton's own, and passes go on until it is below Newton's goal.
    """
    problem = ladder.problem
    passes = InteractionPasses(problem, mu.values, tau, settings.interaction_passes)
    first, before = passes.field, problem.energy(mu.values, passes.field)
    best, p, spent = None, None, 0
    for field in passes:
        found = ladder.climb(
            mu, tau, field, p, settings.tolerance, settings.max_iterations, caution, first=first
        )
        spent, p = spent + found.iterations, found.p
        if not np.isfinite(found.gap):
            break
        lag = passes.answer(found.values)
        gap = (sqrt(found.bound) + sqrt(lag)) ** 2
        if best is None or gap < best.gap:
            after = problem.energy(found.values, passes.image)
            size = found.size + abs(after - found.after) + abs(before - found.before)
            best = replace(found, gap=gap, before=before, after=after, size=size)
            note, details = passes.note, passes.details
        if lag <= min(settings.tolerance * found.transport, TOLERANCES.own_error**2 * found.own):
            break
    if best is None:
        return found, "", {}
    return replace(best, iterations=spent), note + problem.caution, details
