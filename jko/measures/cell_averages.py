"""Cell averages of a kernel that is infinite at 0."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from functionals import pointwise

_NEAR_CELLS = 3  # cells from 0 within which W may be steep, and takes more nodes
_FAR_NODES = {1: 4, 2: 3, 3: 2}  # Gauss nodes along an axis of a cell beyond those, by dimension
_NEAR_NODES = {1: 12, 2: 16, 3: 5}  # the same within them, by dimension
# of a pyramid of the cell that holds the singularity: towards it, and across
_CENTRAL_NODES = {1: (40,), 2: (40, 24), 3: (32, 16, 16)}
_GRADING = 12  # u = t¹² carries the nodes to the singularity


def cell_averages(W: Callable, offsets: np.ndarray, spacing: tuple) -> np.ndarray:
    """∫_c W(z + y) dy/|c| over a cell c centred at 0, for offsets z `[*shape, d]` of a grid's cells.

    Tensor Gauss quadrature; more points within 3 cells; and in the cell that holds the singularity
    graded pyramids with their tops there [Duffy1982]. Raises ValueError for a kernel that is not integrable
    at 0.
    """
    d = offsets.shape[-1]
    spacing = np.asarray(spacing, dtype=float)
    distance = np.abs(np.rint(offsets / spacing)).max(axis=-1)
    averages = np.empty(offsets.shape[:-1])
    for selected, n in ((distance > _NEAR_CELLS, _FAR_NODES[d]), (distance <= _NEAR_CELLS, _NEAR_NODES[d])):
        averages[selected] = _tensor_gauss(W, offsets[selected], spacing, n)
    averages[distance == 0] = _central_average(W, spacing)
    return averages


def _tensor_gauss(W: Callable, offsets: np.ndarray, spacing: np.ndarray, n: int):
    nodes, weights = np.polynomial.legendre.leggauss(n)
    total = np.zeros(len(offsets))
    for index in itertools.product(range(n), repeat=offsets.shape[-1]):
        shift = 0.5 * nodes[list(index)] * spacing
        total += np.prod(0.5 * weights[list(index)]) * pointwise.values(W, offsets + shift)
    return total


def _central_average(W: Callable, spacing: np.ndarray) -> float:
    counts = _CENTRAL_NODES[len(spacing)]
    average, finer = (_pyramids(W, spacing, (counts[0] + more, *counts[1:])) for more in (0, 8))
    if not abs(finer - average) <= 1e-3 * abs(finer):
        raise ValueError(
            f"the kernel {pointwise.describe(W)} is not integrable at 0: its energy is infinite on a density"
        )
    return finer


def _pyramids(W: Callable, spacing: np.ndarray, counts: tuple) -> float:
    """The average over a box, cut into 2d pyramids y = ½u(±1, v) ∘ spacing, |v| ≤ 1, 0 < u ≤ 1."""
    d = len(spacing)
    t, t_weights = np.polynomial.legendre.leggauss(counts[0])
    t, t_weights = 0.5 * (t + 1.0), 0.5 * t_weights
    u, u_weights = t**_GRADING, t_weights * _GRADING * t ** (_GRADING - 1)
    rules = [(u, u_weights * u ** (d - 1))] + [np.polynomial.legendre.leggauss(n) for n in counts[1:]]
    coordinates = np.stack(np.meshgrid(*(nodes for nodes, _ in rules), indexing="ij"), axis=-1).reshape(-1, d)
    weights = np.prod(np.stack(np.meshgrid(*(w for _, w in rules), indexing="ij"), axis=-1), axis=-1).reshape(
        -1
    )
    total = 0.0
    for axis, sign in itertools.product(range(d), (-1.0, 1.0)):
        points = np.insert(coordinates[:, 1:], axis, sign, axis=1) * coordinates[:, :1]
        total += weights @ pointwise.values(W, 0.5 * points * spacing)
    return total / 2.0**d
