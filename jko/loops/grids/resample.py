"""Fields taken from one uniform grid of a box to another, axis by axis, for any ratio of the spacings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

TILE = 16  # lines finished together, so that transposed writes fill whole cache lines


def halved(cells: tuple, few: int) -> tuple:
    """Half as many cells along each axis, rounded up, where there are more than `few`."""
    return tuple(n if n <= few else -(-n // 2) for n in cells)


def halvings(cells: tuple, most: float, few: int = 2) -> list[tuple]:
    """Numbers of cells from the given ones down, halved while an axis has more than `most`."""
    sizes = [tuple(cells)]
    while max(sizes[-1]) > most:
        sizes.append(halved(sizes[-1], few))
    return sizes


def interpolate(field: np.ndarray, shapes: tuple, starts: Sequence, ratios: list, periodic=None):
    """Cubic values of a field at other cell centres; even-mirrored beyond the walls, repeated along axes
    that are periodic.

    Along axis a there are shapes[a] new centres, number j at starts[a] + (j + ½)·ratios[a], in old cells from
    the old lower wall.
    """
    periodic = periodic or (False,) * field.ndim
    axes = zip(field.shape, shapes, starts, ratios, periodic, strict=True)
    return _apply(field, [_cubic_taps(*axis) for axis in axes])


def average(field: np.ndarray, shapes: tuple):
    """Means of a field over the shapes[a] equal cells into which each axis is cut anew."""
    return _apply(field, [_mean_taps(n, count) for n, count in zip(field.shape, shapes, strict=True)])


def _cubic_taps(n: int, count: int, start: float, ratio: float, periodic: bool):
    s = start + (np.arange(count) + 0.5) * ratio - 0.5
    base = np.floor(s).astype(int)
    t = s - base
    weights = [
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    ]
    index = base[:, None] + np.arange(-1, 3)
    if periodic:
        return index % n, np.stack(weights, axis=-1)
    index %= 2 * n
    return np.where(index >= n, 2 * n - 1 - index, index), np.stack(weights, axis=-1)


def _mean_taps(n: int, count: int):
    edges = np.arange(count + 1) * (n / count)
    first = np.minimum(np.floor(edges[:-1] + 1e-9).astype(int), n - 1)
    index = first[:, None] + np.arange(math.ceil(n / count) + 1)
    overlap = np.minimum(index + 1, edges[1:, None]) - np.maximum(index, edges[:-1, None])
    return np.minimum(index, n - 1), np.where(index < n, np.maximum(overlap, 0.0), 0.0) * (count / n)


def _apply(field: np.ndarray, taps: list):
    lines = np.ascontiguousarray(field, dtype=float)
    shape = list(field.shape)
    for axis in reversed(range(len(shape))):
        index, weights = taps[axis]
        out = np.empty((len(index), lines.size // shape[axis]))
        _combine(lines.reshape(-1, shape[axis]), index, weights, out)
        lines, shape[axis] = out, len(index)
    return lines.reshape(shape)


@njit(cache=True, fastmath={"contract", "nsz"})
def _combine(lines: np.ndarray, index: np.ndarray, weights: np.ndarray, out: np.ndarray):
    """out[j, l] = Σ_k weights[j, k]·lines[l, index[j, k]]."""
    count, taps = lines.shape[0], index.shape[1]
    for first in range(0, count, TILE):
        for j in range(index.shape[0]):
            for l in range(first, min(first + TILE, count)):
                total = 0.0
                for k in range(taps):
                    total += weights[j, k] * lines[l, index[j, k]]
                out[j, l] = total
