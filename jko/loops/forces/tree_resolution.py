"""How many points a box of a tree needs for a kernel and a tolerance, and what the tree then costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from functionals.programs import kept_with_first
from jko.loops.forces import regularised
from jko.loops.forces.terms import Terms
from jko.loops.forces.tolerances import TOLERANCES
from jko.loops.forces.tree import encounters, grow, runs

SEPARATION = 2.5  # half sides of a box from its centre to the nearest box that is far from it


@dataclass(frozen=True)
class Detail:
    """`points` an axis of a box, and the most particles of a last box, `leaf`."""

    points: int
    leaf: int


def leaf_of(points: int, dimension: int) -> int:
    """The size of last boxes for which near pairs and boxes cost about the same."""
    return min(max(2 * points**dimension, 64), 256)


def needed_points(terms: Terms, dimension: int, length: float, tolerance: float) -> int | None:
    """The fewest points an axis with which boxes of no size up to `length` lose more than the tolerance.

    Of the force between neighbouring far boxes, or of the mean force over the distances of a cloud of that
    length where that is larger. None where more would be needed than there may be.
    """
    top = math.ceil(math.log2(length))
    r = 2.0**top * (np.arange(2048) + 0.5) / 2048
    mean = float(np.mean(np.abs(r * regularised.profile(terms, r**2, 1))))
    allowed, points = TOLERANCES.tree_slack * tolerance, 3
    for level in range(TOLERANCES.levels):
        while True:
            lost, force = _loss(terms, min(dimension, 2), top - 2 - level, points)
            if lost <= allowed * max(force, mean):
                break
            points += 1
            if points > TOLERANCES.most_points[dimension - 1]:
                return None
    return points


@kept_with_first
def _loss(terms: Terms, dimension: int, exponent: int, p: int):
    # root mean squares of the force that interpolation in two boxes of half side 2^exponent loses, and of it
    generator = np.random.default_rng(20260105)
    x, y = generator.uniform(-1.0, 1.0, size=(2, TOLERANCES.probes, dimension))
    half = 2.0**exponent
    offset = np.zeros(dimension)
    offset[0] = SEPARATION + 1.0
    nodes = np.cos((np.arange(p) + 0.5) * np.pi / p)
    grid = np.stack(np.meshgrid(*([nodes] * dimension), indexing="ij"), axis=-1).reshape(-1, dimension)
    s = np.sum((grid[:, None] - grid - offset) ** 2, axis=-1) * half**2
    there = regularised.profile(terms, s) @ _read(y, p)[0].T
    z = (x - y - offset) * half
    exact = regularised.profile(terms, np.sum(z**2, axis=1), 1)[:, None] * z
    got = np.stack([np.einsum("nk,kn->n", slope, there) for slope in _read(x, p)[1]], axis=1) / half
    return float(np.sqrt(np.mean((got - exact) ** 2))), float(np.sqrt(np.mean(exact**2)))


def _read(x: np.ndarray, p: int):
    # what each of the points of a box contributes at x in it `[n, p^d]`, and its slopes along each axis
    nodes = np.cos((np.arange(p) + 0.5) * np.pi / p)
    weights = 2.0 * np.polynomial.chebyshev.chebvander(nodes, p - 1).T / p
    weights[0] *= 0.5
    derivative = np.polynomial.chebyshev.chebder(np.eye(p))
    along = [np.polynomial.chebyshev.chebvander(row, p - 1) for row in x.T]
    values = [t @ weights for t in along]
    slopes = [t[:, : p - 1] @ derivative @ weights for t in along]
    if len(values) == 1:
        return values[0], slopes
    products = ((0, 0), (1, 0), (0, 1))
    pairs = [np.einsum("na,nb->nab", (values, slopes)[i][0], (values, slopes)[j][1]) for i, j in products]
    pairs = [pair.reshape(len(x), -1) for pair in pairs]
    return pairs[0], pairs[1:]


def evaluation_cost(fine: Detail, x: np.ndarray) -> float:
    """Seconds that the forces on a cloud `[d, n]` are expected to take, from the tree of a sample of it."""
    d, n = x.shape
    sample = np.ascontiguousarray(x[:, :: max(1, n // TOLERANCES.sample)], dtype=float)
    share, points = n / sample.shape[1], fine.points**d
    t = grow(sample, max(1, round(fine.leaf / share)))
    few = int(points**2 / share**2)
    far, near = encounters(t.start, t.stop, t.after, t.centre, t.half, SEPARATION, few)
    first, end, begin, stop = runs(near, t.start, t.stop).T
    pairs = share**2 * float(np.sum((end - first) * (stop - begin)))
    particles = n * (TOLERANCES.tree_particle_cost + points * TOLERANCES.tree_point_cost)
    return TOLERANCES.tree_pair_cost * pairs + TOLERANCES.tree_field_cost * len(far) * points**2 + particles
