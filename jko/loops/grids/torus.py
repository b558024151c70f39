"""Fields of a torus continued round its periodic axes, so that loops which know only boxes run on them."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jko.loops.transport.displacement import lift

STENCIL = 6  # cells to each side that no loop's differences and cubics look beyond


def layers(potential: np.ndarray, scale: list, periodic: tuple) -> tuple[int, ...]:
    """Along each axis, the cells beyond the ends that y ↦ y ± s∇φ leads to, scale = s/h² of the axis, and
    those of a stencil; 0 between walls. No optimal map goes further than half a turn."""
    cells = potential.shape
    if not any(periodic):
        return (0,) * len(cells)
    steepest = np.zeros(3)
    _steepest(lift(potential), steepest)
    found = []
    for rate, slope, n, turns in zip(scale, steepest[-len(cells) :], cells, periodic, strict=True):
        reach = math.ceil(rate * slope) if rate * slope < n // 2 else n // 2
        found.append(reach + STENCIL if turns else 0)
    return tuple(found)


@njit(cache=True)
def _steepest(field: np.ndarray, out: np.ndarray):
    """The largest difference between neighbours along each axis, the ends being neighbours."""
    n, m, o = field.shape
    for i in range(n):
        for j in range(m):
            for k in range(o):
                value = field[i, j, k]
                out[0] = max(out[0], abs(value - field[i - 1 if i else n - 1, j, k]))
                out[1] = max(out[1], abs(value - field[i, j - 1 if j else m - 1, k]))
                out[2] = max(out[2], abs(value - field[i, j, k - 1 if k else o - 1]))


def continued(field: np.ndarray, around: tuple[int, ...]) -> np.ndarray:
    """The last axes of a field with so many layers more at both ends, repeated by periods."""
    first = field.ndim - len(around)
    for axis, count in enumerate(around, first):
        if count:
            n = field.shape[axis]
            field = field.take(np.arange(-count, n + count), axis, mode="wrap")
    return field


def folded(field: np.ndarray, around: tuple[int, ...]) -> np.ndarray:
    """A field on so many layers more, each laid on the cells that it is an image of: masses add up."""
    for axis, count in enumerate(around):
        if count:
            n = field.shape[axis] - 2 * count
            out = np.zeros((n, *np.delete(field.shape, axis)))
            np.add.at(out, np.arange(-count, n + count) % n, np.moveaxis(field, axis, 0))
            field = np.moveaxis(out, 0, axis)
    return np.ascontiguousarray(field)


def within(field: np.ndarray, around: tuple[int, ...]) -> np.ndarray:
    """What `continued` added, taken off again."""
    cut = [slice(None)] * (field.ndim - len(around))
    cut += [slice(count, n - count) for count, n in zip(around, field.shape[len(cut) :], strict=True)]
    return np.ascontiguousarray(field[tuple(cut)])
