"""From particles to a mesh and back with a window, in three dimensions; fewer have axes of one point first.

Particles are sorted into slabs of the first axis; slabs of even and of odd number are spread one after the
other, so that no two threads write to one place and the sums do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.forces.elementary import FAST
from jko.loops.threads import shared


@njit(cache=True, error_model="numpy")
def sorted_into_bins(keys: np.ndarray, count: int):
    """(order, starts `[count + 1]`): a stable counting sort of whole numbers below count."""
    starts = np.zeros(count + 1, np.int64)
    for i in range(keys.size):
        starts[keys[i] + 1] += 1
    for b in range(count):
        starts[b + 1] += starts[b]
    place, order = starts[:-1].copy(), np.empty(keys.size, np.int64)
    for i in range(keys.size):
        order[place[keys[i]]] = i
        place[keys[i]] += 1
    return order, starts


def bin_keys(
    x: np.ndarray, scale: np.ndarray, shift: np.ndarray, slab: int, columns: int, width: int, axis: int
):
    """Bins of 8 mesh points of the last axis within slabs of `axis`, for positions `[d, n]`."""
    keys = np.empty(x.shape[1], np.int64)
    shared(_bin_keys, x.shape[1], x, scale, shift, slab, columns, axis, keys)
    return keys


@njit(cache=True, nogil=True, error_model="numpy")
def _bin_keys(begin: int, end: int, x: np.ndarray, scale: np.ndarray, shift: np.ndarray, slab: int,
              columns: int, axis: int, keys: np.ndarray):  # fmt: skip
    last = x.shape[0] - 1
    for i in range(begin, end):
        first = int((x[axis, i] - shift[axis]) * scale[axis]) // slab
        column = int((x[last, i] - shift[last]) * scale[last]) // 8 if last != axis else 0
        keys[i] = first * columns + min(column, columns - 1)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _weights(g: float, width: int, pieces: np.ndarray, out: np.ndarray):
    # the window of a particle at mesh coordinate g: fills out, returns its first mesh point
    left = g - 0.5 * width
    first = int(np.ceil(left))
    u = 2.0 * (first - left) - 1.0
    top = pieces.shape[0] - 1
    if pieces.shape[1] == 8:
        for a in range(8):
            p = pieces[top, a]
            for n in range(top - 1, -1, -1):
                p = p * u + pieces[n, a]
            out[a] = p
    else:
        for a in range(16):
            p = pieces[top, a]
            for n in range(top - 1, -1, -1):
                p = p * u + pieces[n, a]
            out[a] = p
    return first


def spread(
    x: np.ndarray,
    charges: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    pieces: np.ndarray,
    width: int,
    shape: np.ndarray,
):
    """The mesh `shape` of Σ_j q_j ψ(· − x_j), positions `[3, n]`; an axis of one point is left alone."""
    mesh, slabs = np.zeros((shape[0], shape[1], shape[2])), starts.size - 1
    for parity in range(2):
        count = (slabs + 1 - parity) // 2
        shared(_spread_slabs, count, parity, x, charges, order, starts, scale, shift, pieces, width, mesh)
    return mesh


@njit(cache=True, nogil=True)
def _spread_slabs(begin: int, end: int, parity: int, x: np.ndarray, charges: np.ndarray, order: np.ndarray,
                  starts: np.ndarray, scale: np.ndarray, shift: np.ndarray, pieces: np.ndarray, width: int,
                  mesh: np.ndarray):  # fmt: skip
    for half in range(begin, end):
        slab = 2 * half + parity
        _spread_some(x, charges, order[starts[slab] : starts[slab + 1]], scale, shift, pieces, width, mesh)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _spread_some(
    x: np.ndarray,
    charges: np.ndarray,
    particles: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    pieces: np.ndarray,
    width: int,
    mesh: np.ndarray,
):
    shape = mesh.shape
    a, b, c = np.zeros(16), np.zeros(16), np.zeros(16)
    a[0], b[0] = 1.0, 1.0
    na, nb = (width if shape[0] > 1 else 1), (width if shape[1] > 1 else 1)
    i0, j0 = 0, 0
    for i in particles:
        if na > 1:
            i0 = _weights((x[0, i] - shift[0]) * scale[0], width, pieces, a)
        if nb > 1:
            j0 = _weights((x[1, i] - shift[1]) * scale[1], width, pieces, b)
        k0 = _weights((x[2, i] - shift[2]) * scale[2], width, pieces, c)
        for r in range(na):
            for s in range(nb):
                q = charges[i] * a[r] * b[s]
                if pieces.shape[1] == 8:
                    row = mesh[i0 + r, j0 + s, k0 : k0 + 8]
                    for t in range(8):
                        row[t] += q * c[t]
                else:
                    row = mesh[i0 + r, j0 + s, k0 : k0 + 16]
                    for t in range(16):
                        row[t] += q * c[t]


def read(
    mesh: np.ndarray,
    x: np.ndarray,
    order: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    pieces: np.ndarray,
    slopes: np.ndarray,
    width: int,
    derivatives: bool,
):
    """`[4, n]`: Σ ψ(x_i − ·) mesh and, if asked for, its derivatives along the three axes in units of x."""
    out = np.zeros((4, x.shape[1]))
    shared(_read_some, order.size, mesh, x, order, scale, shift, pieces, slopes, width, derivatives, out)
    return out


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _read_some(
    begin: int,
    end: int,
    mesh: np.ndarray,
    x: np.ndarray,
    order: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    pieces: np.ndarray,
    slopes: np.ndarray,
    width: int,
    derivatives: bool,
    out: np.ndarray,
):
    shape = mesh.shape
    w, v = np.zeros((3, 16)), np.zeros((3, 16))
    w[0, 0], w[1, 0] = 1.0, 1.0
    first = np.zeros(3, np.int64)
    na, nb = (width if shape[0] > 1 else 1), (width if shape[1] > 1 else 1)
    for i in order[begin:end]:
        for axis in range(3):
            if shape[axis] > 1 or axis == 2:
                g = (x[axis, i] - shift[axis]) * scale[axis]
                first[axis] = _weights(g, width, pieces, w[axis])
                if derivatives:
                    _weights(g, width, slopes, v[axis])
        value, slope0, slope1, slope2 = 0.0, 0.0, 0.0, 0.0
        for r in range(na):
            for s in range(nb):
                row = mesh[first[0] + r, first[1] + s, first[2] : first[2] + pieces.shape[1]]
                e, f = 0.0, 0.0
                if pieces.shape[1] == 8:
                    for t in range(8):
                        e += w[2, t] * row[t]
                        f += v[2, t] * row[t]
                else:
                    for t in range(16):
                        e += w[2, t] * row[t]
                        f += v[2, t] * row[t]
                value += w[0, r] * w[1, s] * e
                slope0 += v[0, r] * w[1, s] * e
                slope1 += w[0, r] * v[1, s] * e
                slope2 += w[0, r] * w[1, s] * f
        out[0, i] = value
        # a particle that moves right comes nearer to the first mesh point on its right
        out[1, i], out[2, i], out[3, i] = -slope0 * scale[0], -slope1 * scale[1], -slope2 * scale[2]
