"""Refinement: the moments taken along the simulated paths, until the simulated snapshots meet the data.

∫₀^τ of the equation of each energy along the flow itself is exact for gaps of any length:
F_i(ρ_{k+1}) − F_i(ρ_k) = −τ(S̄p − θl̄)_i with S̄ and l̄ averaged along the flow of p from ρ_k. The closed
form takes the mean of the ends in their place; here S̄(p) is taken along the paths and the equations solved
again, a fixed point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from jko.learn.closed_form import Cloud, Data
from jko.learn.couplings import optimal_coupling
from jko.learn.equations import Interval, Normal, normal_equations, weights_of
from jko.learn.model import Model
from jko.learn.moments import Moments, moments, velocity
from jko.learn.tolerances import TOLERANCES
from jko.loops.anderson import Anderson
from jko.measures import Particles

MOST_DIFFERENCED = 12  # parameters whose Jacobian is taken by differences


@dataclass(frozen=True, eq=False)
class Path:
    """The mean of the moments along a path, `end` its last cloud, and its `steps`."""

    along: Moments
    end: Cloud
    steps: int


def path(
    model: Model,
    parameters: np.ndarray,
    k: int,
    start: Cloud,
    gap: float,
    steps: int,
    seed: int,
    what: Callable | None = None,
    copies: int = 1,
) -> Path:
    """The flow of the parameters over the interval k, by Heun's method with noise √(2θ) [KloedenPlaten1992],
    without noise by one of order 4; `what(x, w)` is averaged along it, the moments unless given, and each
    point starts `copies` times."""
    what = partial(moments, model) if what is None else what
    theta, p = max(model.theta(parameters), 0.0), model.of_interval(k, parameters)
    if theta == 0.0:
        return _smooth_path(partial(velocity, model, p), start, gap / steps, steps, what)
    generator, h = np.random.default_rng([seed, TOLERANCES.salt]), gap / steps
    x, w = start.x, start.w
    if copies > 1:
        x, w = np.tile(x, (copies, 1)), np.tile(w / copies, copies)
    total = 0.5 * what(x, w)
    for s in range(steps):
        kick = np.sqrt(2.0 * theta * h) * generator.standard_normal(x.shape)
        first = velocity(model, p, x, w)
        second = velocity(model, p, x + h * first + kick, w)
        x = x + 0.5 * h * (first + second) + kick
        total = total + (1.0 if s + 1 < steps else 0.5) * what(x, w)
    return Path((1.0 / steps) * total, Cloud(x, w), steps)


def _smooth_path(slope: Callable, start: Cloud, h: float, steps: int, what: Callable) -> Path:
    """By the classical method of Runge and Kutta, averaged by Simpson's rule, middles by Hermite's cubic."""
    x, w = start.x, start.w
    first, total = slope(x, w), what(x, w)
    for s in range(steps):
        second = slope(x + 0.5 * h * first, w)
        third = slope(x + 0.5 * h * second, w)
        fourth = slope(x + h * third, w)
        before, x = x, x + h / 6.0 * (first + 2.0 * (second + third) + fourth)
        rate, first = first, slope(x, w)
        total += 4.0 * what(0.5 * (before + x) + 0.125 * h * (rate - first), w)
        total += (2.0 if s + 1 < steps else 1.0) * what(x, w)
    return Path((1.0 / (6.0 * steps)) * total, Cloud(x, w), steps)


def copies_for(model: Model, cloud: Cloud) -> int:
    """How often the points of a cloud start, against the noise of the noise; once where pairs are summed."""
    return 1 if model.kernels is not None else max(1, -(-TOLERANCES.fewest_simulated // len(cloud.x)))


def steps_for(model: Model, parameters: np.ndarray, k: int, start: Cloud, gap: float) -> int:
    """How many steps the curvature seen at the points asks for."""
    p = model.of_interval(k, parameters)
    few = start.part(np.arange(min(len(start.x), 400)))
    size = np.sqrt(np.mean(few.x.var(axis=0))) or 1.0
    direction = np.random.default_rng(0).standard_normal(few.x.shape)
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    nudge = 1e-4 * size * direction
    turned = velocity(model, p, few.x + nudge, few.w) - velocity(model, p, few.x, few.w)
    turn = gap * float(np.quantile(np.linalg.norm(turned, axis=1) / (1e-4 * size), 0.95))
    if model.theta(parameters) > 0.0 or model.fits_temperature:
        return int(np.clip(np.ceil(turn / TOLERANCES.turn), TOLERANCES.fewest_steps, TOLERANCES.most_steps))
    return int(np.clip(np.ceil(turn / TOLERANCES.smooth_turn), 1, TOLERANCES.most_steps))


def along_paths(
    model: Model,
    parameters: np.ndarray,
    data: Data,
    chosen: list[int],
    energies: dict,
    steps: list[int],
    seed: int,
) -> list[Interval] | None:
    """The intervals with moments along the paths; None where a path runs away. `energies` are the data's."""
    made = []
    for number, (k, count) in enumerate(zip(chosen, steps, strict=True)):
        gap = float(data.gaps[k])
        start = data.clouds[k]
        found = path(model, parameters, number, start, gap, count, seed + k, copies=copies_for(model, start))
        if not np.all(np.isfinite(found.along.gram)):
            return None
        change = (energies[k + 1] - energies[k]) / gap
        made.append(Interval(found.along.gram, found.along.laplacians, change, gap))
    return made


