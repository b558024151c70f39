"""Masses moved by x ↦ x − ∇ψ(x), ψ at cell centres: a cell fills the box between the images of its faces.

The slopes of ψ between neighbouring centres move the faces, so that along an axis the images of the cells
tile: nothing is lost or counted twice, and where ψ has a kink one cell spans the gap. Mass is exact.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.kernels.displacement import lift

_LEAST = 1e-3  # of a cell, the width of an image


def deposit(mass, psi, spacing):
    """(id − ∇ψ)_# mass `[*cells]` in 1, 2 or 3 dimensions; faces on the walls of the box stay there."""
    out = np.zeros(lift(mass).shape)
    rates = np.zeros(3)
    rates[3 - mass.ndim :] = 1.0 / np.square(spacing)
    _fill(lift(mass), lift(psi), rates, out)
    return out.reshape(mass.shape)


@njit(inline="always")
def _image(below, here, above, i, n, rate):
    """The ends of a cell's image along an axis, in cells from the lower wall."""
    low = i - rate * (here - below)
    high = i + 1.0 - rate * (above - here)
    if high - low < _LEAST:
        low = 0.5 * (low + high - _LEAST)
        high = low + _LEAST
    return min(max(low, 0.0), n - _LEAST), min(max(high, _LEAST), float(n))


@njit(cache=True, fastmath={"contract", "nsz"})
def _fill(mass, psi, rates, out):
    n, m, o = mass.shape
    for i in range(n):
        il, iu = max(i - 1, 0), min(i + 1, n - 1)
        for j in range(m):
            jl, ju = max(j - 1, 0), min(j + 1, m - 1)
            for k in range(o):
                w = mass[i, j, k]
                if w <= 0.0:
                    continue
                p = psi[i, j, k]
                x0, x1 = _image(psi[il, j, k], p, psi[iu, j, k], i, n, rates[0])
                y0, y1 = _image(psi[i, jl, k], p, psi[i, ju, k], j, m, rates[1])
                z0, z1 = _image(psi[i, j, max(k - 1, 0)], p, psi[i, j, min(k + 1, o - 1)], k, o, rates[2])
                w /= (x1 - x0) * (y1 - y0) * (z1 - z0)
                first, last = int(z0), min(int(z1), o - 1)
                for a in range(int(x0), min(int(x1), n - 1) + 1):
                    u = w * (min(x1, a + 1.0) - max(x0, float(a)))
                    for b in range(int(y0), min(int(y1), m - 1) + 1):
                        v = u * (min(y1, b + 1.0) - max(y0, float(b)))
                        for c in range(first, last + 1):
                            out[a, b, c] += v * (min(z1, c + 1.0) - max(z0, float(c)))
