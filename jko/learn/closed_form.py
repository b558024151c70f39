"""The closed form: one least-squares solve, its regularisation chosen by held-out halves of the points."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from jko.learn.couplings import MOST_ATOMS, Coupling, optimal_coupling, side_by_side
from jko.learn.equations import Interval, Normal, normal_equations
from jko.learn.features import ENTRIES
from jko.learn.model import Model
from jko.learn.moments import MOST_PAIRED, Moments, moments, paired_sums
from jko.measures import Particles

SHARES = tuple(
    float(share) for share in 10.0 ** np.arange(-7.0, 0.0, 0.5)
)  # of the mean diagonal; the regularisations that are tried
MOST_HALVED = 2500  # points of a cloud that are coupled to choose the regularisation: a second


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points `[n, d]` and weights `[n]` of sum 1, of a sample or (not `sampled`) of a quadrature."""

    x: np.ndarray
    w: np.ndarray
    sampled: bool = True

    def part(self, chosen: np.ndarray) -> Cloud:
        """Some of the points, their weights made to sum to 1."""
        w = self.w[chosen]
        return Cloud(self.x[chosen], w / w.sum(), self.sampled)

    def thinned(self, most: int, seed: int) -> Cloud:
        """At most so many of the points."""
        if len(self.x) <= most:
            return self
        return self.part(np.sort(np.random.default_rng(seed).choice(len(self.x), most, replace=False)))


def cloud_of(particles: Particles, sampled: bool, paired: bool, seed: int) -> Cloud:
    """A cloud in float64, thinned where pairs of its points are summed."""
    if paired and particles.n > MOST_PAIRED:
        particles = particles.subsample(MOST_PAIRED, seed)
    w = np.asarray(particles.weights, dtype=float)
    return Cloud(np.asarray(particles.positions, dtype=float), w / w.sum(), sampled)


@dataclass(frozen=True, eq=False)
class Data:
    """Clouds at times, and how the change from one to the next is read: `step` is "flow", "explicit" or
    "implicit"; `couplings` where it needs them."""

    times: np.ndarray
    clouds: list[Cloud]
    step: str
    couplings: list[Coupling] | None = None

    @property
    def gaps(self) -> np.ndarray:
        """t_{k+1} − t_k."""
        return np.diff(self.times)


def coupled(times: np.ndarray, clouds: list[Cloud], step: str, by_moments: bool) -> Data:
    """The data with the couplings that `step` needs; a flow does without where the moments suffice
    (`by_moments`), or where the clouds are too large."""
    if step == "flow" and (by_moments or max(len(c.x) for c in clouds) > MOST_ATOMS):
        return Data(times, clouds, step)

    def plan(pair: tuple[Cloud, Cloud]) -> Coupling:
        return optimal_coupling(*(Particles(cloud.x, cloud.w) for cloud in pair))

    return Data(times, clouds, step, side_by_side(plan, list(itertools.pairwise(clouds))))


def intervals_of(model: Model, data: Data, chosen: list[int]) -> list[Interval]:
    """What these intervals say, each snapshot's moments taken once."""
    kept: dict[int, Moments] = {}

    def at(k: int):
        if k not in kept:
            kept[k] = moments(model, data.clouds[k].x, data.clouds[k].w)
        return kept[k]

    made = []
    for k in chosen:
        gap = float(data.gaps[k])
        if data.step == "flow" and data.couplings is None:
            made.append(between(at(k), at(k + 1), gap))
            continue
        if data.step == "flow":
            plan = data.couplings[k]
            pairs = plan.rows, plan.columns, plan.weights
            made.append(_of_pairs(model, "flow", gap, data.clouds[k].x, data.clouds[k + 1].x, pairs))
            continue
        here = k if data.step == "explicit" else k + 1
        change = _pushed(model, *_displacements(data, k)) / gap
        made.append(Interval(at(here).gram, at(here).laplacians, change, gap))
    return made


def between(before: Moments, after: Moments, gap: float) -> Interval:
    """The trapezoidal rule over a gap, of second order in it."""
    return Interval(
        0.5 * (before.gram + after.gram),
        0.5 * (before.laplacians + after.laplacians),
        (after.energies - before.energies) / gap,
        gap,
    )


def _displacements(data: Data, k: int):
    """(points, weights, y − x) of the k-th interval, at x or for an implicit step at y."""
    x, y, plan = data.clouds[k], data.clouds[k + 1], data.couplings[k]
    if data.step == "explicit":
        return x.x, x.w, plan.images(y.x) - x.x
    return y.x, y.w, y.x - plan.origins(x.x)


def _pushed(model: Model, points: np.ndarray, w: np.ndarray, moved: np.ndarray):
    """E[∇δF_i·(y − x)] `[M]` with the gradients at the points."""
    pull, parts = w[:, None] * moved, []
    if model.potential is not None:
        total, block = np.zeros(model.potentials), 2000
        for first in range(0, len(points), block):
            slopes = model.potential.gradients(points[first : first + block])
            total += np.tensordot(pull[first : first + block], slopes, axes=2)
        parts.append(total)
    if model.kernels is not None:
        parts.append(np.tensordot(pull, paired_sums(model, points, w)[1], axes=2))
    return np.concatenate(parts)


