"""The certificate of a dynamic step: an admissible path from any flows, a lower bound from any potentials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from jko.steps.grid.source import lowered
from jko.steps.primal_dual.tolerances import TOLERANCES

_SQUARE_ROOT_OF_TINY = math.sqrt(np.finfo(float).tiny)  # a smaller flow has no square


@dataclass(frozen=True)
class Path:
    """Densities r¹ … r^K and flows v¹ … v^K from the start with r^k = r^{k−1} − Dv^k; `cost` W₂²/2τ,
    `energy` F.
    """

    densities: list
    flows: list
    cost: float
    energy: float

    @property
    def end(self):
        """r^K."""
        return self.densities[-1]

    @property
    def value(self) -> float:
        """W₂²/2τ + F."""
        return self.cost + self.energy


def path_of(problem, start: np.ndarray, flows: list, actions: list, energy_of: Callable) -> Path:
    """The path along given flows."""
    densities, r = [], start
    for v in flows:
        r = np.clip(problem.advance(r, v), 0.0, None)
        densities.append(r)
    return Path(densities, flows, cost(problem, start, densities, flows, actions), energy_of(r))


def mixed(
    problem, start: np.ndarray, paths: tuple[Path, Path], share: float, actions: list, energy_of: Callable
) -> Path:
    """`share` of the way from one path to another, the other itself at 1."""
    first, second = paths
    if share == 1.0:
        return second

    def between(a: np.ndarray, b: np.ndarray):
        return (1.0 - share) * a + share * b

    densities = list(map(between, first.densities, second.densities))
    flows = [list(map(between, v, w)) for v, w in zip(first.flows, second.flows, strict=True)]
    paid = cost(problem, start, densities, flows, actions)
    return Path(densities, flows, paid, energy_of(densities[-1]))


def cost(problem, start: np.ndarray, densities: list, flows: list, actions: list) -> float:
    """Σ α v²/M(θ), or α times a source's cost, over slices, exchanges and their places, times |c|: W₂²/2τ of
    the discrete step."""
    total, before = 0.0, start
    for r, v in zip(densities, flows, strict=True):
        middle = 0.5 * (before + r)
        for exchange, flow, action in zip(problem.exchanges, v, actions, strict=True):
            total += float((action * exchange.cost(flow, exchange.mean(middle))).sum())
        before = r
    return total * problem.grid.cell_volume


def admissible_path(
    problem, start: np.ndarray, flows: list, potentials: list, actions: list, energy_of: Callable
) -> Path:
    """A path near given flows that keeps r^k ≥ 0 and r^K below the cap: flows only shrink.

    With inner slices a face whose sum of flows has to shrink for the cap shrinks in all slices alike. Where
    there are sources they alone see to the cap, and each slice does where the cap is that of the mobility.
    """
    alone, most = problem.slices == 1 or not problem.standard, problem.limits
    room = problem.room if alone else np.inf
    if not alone:
        most = [np.full(problem.shape, np.inf)] * problem.slices
    for _ in range(TOLERANCES.cut_rounds):
        kept, r = [], start
        for v, potential, limit in zip(flows, potentials, most, strict=True):
            kept.append(_slice(problem, r, v, (limit, room), potential, actions))
            r = np.maximum(problem.advance(r, kept[-1]), 0.0)
        if alone or problem.fits(r, start):
            break
        total = [sum(v[a] for v in kept) for a in range(problem.grid.dimension)]
        cut = [t.copy() for t in total]
        order = _ordered(potentials[-1], _beside(problem, [c != 0.0 for c in cut]), True)
        problem.cut(start, cut, problem.most, order, problem.room)
        shares = [
            np.divide(c, t, out=np.ones_like(t), where=t != 0.0) for c, t in zip(cut, total, strict=True)
        ]
        flows = [[share * v[a] for a, share in enumerate(shares)] for v in kept]
    return path_of(problem, start, kept, actions, energy_of)


def _ordered(potential: np.ndarray, cells: np.ndarray, capped: bool):
    """Cells in the order in which flows that fall with a potential leave nothing behind: below a cap what a
    cell sheds goes upstream, so downstream first; else what it lacks is missed downstream."""
    at = np.flatnonzero(cells)
    return at[np.argsort((potential if capped else -potential).ravel()[at], kind="stable")]


def _beside(problem, faces: list):
    """Cells beside one of these faces; no other needs a cut."""
    cells = np.zeros(problem.shape, bool)
    for exchange, chosen in zip(problem.exchanges, faces, strict=False):
        cells |= exchange.beside(chosen)
    return cells


def _slice(problem, before: np.ndarray, wanted: list, limits: tuple, potential: np.ndarray, actions: list):
    """Flows near those `wanted` with 0 ≤ r ≤ most, the room of all species together: `limits` are both."""
    exchanges = problem.exchanges
    v = [np.where(e.closed, 0.0, flow) for e, flow in zip(exchanges, wanted, strict=True)]
    steepest = [TOLERANCES.steepest * float(np.abs(e.drop(potential)).max(initial=0.0)) for e in exchanges]
    least = TOLERANCES.flow_noise * float(before.max())
    capped = problem.length is None and bool(np.isfinite(limits[0]).any() or np.isfinite(limits[1]))
    for flow in v:
        flow[np.abs(flow) < least] = 0.0
    waiting = _beside(problem, [flow != 0.0 for flow in v])
    for attempt in range(TOLERANCES.attempts):
        r = _cut(problem, before, v, limits, _ordered(potential, waiting, capped))
        changed = []
        for exchange, flow, steep, action in zip(exchanges, v, steepest, actions, strict=True):
            limit = exchange.largest(exchange.mean(0.5 * (before + r)), steep, action)
            size = np.abs(flow)
            over = (size > limit * (1.0 + TOLERANCES.flow_excess)) | (
                (size < _SQUARE_ROOT_OF_TINY) & (flow != 0.0)
            )
            if over.any():
                flow[over] = 0.0 if attempt > 0 else (np.sign(flow[over]) * limit[over])
            changed.append(over)
        waiting = _beside(problem, changed)
        if not waiting.any():
            break
    else:
        _cut(problem, before, v, limits, _ordered(potential, waiting, capped))
    return v


def _cut(problem, before: np.ndarray, v: list, limits: tuple, order: np.ndarray):
    """Flows cut, in place, until 0 ≤ r ≤ most for r = before − Dv, which is returned.

    Where there are sources what they make may flow on, and half of what enters may die, so that |w| keeps
    below before + r: they change by what is left.
    """
    most, room = limits
    if problem.length is None:
        problem.cut(before, v, most, order, room)
        return np.maximum(problem.advance(before, v), 0.0)
    free, source = np.full(problem.shape, np.inf), v[-1]
    problem.cut(before + np.clip(source, 0.0, before), v, free, order)
    moved = problem.advance(before, [*v[:-1], np.zeros_like(source)])
    source[...] = np.clip(source, -np.minimum(moved, 0.5 * (before + moved)), most - moved)
    source[problem.exchanges[-1].closed] = 0.0
    return np.maximum(moved + source, 0.0)


def lower_bound(
    problem, start: np.ndarray, path: Path, potentials: list, actions: list, field: np.ndarray
) -> tuple[float, np.ndarray]:
    """A lower bound on the least W₂²/2τ + |c| Σ U(r) + f r, from potentials p¹ … p^K, and the pressure at
    the cap.

    With w = ½Sᵀ(Dᵀp)²/4α: Σ(p¹ − w¹)r⁰ + M Σ_k min(p^{k+1} − w^{k+1} − p^k − w^k) + the least of the cell
    energy in the field f − p^K − w^K, r^k ≥ 0 of mass M. Where there are sources r^k has any mass, and
    p^{k+1} − w^{k+1} ≥ p^k + w^k. A concave mobility enters by its tangent at the densities of a `path`.
    """
    ends = [start, *path.densities]
    middles = [0.5 * (a + b) for a, b in itertools.pairwise(ends)]
    best = _bound(problem, ends, middles, potentials, actions, field)
    if problem.slices > 1:
        matched = _matched(problem, middles, potentials, actions)
        return max(best, _bound(problem, ends, middles, matched, actions, field), key=itemgetter(0))[:2]
    bare, p = next_to_empty(problem, start) & (problem.most > 0.0), potentials[-1]
    unpolished = best[0]
    for _ in range(TOLERANCES.polishes):
        p = np.where(bare, p - np.maximum(best[3] - best[2], 0.0), p)
        found = _bound(problem, ends, middles, [p], actions, field)
        gained, best = found[0] - best[0], max(best, found, key=itemgetter(0))
        if gained <= TOLERANCES.polished * (best[0] - unpolished):
            break
    return best[:2]


def rounding(problem, start: np.ndarray, path: Path, actions: list, field: np.ndarray) -> float:
    """What sums over cells leave of a gap."""
    size = problem.size_in(field, path.end)
    # where a cap alone holds nothing, all mass by a cell is the scale
    size += max(float(np.max(a)) for a in actions) * float(start.sum()) * problem.grid.cell_volume
    if problem.length is not None:
        size += abs(float(field.min())) * float(path.end.sum()) * problem.grid.cell_volume
    return TOLERANCES.rounding * (abs(path.cost) + size)


def next_to_empty(problem, r: np.ndarray) -> np.ndarray:
    """Cells with next to no mass to speak of, or that hold alone what a crowd left behind."""
    from scipy.ndimage import uniform_filter

    largest = r.max(axis=problem.axes, keepdims=True)
    least, others = TOLERANCES.next_to_nothing * largest, 3 - problem.grid.dimension
    modes = ["wrap" if turning else "nearest" for turning in problem.grid.periodic]
    around = [TOLERANCES.neighbourhood] * problem.grid.dimension
    near = uniform_filter(r, [*around, *(1,) * others], mode=[*modes, *("nearest",) * others])
    residue = TOLERANCES.residue * largest
    return (r < least) | ((near < residue) & (r < residue))


def _bound(problem, ends: list, middles: list, potentials: list, actions: list, field: np.ndarray):
    """The bound, the pressure at the cap, the field that the last density sees, and the level that it fills
    to.
    """
    start, end = ends[0], ends[-1]
    potentials, speeds = _repaired(problem, middles, list(potentials), actions, field)
    volume, free = problem.grid.cell_volume, problem.most > 0.0
    total = problem.totals(start) if problem.length is None else None
    lost = sum(
        problem.tangent_loss(p, actions, middle) for p, middle in zip(potentials, middles, strict=True)
    )
    bound = (float(np.vdot(potentials[0] - speeds[0], start)) - lost) * volume
    for k in range(problem.slices - 1):
        slack = np.where(free, _slack(potentials, speeds, k), np.inf).min(axis=problem.axes, keepdims=True)
        if total is not None:
            bound += float(np.vdot(total, slack)) * volume
        elif slack.min() < 0.0:
            bound = -np.inf
    left = field - potentials[-1] - speeds[-1]
    least, pressure, level, seen = problem.least(left, total, end)
    return bound + least * volume, pressure, seen, level


def _matched(problem, middles: list, potentials: list, actions: list):
    """Potentials whose slack is next to nothing: those before the last follow from it, backward in time.

    Where mass lasts a minimiser has none, and iterates get rid of theirs last of all. It ends where a pass
    does not pay: the potential of a vacuum may be too steep for it.
    """
    K, best, least = len(potentials), potentials, np.inf
    for _ in range(TOLERANCES.matches + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            speeds = [problem.speed_term(p, actions, m) for p, m in zip(potentials, middles, strict=True)]
            size = max(float(np.abs(_slack(potentials, speeds, k)).max()) for k in range(K - 1))
        if not size < least:
            break
        best, least, potentials = potentials, size, list(potentials)
        for k in reversed(range(K - 1)):
            potentials[k] = potentials[k] + _slack(potentials, speeds, k)
            speeds[k] = problem.speed_term(potentials[k], actions, middles[k])
    return best


def _slack(potentials: list, speeds: list, k: int):
    return potentials[k + 1] - speeds[k + 1] - potentials[k] - speeds[k]


def _repaired(problem, middles: list, potentials: list, actions: list, field: np.ndarray):
    """Potentials lowered where the slack of an inner slice is negative, from the last slice back; where there
    are sources also where densities beyond all bounds would pay."""
    K, free, makes = len(potentials), problem.most > 0.0, problem.length is not None
    if makes:
        lowest = -3.0 * (1.0 - TOLERANCES.brink) * actions[-1]  # at −3α p − w = −4α, which no p + w is below
        potentials[1:] = [np.maximum(p, lowest) for p in potentials[1:]]
    speeds = [problem.speed_term(p, actions, middle) for p, middle in zip(potentials, middles, strict=True)]
    if makes and problem.cells.steepest < np.inf:
        ceiling = np.where(np.isfinite(problem.most), np.inf, field + problem.cells.steepest)
        potentials[-1], speeds[-1] = _below(problem, middles[-1], potentials[-1], actions, ceiling, free)
    for k in reversed(range(K - 1)):
        ceiling = potentials[k + 1] - speeds[k + 1]
        surely = free if makes else None
        potentials[k], speeds[k] = _below(problem, middles[k], potentials[k], actions, ceiling, surely)
    return potentials, speeds


def _below(
    problem, middle: np.ndarray, p: np.ndarray, actions: list, ceiling: np.ndarray, free: np.ndarray | None
):
    """A potential with p + w ≤ ceiling, lowered in the cells that break it, and w; in the `free` cells, if
    given, which have sources, surely so, by a shift of all."""

    def less(by: np.ndarray):
        return p - by if free is None else lowered(p, by, actions[-1])

    speed = problem.speed_term(p, actions, middle)
    for _ in range(TOLERANCES.repairs):
        short = np.maximum(p + speed - ceiling, 0.0)
        deeper = less(short)
        if not np.isfinite(deeper).all():
            break
        new = problem.speed_term(deeper, actions, middle)
        if np.min(ceiling - deeper - new) <= -short.max():
            break
        p, speed = deeper, new
    if free is None or not free.any():
        return p, speed
    for _ in range(TOLERANCES.shifts):
        rounding = 4.0 * np.finfo(float).eps * float(np.abs(p).max() + speed.max())
        over = np.where(free, p + speed - ceiling + rounding, 0.0)
        shift = float((p - less(np.maximum(over, 0.0))).max())
        if over.max() <= 0.0 or not math.isfinite(shift):
            break
        p = p - shift
        speed = problem.speed_term(p, actions, middle)
    return p, speed
