"""Newton's equations on a line of edges whose distances are bounded from below, by blocks that move rigidly.

Distances are numbered as wall to first edge, the n widths, last edge to wall: `[n+2]`. Those in `active`
are at their bounds; edges `[n+1]` they join move as one, and not at all where they are joined to a wall.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.elliptic.banded import solve

_SIGN = 1e-13  # of the forces summed on the way, within which a multiplier has no sign


@njit(cache=True, error_model="numpy")
def solve_face(
    rows: np.ndarray,
    upper: np.ndarray,
    gradient: np.ndarray,
    room: np.ndarray,
    active: np.ndarray,
    out: np.ndarray,
):
    """out = the Newton direction on which every active distance shrinks by its `room` to nothing.

    Returns whether the matrix was positive definite.
    """
    n = upper.size
    block = np.empty(n + 1, np.int64)
    offset = np.empty(n + 1)
    block[0], offset[0] = 0, (-room[0] if active[0] else 0.0)
    for i in range(n):
        joined = active[i + 1]
        block[i + 1] = block[i] if joined else block[i] + 1
        offset[i + 1] = offset[i] - room[i + 1] if joined else 0.0
    count = block[n] + 1
    held_first, held_last = active[0], active[n + 1]
    if held_last:
        shift, i = room[n + 1] - offset[n], n
        if held_first and block[n] == 0:
            shift = 0.0
        while i >= 0 and block[i] == count - 1:
            offset[i] += shift
            i -= 1
    sums, right, beside = np.zeros(count), np.zeros(count), np.zeros(max(count - 1, 1))
    for j in range(n + 1):
        b = block[j]
        sums[b] += rows[j]
        right[b] -= gradient[j] + rows[j] * offset[j]
    for i in range(n):
        # what a cell carries from edge to edge; of a joined one, what its shrinking asks
        pull = upper[i] * (offset[i + 1] - offset[i])
        right[block[i]] -= pull
        right[block[i + 1]] += pull
        if block[i] != block[i + 1]:
            beside[block[i]] = upper[i]
    if held_first:
        if count > 1:
            sums[1] -= beside[0]
        sums[0], right[0], beside[0] = 1.0, 0.0, 0.0
    if held_last:
        if count > 1:
            sums[count - 2] -= beside[count - 2]
            beside[count - 2] = 0.0
        sums[count - 1], right[count - 1] = 1.0, 0.0
    moved = np.empty(count)
    positive = solve(sums, beside[: count - 1], right, moved)
    for j in range(n + 1):
        out[j] = moved[block[j]] + offset[j]
    return positive


@njit(cache=True, error_model="numpy")
def multipliers(
    force: np.ndarray, masses: np.ndarray, active: np.ndarray, pressure: np.ndarray, residual: np.ndarray
):
    """The pressures `[n+2]` of active distances that balance a gradient `[n+1]`, and what they leave of it.

    What a free block of edges is pushed by as a whole is left to its edges in proportion to their masses;
    returns by how much the largest pressure misses its sign.
    """
    n = masses.size
    pressure[:] = 0.0
    wrong, j = 0.0, 0
    while j <= n:
        k = j
        total, weight = 0.0, 0.0
        while True:
            total += force[k]
            weight += (masses[k - 1] if k > 0 else 0.0) + (masses[k] if k < n else 0.0)
            if k == n or not active[k + 1]:
                break
            k += 1
        first, last = j == 0 and active[0], k == n and active[n + 1]
        share = 0.0 if first or last or weight <= 0.0 else total / weight
        if first and not last:  # from the free end towards the wall
            flow, size = 0.0, 0.0
            for i in range(k, -1, -1):
                flow += force[i]
                size += abs(force[i])
                residual[i] = 0.0
                pressure[i] = flow if abs(flow) > _SIGN * size else 0.0
                wrong = max(wrong, -pressure[i])
        else:
            flow, size = 0.0, 0.0
            for i in range(j, k + 1):
                own = (masses[i - 1] if i > 0 else 0.0) + (masses[i] if i < n else 0.0)
                residual[i] = share * own
                flow += residual[i] - force[i]
                size += abs(force[i])
                if i < k or last:
                    pressure[i + 1] = flow if abs(flow) > _SIGN * size else 0.0
                    wrong = max(wrong, -pressure[i + 1])
        j = k + 1
    return wrong


@njit(cache=True, error_model="numpy")
def bounded_direction(
    rows: np.ndarray,
    upper: np.ndarray,
    gradient: np.ndarray,
    masses: np.ndarray,
    room: np.ndarray,
    active: np.ndarray,
    most: int,
    out: np.ndarray,
):
    """The minimiser `out` of the quadratic model with every distance no less than its bound, by a
    primal–dual active set [HintermuellerItoKunisch2002]; `active` starts it and holds what it found.

    `room` `[n+2]`: distance less bound, ∞ where there is none. Where `most` rounds do not settle, `out` leads
    down and no distance at its bound shrinks along it. Returns whether the matrix was positive definite.
    """
    n = masses.size
    after, pressure, residual = np.empty(n + 1), np.empty(n + 2), np.empty(n + 1)
    for _ in range(most):
        if not solve_face(rows, upper, gradient, room, active, out):
            return False
        for j in range(n + 1):
            after[j] = gradient[j] + rows[j] * out[j]
        for i in range(n):
            pull = upper[i] * (out[i + 1] - out[i])
            after[i] += pull
            after[i + 1] -= pull
        multipliers(after, masses, active, pressure, residual)
        changed = False
        for i in range(n + 2):
            if room[i] == np.inf:
                continue
            if active[i]:
                if pressure[i] < 0.0:
                    active[i], changed = False, True
                continue
            low = out[i - 1] if i > 0 else 0.0
            high = out[i] if i <= n else 0.0
            if room[i] + (high - low) < -1e-15 * (abs(high) + abs(low)):
                active[i], changed = True, True
        if not changed:
            return True
    # add-only from the distances that press: the face holds X itself, and so leads down
    for i in range(n + 2):
        active[i] = room[i] <= 0.0
    multipliers(gradient, masses, active, pressure, residual)
    for i in range(n + 2):
        active[i] = active[i] and pressure[i] > 0.0
    changed = True
    while changed:
        if not solve_face(rows, upper, gradient, room, active, out):
            return False
        changed = False
        for i in range(n + 2):
            if not active[i] and room[i] <= 0.0:
                low = out[i - 1] if i > 0 else 0.0
                high = out[i] if i <= n else 0.0
                if high < low:
                    active[i], changed = True, True
    return True