def coupled_clouds(data: Data, k: int, seed: int) -> tuple[Cloud, Cloud, Coupling]:
    """Both ends of an interval with their optimal coupling; thinned clouds where the data have none."""
    x, y = data.clouds[k], data.clouds[k + 1]
    if data.couplings is not None:
        return x, y, data.couplings[k]
    x, y = x.thinned(MOST_HALVED, seed), y.thinned(MOST_HALVED, seed + 1)
    return x, y, optimal_coupling(Particles(x.x, x.w), Particles(y.x, y.w))


def halves_of(model: Model, data: Data, chosen: list[int], seed: int) -> list[list[Interval]]:
    """What two halves of the pairs of an optimal coupling say of these intervals.

    Halves of each cloud on its own would differ by the spread of the points, which is far more than what the
    motion leaves uncertain where the same points are seen twice.
    """
    halves: list[list[Interval]] = [[], []]
    for k in chosen:
        x, y, plan = coupled_clouds(data, k, seed)
        side = np.random.default_rng(seed + k).permutation(max(len(x.x), len(y.x)))
        here = plan.columns if data.step == "implicit" else plan.rows
        for half in (0, 1):
            held = side[here] % 2 == half
            pairs = plan.rows[held], plan.columns[held], plan.weights[held] / plan.weights[held].sum()
            halves[half].append(_of_pairs(model, data.step, float(data.gaps[k]), x.x, y.x, pairs))
    return halves


def _of_pairs(model: Model, step: str, gap: float, x: np.ndarray, y: np.ndarray, pairs: tuple) -> Interval:
    """An interval by some of the pairs (rows, columns, weights) of its coupling."""
    rows, columns, weights = pairs
    if step == "flow" and model.kernels is None:
        return _straight(model, gap, x[rows], y[columns], weights)
    ends = []
    for points, index in ((x, rows), (y, columns)):
        met, number = np.unique(index, return_inverse=True)
        ends.append(moments(model, points[met], np.bincount(number, weights)))
    if step == "flow":
        return between(*ends, gap)
    here, index, away = (0, rows, 1.0) if step == "explicit" else (1, columns, -1.0)
    other = y[columns] if step == "explicit" else x[rows]
    met, number = np.unique(index, return_inverse=True)
    w, own = np.bincount(number, weights), (x, y)[here][met]
    means = [np.bincount(number, weights * other[:, a]) for a in range(own.shape[1])]
    moved = away * (np.stack(means, axis=1) / w[:, None] - own)
    return Interval(ends[here].gram, ends[here].laplacians, _pushed(model, own, w, moved) / gap, gap)


@dataclass(frozen=True, eq=False)
class Solved:
    """The parameters, the equations that gave them, the regularisation (a share of the mean diagonal), and
    for
    each one that was tried the held-out loss."""

    parameters: np.ndarray
    normal: Normal
    share: float
    tried: dict[float, float]


def _straight(model: Model, gap: float, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> Interval:
    """An interval by the pairs of a coupling, y − x = −τ·½(∇δF(x) + ∇δF(y)): of second order in the gap."""
    m, d = model.potentials, x.shape[1]
    gram, change, laplacians = np.zeros((m, m)), np.zeros(m), np.zeros(m)
    block = max(1, ENTRIES // (m * d))
    for first in range(0, len(x), block):
        part = slice(first, first + block)
        slopes = 0.5 * (model.potential.gradients(x[part]) + model.potential.gradients(y[part]))
        slopes = slopes.reshape(-1, m)
        weighted = slopes * np.repeat(w[part], d)[:, None]
        gram += weighted.T @ slopes
        change += weighted.T @ (y[part] - x[part]).ravel()
        if model.temperature or model.fits_temperature:
            both = model.potential.laplacians(x[part]) + model.potential.laplacians(y[part])
            laplacians += 0.5 * w[part] @ both
    return Interval(gram, laplacians, change / gap, gap)


def solve(model: Model, data: Data, chosen: list[int], share: float | None, seed: int) -> Solved:
    """The closed form of these intervals; `share` None chooses it by the halves."""
    penalised = model.penalised
    needs_choice = share is None and penalised.any()
    tried: dict[float, float] = {}
    if not needs_choice:
        share = 0.0 if share is None else share
        normal = normal_equations(model, intervals_of(model, data, chosen))
        return Solved(normal.solved(share, penalised), normal, share, tried)
    each = [normal_equations(model, half) for half in halves_of(model, data, chosen, seed)]
    for share in SHARES:
        found = [normal.solved(share, penalised) for normal in each]
        tried[share] = float(each[0].excess(found[1]) + each[1].excess(found[0]))
    best = min(tried, key=tried.get)
    normal = normal_equations(model, intervals_of(model, data, chosen))
    return Solved(normal.solved(best, penalised), normal, best, tried)
