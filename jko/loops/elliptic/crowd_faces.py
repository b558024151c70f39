"""Passes over the faces of cells for a pressure that holds densities below a cap.

A face joins the cells `low` and `high`; `before` and `after` are the faces next to it on the same line, −1
where a wall ends it. Flux goes from the higher to the lower cell where it is positive.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FULL = 1e-6  # of the cap: with less room a crowd is full; far above the 1e-12 to which full cells are known


@njit(cache=True, error_model="numpy")
def gathered(low: np.ndarray, high: np.ndarray, flux: np.ndarray, count: int, sign: float):
    """What `count` cells gain: flux at the lower cell of each face, sign · flux at the higher."""
    out = np.zeros(count)
    for f in range(low.size):
        out[low[f]] += flux[f]
        out[high[f]] += sign * flux[f]
    return out


@njit(cache=True, error_model="numpy")
def limited_sides(
    rho: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    weight: np.ndarray,
    from_low: np.ndarray,
    from_high: np.ndarray,
):
    """weight times the density that each side of a face would send through it, by van Leer's limiter."""
    for f in range(low.size):
        a, b = rho[low[f]], rho[high[f]]
        behind = rho[low[before[f]]] if before[f] >= 0 else a
        beyond = rho[high[after[f]]] if after[f] >= 0 else b
        from_low[f] = weight[f] * _limited(a, b, behind)
        from_high[f] = weight[f] * _limited(b, a, beyond)


@njit(cache=True, error_model="numpy")
def _limited(here: float, ahead: float, behind: float):
    step, back = ahead - here, here - behind
    product = step * back
    return here + product / (step + back) if product > 0.0 else here


@njit(cache=True, error_model="numpy")
def nearness(
    share: np.ndarray,
    full: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    out: np.ndarray,
):
    """1 over the distance, in cells, from a full cell to the front on faces to cells with room, else 1.

    The two cells beyond hold `one` and `two`, the crowd further on is `three` dense, all no more than what is
    before them: where they are alike the front is at the face, and rounding decides nothing. A crowd that is
    full without pressure has no front, for which the centre of the first cell stands.
    """
    for f in range(low.size):
        if full[low[f]] == full[high[f]]:
            out[f] = 1.0
            continue
        ahead, end = (after, high) if full[low[f]] else (before, low)
        one, two, three, face = share[end[f]], 0.0, 0.0, ahead[f]
        if face >= 0:
            two, face = share[end[face]], ahead[face]
            if face >= 0:
                three = share[end[face]]
        two = min(one, two)
        three = min(two, three)
        out[f] = 1.0 / (0.5 + (one + two - 2.0 * three + 0.5 * _FULL) / (1.0 - three + _FULL))


@njit(cache=True, error_model="numpy")
def drifted(
    low: np.ndarray,
    high: np.ndarray,
    slope: np.ndarray,
    held: np.ndarray,
    from_low: np.ndarray,
    from_high: np.ndarray,
    drift: np.ndarray,
    base: np.ndarray,
    mobility: np.ndarray,
    out: np.ndarray,
):
    """The mobility of the side from which `slope` falls, on held faces the mean; base moved by the drift."""
    out[:] = base
    for f in range(low.size):
        if held[f]:
            mobility[f] = 0.5 * (from_low[f] + from_high[f])
        else:
            mobility[f] = from_high[f] if slope[f] > 0.0 else from_low[f]
        flux = mobility[f] * drift[f]
        out[low[f]] += flux
        out[high[f]] -= flux


@njit(cache=True, error_model="numpy")
def pushed(
    low: np.ndarray,
    high: np.ndarray,
    p: np.ndarray,
    near: np.ndarray,
    held: np.ndarray,
    from_low: np.ndarray,
    from_high: np.ndarray,
    drift: np.ndarray,
    base: np.ndarray,
    mobility: np.ndarray,
    rounding: float,
    slope: np.ndarray,
    out: np.ndarray,
    turns: np.ndarray,
):
    """The slope of p + Ψ, base moved by it, and the faces whose direction is not that of their mobility;
    returns how many those are."""
    out[:] = base
    count = 0
    for f in range(low.size):
        slope[f] = drift[f] + near[f] * (p[high[f]] - p[low[f]])
        flux = mobility[f] * slope[f]
        out[low[f]] += flux
        out[high[f]] -= flux
        asked = from_high[f] if slope[f] > 0.0 else from_low[f]
        turns[f] = not held[f] and abs(slope[f] * (asked - mobility[f])) > rounding
        count += turns[f]
    return count


@njit(cache=True, error_model="numpy")
def compressed(
    low: np.ndarray,
    high: np.ndarray,
    weight: np.ndarray,
    place: np.ndarray,
    scale: np.ndarray,
    count: int,
    pointers: np.ndarray,
    rows: np.ndarray,
    values: np.ndarray,
):
    """The scaled matrix of the unknown cells, numbered by `place`, by columns: 1 on the diagonal, −weight of
    a face off it. Returns the number of entries."""
    pointers[:] = 0
    for c in range(count):
        pointers[c + 1] = 1
    for f in range(low.size):
        a, b = place[low[f]], place[high[f]]
        if a >= 0 and b >= 0 and weight[f] > 0.0:
            pointers[a + 1] += 1
            pointers[b + 1] += 1
    for c in range(count):
        pointers[c + 1] += pointers[c]
    filled = pointers[:count].copy()
    for c in range(count):
        rows[filled[c]], values[filled[c]] = c, 1.0
        filled[c] += 1
    for f in range(low.size):
        a, b = place[low[f]], place[high[f]]
        if a >= 0 and b >= 0 and weight[f] > 0.0:
            entry = -weight[f] * scale[a] * scale[b]
            rows[filled[a]], values[filled[a]] = b, entry
            rows[filled[b]], values[filled[b]] = a, entry
            filled[a] += 1
            filled[b] += 1
    return pointers[count]