@dataclass(frozen=True, eq=False)
class Refined:
    """Parameters that the paths agree with, the equations along them, and how the rounds went: `residuals`
    are
    the root of (p′ − p)ᵀN(p′ − p) over pᵀNp, a round each."""

    parameters: np.ndarray
    normal: Normal
    residuals: list[float]
    settled: bool
    steps: list[int]


def refine(
    model: Model,
    data: Data,
    chosen: list,
    start: np.ndarray,
    share: float,
    rounds: int,
    seed: int,
    tick: Callable = lambda: None,
) -> Refined | None:
    """At most `rounds` of them from the closed form `start`; None where the first paths run away. Few
    parameters are found by Newton's method with differences, many by mixing the fixed point's iterates."""
    ends = {*chosen, *(k + 1 for k in chosen)}
    energies = {k: moments(model, data.clouds[k].x, data.clouds[k].w).energies for k in ends}
    steps = [steps_for(model, start, n, data.clouds[k], float(data.gaps[k])) for n, k in enumerate(chosen)]

    if data.couplings is not None and model.theta(start) == 0.0 and not model.fits_temperature:
        seen = _Paired(model, data, chosen, steps)
        return _mixed(model, seen, start, share, rounds, steps, tick)

    def seen(p: np.ndarray):
        return along_paths(model, p, data, chosen, energies, steps, seed)

    method = _newton if model.size <= MOST_DIFFERENCED else _mixed
    return method(model, seen, start, share, rounds, steps, tick)


class _Paired:
    """The intervals by pairs: y − x regressed on the gradients averaged along the path from x, with y where
    an optimal coupling of the path's end with the data sends it, found anew in the rounds
    `TOLERANCES.coupled_anew` where that may change much."""

    def __init__(self, model: Model, data: Data, chosen: list[int], steps: list[int]):
        self.model, self.data, self.chosen, self.steps = model, data, chosen, steps
        self.plans = [data.couplings[k] for k in chosen]
        self.round = 0

    def __call__(self, p: np.ndarray) -> list[Interval] | None:
        made = []
        self.round += 1
        for number, k in enumerate(self.chosen):
            start, gap = self.data.clouds[k], float(self.data.gaps[k])
            found = path(self.model, p, number, start, gap, self.steps[number], 0, self._slopes)
            slopes, end = found.along.reshape(-1, self.model.tests), found.end
            if not np.all(np.isfinite(end.x)):
                return None
            after = self.data.clouds[k + 1]
            if self.round in TOLERANCES.coupled_anew and self._may_change(number, start, end, after):
                self.plans[number] = optimal_coupling(Particles(end.x, end.w), Particles(after.x, after.w))
            weighted = slopes * np.repeat(start.w, start.x.shape[1])[:, None]
            moved = (self.plans[number].images(after.x) - start.x).ravel()
            made.append(
                Interval(weighted.T @ slopes, np.zeros(self.model.tests), weighted.T @ moved / gap, gap)
            )
        return made

    def _may_change(self, number: int, start: Cloud, end: Cloud, after: Cloud) -> bool:
        """Whether a coupling of the path's end may cost much less than the one at hand: none costs less than
        the way of each point to the nearest."""
        from scipy.spatial import cKDTree

        plan = self.plans[number]
        now, whole = (
            plan.weights @ np.sum((x[plan.rows] - after.x[plan.columns]) ** 2, axis=1)
            for x in (end.x, start.x)
        )
        least = end.w @ cKDTree(after.x).query(end.x)[0] ** 2
        return now - least > TOLERANCES.coupled_gain**2 * whole

    def _slopes(self, x: np.ndarray, w: np.ndarray):
        return self.model.potential.gradients(x)


