"""Optimal couplings of consecutive snapshots: where the points of one go, and where those of the next come
from."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jko.learn.duality import excess_of
from jko.measures import Particles
from jko.transport.paths.interpolation import plan_of

MOST_ATOMS = 6000  # of a cloud in an exact plan: 290 MB; larger clouds are coupled part by part
PART = 1000  # points of a part, about: a fifth of a second each, which grows with the cube
BLOCK = 8  # points in a row that are dealt to one part, of which one at each end may be split
CORES = min(os.cpu_count() or 1, 4)  # intervals at once: each takes up to 290 MB
MOST_PAIRS = 10**9  # of points of both clouds, for a bound of the excess: a pass over them takes some seconds
SWEEPS = 4  # of exact plans within parts of near pairs, after which the cost falls by little more


@dataclass(frozen=True, eq=False)
class Coupling:
    """γ between clouds x `[n]` and y `[n′]`: the pairs that carry mass, as `rows`, `columns`, `weights`. Its
    cost lies above the least by at most the share `excess` of it, 0 of an exact plan, NaN where nobody
    looked."""

    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    n: int
    n_after: int
    excess: float = 0.0

    def images(self, y: np.ndarray) -> np.ndarray:
        """E[y | x_i], `[n, d]`."""
        return _means(self.rows, self.weights, y[self.columns], self.n)

    def origins(self, x: np.ndarray) -> np.ndarray:
        """E[x | y_j], `[n′, d]`."""
        return _means(self.columns, self.weights, x[self.rows], self.n_after)


def side_by_side(work: Callable, given: list) -> list:
    """work(each) for each that is given, on all cores: exact plans and sums over points leave Python's lock
    alone."""
    with ThreadPoolExecutor(min(len(given), CORES)) as pool:
        return list(pool.map(work, given))


def parts_of(mu: Particles, nu: Particles) -> int:
    """How many exact plans a coupling takes."""
    most = max(mu.n, nu.n)
    return -(-most // PART) * (1 + SWEEPS) if mu.dimension > 1 and most > MOST_ATOMS else 1


def optimal_coupling(mu: Particles, nu: Particles, tick: Callable = lambda: None) -> Coupling:
    """By exact transport; of clouds of more than `MOST_ATOMS` points by exact plans between parts of them
    (`coupling_in_parts`). `tick()` is called after each plan."""
    if parts_of(mu, nu) > 1:
        return coupling_in_parts(mu, nu, tick)
    plan = plan_of(mu, nu)
    tick()
    return Coupling(plan.rows, plan.columns, plan.weights, mu.n, nu.n)


def coupling_in_parts(mu: Particles, nu: Particles, tick: Callable = lambda: None) -> Coupling:
    """By exact plans between parts of about `PART` points, whose cost lies a little above the least.

    The parts are first dealt so that each lies over the whole cloud and has the same mass, points being split
    for that. Then pairs that are near each other are coupled anew, by cells that differ from sweep to sweep:
    the marginals stay the clouds, and the cost falls towards the optimal one [BonafiniSchmitzer2021].
    """
    x, y = (np.asarray(cloud.positions, dtype=np.float64) for cloud in (mu, nu))
    count = -(-max(mu.n, nu.n) // PART)
    parts: list[Any] = list(zip(_dealt(mu, count), _dealt(nu, count), strict=True))
    rows, columns, weights = _planned(x, y, parts, tick)
    generator = np.random.default_rng(0)
    for _ in range(SWEEPS):
        turn = np.linalg.qr(generator.standard_normal((mu.dimension,) * 2))[0]
        order = _in_order((x[rows] + y[columns]) @ turn, np.arange(len(rows)), len(rows) // count)
        parts = []
        for near in np.array_split(order, count):
            ends = (np.unique(index[near], return_inverse=True) for index in (rows, columns))
            parts.append(tuple((points, np.bincount(number, weights[near])) for points, number in ends))
        rows, columns, weights = _planned(x, y, parts, tick)
    found = Coupling(rows, columns, weights, mu.n, nu.n)
    return replace(found, excess=excess_of(found, mu, nu) if mu.n * nu.n <= MOST_PAIRS else math.nan)


def _planned(x: np.ndarray, y: np.ndarray, parts: list, tick: Callable):
    """(rows, columns, weights) of exact plans between parts (points, masses) of x and of y, together."""
    found = []
    for (here, masses), (there, others) in parts:
        whole = masses.sum()
        ends = Particles(x[here], masses / whole), Particles(y[there], others / others.sum())
        plan = plan_of(*ends)
        found.append((here[plan.rows], there[plan.columns], plan.weights * whole))
        tick()
    rows, columns, weights = (np.concatenate(pieces) for pieces in zip(*found, strict=True))
    return rows, columns, weights / weights.sum()


def _dealt(cloud: Particles, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The points of each part and their masses, all parts of the same mass."""
    order = _in_order(np.asarray(cloud.positions, dtype=float), np.arange(cloud.n), BLOCK)
    level = np.cumsum(cloud.weights[order], dtype=np.float64)
    level = level / level[-1]
    blocks = count * max(1, cloud.n // (BLOCK * count))
    edges = np.union1d(level, np.arange(1, blocks) / blocks)
    masses = np.diff(edges, prepend=0.0)
    middle = edges - 0.5 * masses
    points = order[np.minimum(np.searchsorted(level, middle), cloud.n - 1)]
    part = (middle * blocks).astype(int) % count
    return [(points[part == p], masses[part == p]) for p in range(count)]


def _in_order(x: np.ndarray, chosen: np.ndarray, least: int) -> np.ndarray:
    """The chosen points, near ones near each other, by halving their box along its widest axis until `least`
    are left."""
    if len(chosen) <= max(least, 1):
        return chosen
    along = x[chosen, np.argmax(x[chosen].var(axis=0))]
    first, last = np.array_split(chosen[np.argsort(along, kind="stable")], 2)
    return np.concatenate([_in_order(x, first, least), _in_order(x, last, least)])


def _means(index: np.ndarray, weights: np.ndarray, values: np.ndarray, n: int):
    mass = np.bincount(index, weights, n)
    sums = [np.bincount(index, weights * values[:, a], n) for a in range(values.shape[1])]
    return np.stack(sums, axis=1) / mass[:, None]
