"""Boxes within boxes round particles, as deep as each place needs, and which pairs of them are far apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from jko.loops.forces.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class Tree:
    """Cubes of a dyadic subdivision, parents first and every subtree in a row; `order` sorts the particles.

    Box b holds particles start[b] … stop[b] − 1; it is the least dyadic cube round them if it is divided. Its
    subtree ends before after[b]. `centre` [boxes, 3] (0 along axes that there are not), `half` the half side.
    """

    order: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    parent: np.ndarray
    after: np.ndarray
    centre: np.ndarray
    half: np.ndarray


def grow(x: np.ndarray, leaf: int) -> Tree:
    """The tree of positions `[d, n]` whose last boxes hold at most `leaf` particles.

    The outermost box has a power of two for its side and multiples of its 64th for its corner: a cloud that
    moves a little keeps its boxes.
    """
    d = x.shape[0]
    low, high = x.min(axis=1), x.max(axis=1)
    side = 2.0 ** np.ceil(np.log2(max(float(np.max(high - low)) * 1.05, 1e-290)))
    corner = np.floor((low - 0.25 * (side - (high - low))) / side * 64.0) / 64.0 * side
    bits = TOLERANCES.key_bits[d - 1]
    keys = _keys(x, corner, 2.0**bits / side, bits)
    order = np.argsort(keys, kind="stable")
    start, stop, parent, after, level = _divide(keys[order], bits, d, leaf)
    half = 0.5 * side * 0.5 ** level.astype(float)
    centre = np.zeros((start.size, 3))
    first = x[:, order[start]]
    size = 2.0 * half
    centre[:, :d] = (corner[:, None] + (np.floor((first - corner[:, None]) / size) + 0.5) * size).T
    return Tree(order, start, stop, parent, after, centre, half)


@njit(cache=True, error_model="numpy")
def _keys(x: np.ndarray, corner: np.ndarray, scale: float, bits: int):
    d, n = x.shape
    keys = np.empty(n, np.int64)
    places = np.empty(d, np.int64)
    for i in range(n):
        for c in range(d):
            places[c] = min(int((x[c, i] - corner[c]) * scale), (1 << bits) - 1)
        key = 0
        for b in range(bits - 1, -1, -1):
            for c in range(d):
                key = (key << 1) | ((places[c] >> b) & 1)
        keys[i] = key
    return keys


@njit(cache=True)
def _divide(keys: np.ndarray, bits: int, d: int, leaf: int):
    # (start, stop, parent, after, level) of the boxes, from sorted keys
    most = 2 * keys.size + 1
    start, stop, parent, level = (np.empty(most, np.int64), np.empty(most, np.int64),
                                  np.empty(most, np.int64), np.empty(most, np.int64))  # fmt: skip
    waiting = np.empty((bits + 2 << d, 3), np.int64)
    waiting[0, 0], waiting[0, 1], waiting[0, 2] = 0, keys.size, -1
    top, count = 1, 0
    while top > 0:
        top -= 1
        a, b, above = waiting[top]
        differing, depth = keys[a] ^ keys[b - 1], bits
        while differing > 0:
            differing >>= d
            depth -= 1
        if b - a <= leaf and above >= 0:
            depth = level[above] + 1  # a few particles may stand close by chance: no smaller box for them
        start[count], stop[count], parent[count], level[count] = a, b, above, depth
        if b - a > leaf and depth < bits:
            shift = (bits - depth - 1) * d
            # children pushed last first
            end = b
            while end > a:
                least = (keys[end - 1] >> shift) << shift
                begin = a + np.searchsorted(keys[a:end], least)
                waiting[top, 0], waiting[top, 1], waiting[top, 2] = begin, end, count
                top += 1
                end = begin
        count += 1
    after = np.arange(1, count + 1)
    for box in range(count - 1, 0, -1):
        after[parent[box]] = max(after[parent[box]], after[box])
    return start[:count], stop[:count], parent[:count], after, level[:count]


@njit(cache=True, error_model="numpy")
def encounters(
    start: np.ndarray,
    stop: np.ndarray,
    after: np.ndarray,
    centre: np.ndarray,
    half: np.ndarray,
    separation: float,
    few: int,
):
    """(far `[pairs, 2]`, near `[pairs, 2]`): pairs of boxes, each once, that together hold every pair.

    Far are boxes each of which is `separation` of its half sides from the other at its centre, unless they
    hold no more than `few` pairs; near pairs are summed one by one, those within one last box as (b, b).
    """
    far, near = np.empty((1024, 2), np.int64), np.empty((1024, 2), np.int64)
    many_far, many_near = 0, 0
    waiting = np.empty((4096, 2), np.int64)
    waiting[0, 0], waiting[0, 1] = 0, 0
    top = 1
    while top > 0:
        top -= 1
        a, b = waiting[top]
        if top + 80 > waiting.shape[0]:
            waiting = _wider(waiting)
        last_a, last_b = after[a] == a + 1, after[b] == b + 1
        if a == b and not last_a:
            one = a + 1
            while one < after[a]:
                other = one
                while other < after[a]:
                    waiting[top, 0], waiting[top, 1] = one, other
                    top += 1
                    other = after[other]
                one = after[one]
            continue
        apart = a != b and _apart(a, b, centre, half, separation)
        if apart and (stop[a] - start[a]) * (stop[b] - start[b]) > few:
            far[many_far, 0], far[many_far, 1] = a, b
            many_far += 1
            if many_far == far.shape[0]:
                far = _wider(far)
        elif apart or (last_a and last_b):
            near[many_near, 0], near[many_near, 1] = a, b
            many_near += 1
            if many_near == near.shape[0]:
                near = _wider(near)
        else:
            divided, whole = (a, b) if last_b or (not last_a and half[a] >= half[b]) else (b, a)
            child = divided + 1
            while child < after[divided]:
                waiting[top, 0], waiting[top, 1] = child, whole
                top += 1
                child = after[child]
    return far[:many_far], near[:many_near]


@njit(cache=True, error_model="numpy")
def _apart(a: int, b: int, centre: np.ndarray, half: np.ndarray, separation: float):
    from_a, from_b = 0.0, 0.0
    for c in range(3):
        z = abs(centre[a, c] - centre[b, c])
        from_a += max(z - half[b], 0.0) ** 2
        from_b += max(z - half[a], 0.0) ** 2
    return from_a >= (separation * half[a]) ** 2 and from_b >= (separation * half[b]) ** 2


@njit(cache=True)
def _wider(pairs: np.ndarray):
    wide = np.empty((2 * pairs.shape[0], 2), np.int64)
    wide[: pairs.shape[0]] = pairs
    return wide


def runs(pairs: np.ndarray, start: np.ndarray, stop: np.ndarray):
    """`[runs, 4]` (first, end, begin, stop): pairs of boxes `[pairs, 2]` as runs of particles, those begin …
    stop − 1 that each of first … end − 1 meets, with begin ≤ first; of a box and itself those before it."""
    one, other = np.maximum(pairs[:, 0], pairs[:, 1]), np.minimum(pairs[:, 0], pairs[:, 1])
    order = np.lexsort((start[other], one))
    one, other = one[order], other[order]
    follows = (one[1:] == one[:-1]) & (start[other[1:]] == stop[other[:-1]])
    heads = np.flatnonzero(np.concatenate([[True], ~follows]))
    tails = np.append(heads[1:], len(one)) - 1
    return np.stack([start[one[heads]], stop[one[heads]], start[other[heads]], stop[other[tails]]], axis=1)