def residual_of(model: Model, made: list[Interval], weights: list[np.ndarray], p: np.ndarray) -> np.ndarray:
    """Σ_k W_kᵀ(S_k p − θl_k + d_k) with weights W_k `[M, size]`."""
    theta, total = model.theta(p), 0.0
    for number, each in enumerate(made):
        unexplained = each.gram @ model.of_interval(number, p) - theta * each.laplacians + each.change
        total = total + weights[number].T @ unexplained
    return total


def _newton(
    model: Model, seen: Callable, start: np.ndarray, share: float, rounds: int, steps: list, tick: Callable
) -> Refined | None:
    """Newton's method for the residual along the paths, its Jacobian by differences along the same noise;
    a step
    that makes the residual larger is halved."""
    made = seen(start)
    if made is None:
        return None
    weights = weights_of(model, lambda: made, [each.gap for each in made])
    normal = normal_equations(model, made)
    penalty = np.diag(share * normal.scale * model.penalised)
    p, residuals, settled = start, [], False
    value = residual_of(model, made, weights, p) + penalty @ p
    for _ in range(rounds):
        tick()
        jacobian = penalty + differences(lambda q: residual_of(model, seen(q), weights, q), p)
        change = -np.linalg.lstsq(jacobian, value, rcond=TOLERANCES.degenerate)[0]
        size = max(float(p @ normal.matrix @ p), np.finfo(float).tiny)
        residuals.append(float(np.sqrt(max(change @ normal.matrix @ change, 0.0) / size)))
        for _ in range(TOLERANCES.halvings):
            made = seen(p + change)
            after = (
                None
                if made is None
                else residual_of(model, made, weights, p + change) + penalty @ (p + change)
            )
            if after is not None and after @ after <= value @ value:
                break
            change = 0.5 * change
        else:
            break
        p, value = p + change, after
        normal = normal_equations(model, made)
        if residuals[-1] < TOLERANCES.settled_by_newton:
            settled = True
            break
    return Refined(p, normal, residuals, settled, steps)


def differences(residual: Callable, p: np.ndarray) -> np.ndarray:
    """The Jacobian `[size, size]` of a residual at p, by central differences."""
    size = TOLERANCES.nudge * (np.abs(p).max() or 1.0)
    columns = []
    for nudge in size * np.eye(len(p)):
        columns.append((residual(p + nudge) - residual(p - nudge)) / (2.0 * size))
    return np.stack(columns, axis=1)


def _mixed(
    model: Model, seen: _Paired, start: np.ndarray, share: float, rounds: int, steps: list, tick: Callable
) -> Refined | None:
    penalised, p, best, residuals = model.penalised, start, None, []
    mix = None
    for _ in range(rounds):
        made = seen(p)
        tick()
        if made is None:
            break
        normal = normal_equations(model, made)
        image = normal.solved(share, penalised)
        change = image - p
        size = max(float(image @ normal.matrix @ image), np.finfo(float).tiny)
        residuals.append(float(np.sqrt(max(change @ normal.matrix @ change, 0.0) / size)))
        if best is None or residuals[-1] < best.residuals[-1]:
            best = Refined(p, normal, list(residuals), residuals[-1] < TOLERANCES.settled, steps)
        if residuals[-1] < TOLERANCES.settled:
            break
        if mix is None:
            mix = Anderson(np.maximum(np.diag(normal.matrix), 0.0), TOLERANCES.mixed_rounds)
        p = mix(p, image)
    return best
