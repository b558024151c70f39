"""Flows through the faces of a grid cut down until the densities that they lead to are admissible."""

from __future__ import annotations

import numpy as np
from numba import njit

_ROUNDING = 1e-14  # of what a cell holds and exchanges: no flow is cut for less


@njit(cache=True, error_model="numpy")
def cut_flows(
    start: np.ndarray,
    flows: tuple,
    most: np.ndarray,
    room: float,
    order: np.ndarray,
    right: np.ndarray,
    visits: int,
):
    """Flows of the three axes, `[.., species]`, scaled down, in place, until 0 ≤ start − Dv ≤ most for each
    species and Σ ≤ room for all of them, up to rounding. An axis with as many faces as cells closes on
    itself.

    A cell that would give more than it has gives less, one that would hold more than its cap takes less;
    flows only shrink, and where start ≤ cap none at all is admissible. The cells that may need
    it are visited in `order`, downstream first is best, and any after a neighbour has changed, `visits` times
    all cells at most. Those that are `right` before any change need no look until a neighbour changes.
    Returns how many still wait.
    """
    cells = start.shape[:3]
    size = right.size
    queue, waits = np.empty(size, np.int64), np.zeros(size, np.bool_)
    queue[: order.size] = order
    waits[order] = True
    head, count = 0, order.size
    for _ in range(visits * size):
        if count == 0:
            break
        at = queue[head]
        head, count = (head + 1) % size, count - 1
        waits[at] = False
        if right[at]:
            continue
        cell = (at // (cells[1] * cells[2]), at // cells[2] % cells[1], at % cells[2])
        below = _neighbours(cells, flows, cell, -1)
        if not _cut(start, flows, most, room, cell, below):
            continue
        above = _neighbours(cells, flows, cell, 1)
        for n in range(7):
            if n == 6:
                other = at if start.shape[3] > 1 else -1  # what all share may leave one with too little
            else:
                other = _beside(cells, cell, n // 2, below[n // 2] if n % 2 else above[n // 2])
            if other < 0:
                continue
            right[other] = False
            if not waits[other]:
                waits[other] = True
                queue[(head + count) % size] = other
                count += 1
    return count


@njit(cache=True, error_model="numpy", inline="always")
def _neighbours(cells, flows, cell, step):
    """The places beside a cell along each axis, −1 beyond a wall."""
    i, j, k = cell[0] + step, cell[1] + step, cell[2] + step
    a, b, c = cells
    if i < 0 or i >= a:
        i = i % a if flows[0].shape[0] == a else -1
    if j < 0 or j >= b:
        j = j % b if flows[1].shape[1] == b else -1
    if k < 0 or k >= c:
        k = k % c if flows[2].shape[2] == c else -1
    return i, j, k


@njit(cache=True, error_model="numpy", inline="always")
def _beside(cells, cell, axis, place):
    """The number of the cell at another place along an axis, −1 beyond a wall."""
    if place < 0:
        return -1
    i, j, k = _moved(cell, axis, place)
    return (i * cells[1] + j) * cells[2] + k


@njit(cache=True, error_model="numpy", inline="always")
def _moved(cell, axis, place):
    i, j, k = cell
    return place if axis == 0 else i, place if axis == 1 else j, place if axis == 2 else k


@njit(cache=True, error_model="numpy")
def _cut(start, flows, most, room, cell, below):
    """Scale the flows of one cell down where it needs it; whether it did. `below` are the places under it
    along each axis, −1 at a wall."""
    changed, before, entered, left = False, 0.0, 0.0, 0.0
    for s in range(start.shape[3]):
        held, cap = start[cell][s], most[cell][s]
        enters, leaves = _exchanged(flows, cell, below, s)
        r, rounding = held + enters - leaves, _ROUNDING * (held + enters + leaves)
        if r < -rounding:
            _scale(flows, cell, below, s, 1.0, (held + enters) / leaves)
            leaves, changed = held + enters, True
        elif r > cap + rounding and enters > 0.0:
            share = max(0.0, (cap - held + leaves) / enters)
            if share < 1.0:
                _scale(flows, cell, below, s, -1.0, share)
                enters, changed = share * enters, True
        before, entered, left = before + held, entered + enters, left + leaves
    if before + entered - left > room + _ROUNDING * (before + entered + left) and entered > 0.0:
        share = max(0.0, (room - before + left) / entered)
        if share < 1.0:
            for s in range(start.shape[3]):
                _scale(flows, cell, below, s, -1.0, share)
            changed = True
    return changed


@njit(cache=True, error_model="numpy")
def _exchanged(flows, cell, below, s):
    """What enters and what leaves a cell of one species."""
    enters, leaves = 0.0, 0.0
    for axis in range(3):
        v = flows[axis]
        if cell[axis] < v.shape[axis]:
            flow = v[cell][s]
            enters, leaves = enters + max(-flow, 0.0), leaves + max(flow, 0.0)
        if below[axis] >= 0:
            flow = v[_moved(cell, axis, below[axis])][s]
            enters, leaves = enters + max(flow, 0.0), leaves + max(-flow, 0.0)
    return enters, leaves


@njit(cache=True, error_model="numpy")
def _scale(flows, cell, below, s, sign, share):
    """Scale the flows out of a cell (sign 1) or into it (sign −1) of one species."""
    for axis in range(3):
        v = flows[axis]
        if cell[axis] < v.shape[axis] and sign * v[cell][s] > 0.0:
            v[cell][s] *= share
        if below[axis] >= 0:
            other = _moved(cell, axis, below[axis])
            if -sign * v[other][s] > 0.0:
                v[other][s] *= share
