"""What a box's particles are to boxes far away: charges at Chebyshev points [FongDarve2009].

A kernel that is smooth between two boxes is nearly a polynomial in both arguments there, so its sums are
those over charges at p points an axis.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.forces.elementary import FAST
from jko.loops.forces.interpolation import between, from_moments, points, polynomials, turned
from jko.loops.forces.one_to_many import squared_distances
from jko.loops.forces.profiles import BLOCK, fill
from jko.loops.threads import shared


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
    q = np.zeros((start.size, *shape))
    m0, m1, m2 = (from_moments(int(p)) for p in shape)
    shared(_charges_of_leaves, start.size, x, w, start, stop, after, centre, half, shape, m0, m1, m2, q)
    _charges_upwards(parent, centre, half, m0, m1, m2, q)
    return q.reshape(start.size, -1)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _charges_of_leaves(begin: int, end: int, x: np.ndarray, w: np.ndarray, start: np.ndarray,
                       stop: np.ndarray, after: np.ndarray, centre: np.ndarray, half: np.ndarray,
                       shape: np.ndarray, m0: np.ndarray, m1: np.ndarray, m2: np.ndarray,
                       q: np.ndarray):  # fmt: skip
    for box in range(begin, end):
        if after[box] == box + 1:
            moments = _moments(x, w, start[box], stop[box], centre[box], half[box], shape)
            _add(turned(turned(turned(moments, m2), m1), m0), q[box])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _charges_upwards(parent: np.ndarray, centre: np.ndarray, half: np.ndarray, m0: np.ndarray,
                     m1: np.ndarray, m2: np.ndarray, q: np.ndarray):  # fmt: skip
    for box in range(parent.size - 1, 0, -1):
        a, b, c = between(box, parent[box], centre, half, m0, m1, m2)
        _add(turned(turned(turned(q[box], _transposed(c)), _transposed(b)), _transposed(a)), q[parent[box]])


@njit(cache=True, error_model="numpy")
def _add(a: np.ndarray, out: np.ndarray):
    """out += a; written out, since numba's own takes seconds to compile."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] += a[i, j, k]


@njit(cache=True, error_model="numpy")
def _transposed(a: np.ndarray):
    out = np.empty((a.shape[1], a.shape[0]))
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[j, i] = a[i, j]
    return out


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
    shares, (count, size) = ends.size - 1, q.shape
    potentials = np.zeros((shares, count, size))
    axes = np.meshgrid(*(points(int(p)) for p in shape), indexing="ij")
    unit = np.ascontiguousarray(np.stack([axis.ravel() for axis in axes[3 - d :]]))
    shared(_meet_far, shares, q, far, ends, centre, half, unit, codes, numbers, table, potentials)
    return potentials.sum(axis=0)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _meet_far(
    begin: int,
    end: int,
    q: np.ndarray,
    far: np.ndarray,
    ends: np.ndarray,
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
    for share in range(begin, end):
        for pair in range(ends[share], ends[share + 1]):
            a, b = far[pair]
            for c in range(d):
                # relative to the centre of a: boxes may be small against their distance from 0
                offset = centre[b, 3 - d + c] - centre[a, 3 - d + c]
                for j in range(size):
                    y[c, j] = half[a] * unit[c, j]
                    z[c, j] = offset + half[b] * unit[c, j]
            there, here, qb = potentials[share, b], potentials[share, a], q[b]
            for i in range(size):
                squared_distances(y, i, z, 0, size, s)
                fill(0, s, size, codes, numbers, table, 0.0, k)
                e, qi = 0.0, q[a, i]
                for j in range(size):
                    e += qb[j] * k[j]
                    there[j] += qi * k[j]
                here[i] += e


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
    fields = potentials.reshape(count, *shape).copy()
    m0, m1, m2 = (from_moments(int(p)) for p in shape)
    _fields_downwards(parent, centre, half, m0, m1, m2, fields)
    down = tuple(np.ascontiguousarray(m.T) for m in (m0, m1, m2))
    shared(_read_leaves, count, fields, x, start, stop, after, centre, half, shape, *down, out)
    return out


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _fields_downwards(parent: np.ndarray, centre: np.ndarray, half: np.ndarray, m0: np.ndarray,
                      m1: np.ndarray, m2: np.ndarray, fields: np.ndarray):  # fmt: skip
    for box in range(1, parent.size):
        a, b, c = between(box, parent[box], centre, half, m0, m1, m2)
        _add(turned(turned(turned(fields[parent[box]], c), b), a), fields[box])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _read_leaves(begin: int, end: int, fields: np.ndarray, x: np.ndarray, start: np.ndarray,
                 stop: np.ndarray, after: np.ndarray, centre: np.ndarray, half: np.ndarray,
                 shape: np.ndarray, m0: np.ndarray, m1: np.ndarray, m2: np.ndarray,
                 out: np.ndarray):  # fmt: skip
    for box in range(begin, end):
        if after[box] == box + 1:
            f = turned(turned(turned(fields[box], m2), m1), m0)
            _read_all(f, x, start[box], stop[box], centre[box], half[box], shape, out)


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
            for j in range(m):
                e[j], g[j] = 0.0, 0.0
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
