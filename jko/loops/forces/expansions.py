"""What a box's particles are to boxes far away: charges at Chebyshev points [FongDarve2009].

A kernel that is smooth between two boxes is nearly a polynomial in both arguments there, so its sums are
those over charges at p points an axis.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from jko.loops.forces.elementary import FAST
from jko.loops.forces.interpolation import between, from_moments, points, polynomials, turned
from jko.loops.forces.one_to_many import squared_distances
from jko.loops.forces.profiles import BLOCK, fill


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def charges(
    x: np.ndarray,
    w: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    parent: np.ndarray,
    after: np.ndarray,
    centre: np.ndarray,
    half: np.ndarray,
    shape: np.ndarray,
):
    """`[boxes, points]`: the charges of every box, from the particles x `[3, n]` of the last ones upwards."""
    count = start.size
    q = np.zeros((count, shape[0], shape[1], shape[2]))
    m0, m1, m2 = from_moments(shape[0]), from_moments(shape[1]), from_moments(shape[2])
    for box in prange(count):
        if after[box] == box + 1:
            moments = _moments(x, w, start[box], stop[box], centre[box], half[box], shape)
            q[box] = turned(turned(turned(moments, m2), m1), m0)
    for box in range(count - 1, 0, -1):
        a, b, c = between(box, parent[box], centre, half, m0, m1, m2)
        q[parent[box]] += turned(turned(turned(q[box], c.T), b.T), a.T)
    return q.reshape(count, shape[0] * shape[1] * shape[2])


@njit(cache=True, error_model="numpy")
def _moments(x: np.ndarray, w: np.ndarray, begin: int, end: int, centre: np.ndarray, half, shape: np.ndarray):
    moments = np.zeros((shape[0], shape[1], shape[2]))
    t, s = np.empty((3, 16, BLOCK)), np.empty((3, 16, BLOCK))
    for lo in range(begin, end, BLOCK):
        m = min(BLOCK, end - lo)
        _at(x, lo, m, centre, half, shape, t, s)
        _add_moments(t, w[lo : lo + m], m, moments)
    return moments


@njit(cache=True, error_model="numpy")
def _at(
    x: np.ndarray,
    lo: int,
    m: int,
    centre: np.ndarray,
    half: float,
    shape: np.ndarray,
    t: np.ndarray,
    s: np.ndarray,
):
    for c in range(3):
        polynomials(x[c, lo : lo + m], 1.0 / half, centre[c], shape[c], t[c], s[c])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _add_moments(t: np.ndarray, w: np.ndarray, m: int, moments: np.ndarray):
    both = np.empty(m)
    for a in range(moments.shape[0]):
        for b in range(moments.shape[1]):
            for j in range(m):
                both[j] = w[j] * t[0, a, j] * t[1, b, j]
            for c in range(moments.shape[2]):
                row, e = t[2, c], 0.0
                for j in range(m):
                    e += both[j] * row[j]
                moments[a, b, c] += e


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def fields(
    q: np.ndarray,
    far: np.ndarray,
    ends: np.ndarray,
    centre: np.ndarray,
    half: np.ndarray,
    shape: np.ndarray,
    d: int,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
):
    """`[boxes, points]`: what the charges of far boxes are at each other's points; share s has the pairs from
    ends[s] to ends[s + 1]."""
    shares, count, size = ends.size - 1, q.shape[0], q.shape[1]
    potentials = np.zeros((shares, count, size))
    unit = np.zeros((d, size))
    for k in range(size):
        place = (k // (shape[1] * shape[2]), k // shape[2] % shape[1], k % shape[2])
        for c in range(d):
            unit[c, k] = points(shape[3 - d + c])[place[3 - d + c]]
    for share in prange(shares):
        pairs = far[ends[share] : ends[share + 1]]
        _meet_far(q, pairs, centre, half, unit, codes, numbers, table, potentials[share])
    total = potentials[0]
    for share in range(1, shares):
        total += potentials[share]
    return total


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _meet_far(
    q: np.ndarray,
    pairs: np.ndarray,
    centre: np.ndarray,
    half: np.ndarray,
    unit: np.ndarray,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    potentials: np.ndarray,
):
    d, size = unit.shape
    s, k = np.empty(size), np.empty(size)
    y, z = np.empty((d, size)), np.empty((d, size))
    for pair in range(pairs.shape[0]):
        a, b = pairs[pair]
        for c in range(d):
            # relative to the centre of a: boxes may be small against their distance from 0
            offset = centre[b, 3 - d + c] - centre[a, 3 - d + c]
            for j in range(size):
                y[c, j] = half[a] * unit[c, j]
                z[c, j] = offset + half[b] * unit[c, j]
        there, here, qb = potentials[b], potentials[a], q[b]
        for i in range(size):
            squared_distances(y, i, z, 0, size, s)
            fill(0, s, size, codes, numbers, table, 0.0, k)
            e, qi = 0.0, q[a, i]
            for j in range(size):
                e += qb[j] * k[j]
                there[j] += qi * k[j]
            here[i] += e


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def readings(
    potentials: np.ndarray,
    x: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    parent: np.ndarray,
    after: np.ndarray,
    centre: np.ndarray,
    half: np.ndarray,
    shape: np.ndarray,
):
    """`[4, n]`: the fields of a box and all above it at the particles x `[3, n]`, and their derivatives."""
    count, out = start.size, np.empty((4, x.shape[1]))
    fields = potentials.copy().reshape(count, shape[0], shape[1], shape[2])
    m0, m1, m2 = from_moments(shape[0]), from_moments(shape[1]), from_moments(shape[2])
    for box in range(1, count):
        a, b, c = between(box, parent[box], centre, half, m0, m1, m2)
        fields[box] += turned(turned(turned(fields[parent[box]], c), b), a)
    for box in prange(count):
        if after[box] == box + 1:
            f = turned(turned(turned(fields[box], m2.T.copy()), m1.T.copy()), m0.T.copy())
            _read_all(f, x, start[box], stop[box], centre[box], half[box], shape, out)
    return out


@njit(cache=True, error_model="numpy")
def _read_all(
    f: np.ndarray,
    x: np.ndarray,
    begin: int,
    end: int,
    centre: np.ndarray,
    half: float,
    shape: np.ndarray,
    out: np.ndarray,
):
    t, s = np.empty((3, 16, BLOCK)), np.empty((3, 16, BLOCK))
    for lo in range(begin, end, BLOCK):
        m = min(BLOCK, end - lo)
        _at(x, lo, m, centre, half, shape, t, s)
        _read(f, t, s, m, 1.0 / half, out[:, lo : lo + m])


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _read(f: np.ndarray, t: np.ndarray, s: np.ndarray, m: int, scale: float, out: np.ndarray):
    e, g = np.empty(m), np.empty(m)
    value, slope0, slope1, slope2 = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros(m)
    for a in range(f.shape[0]):
        for b in range(f.shape[1]):
            e[:], g[:] = 0.0, 0.0
            for c in range(f.shape[2]):
                q, row, slopes = f[a, b, c], t[2, c], s[2, c]
                for j in range(m):
                    e[j] += q * row[j]
                    g[j] += q * slopes[j]
            for j in range(m):
                value[j] += t[0, a, j] * t[1, b, j] * e[j]
                slope0[j] += s[0, a, j] * t[1, b, j] * e[j]
                slope1[j] += t[0, a, j] * s[1, b, j] * e[j]
                slope2[j] += t[0, a, j] * t[1, b, j] * g[j]
    for j in range(m):
        out[0, j], out[1, j], out[2, j], out[3, j] = (
            value[j],
            scale * slope0[j],
            scale * slope1[j],
            scale * slope2[j],
        )
