"""Masses moved by x ↦ x − ∇ψ(x), ψ at cell centres: a cell fills the box between the images of its faces.

The slopes of ψ between neighbouring centres move the faces, so that along an axis the images of the cells
tile: nothing is lost or counted twice, and where ψ has a kink one cell spans the gap. Across the axis a cell
shears: it is cut into pieces, each an upright box moved by the mixed differences. Mass is exact.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.grids import torus
from jko.loops.transport.displacement import lift

_LEAST = 1e-3  # of a cell, the width of an image
_SHEAR = 0.05  # mixed derivative of the map below which a cell is not cut: upright boxes err by its square


def deposit(mass: np.ndarray, psi: np.ndarray, spacing: tuple, periodic: tuple[bool, ...] = ()):
    """(id − ∇ψ)_# mass `[*cells]` in 1, 2 or 3 dimensions; faces on the walls of the box stay there, and
    along `periodic` axes mass goes round."""
    if any(periodic):
        around = torus.layers(psi, [1.0 / (h * h) for h in spacing], periodic)
        wide = np.pad(mass, [(count, count) for count in around])
        return torus.folded(deposit(wide, torus.continued(psi, around), spacing), around)
    d, out = mass.ndim, np.zeros(lift(mass).shape)
    h = np.ones(3)
    h[3 - d :] = spacing
    rates = 1.0 / np.outer(h, h)
    rates[: 3 - d], rates[:, : 3 - d] = 0.0, 0.0
    _fill(lift(mass), lift(psi), rates, out)
    return out.reshape(mass.shape)


@njit(inline="always")
def _piece(low, high, number, pieces, shift, n):
    """The ends of a piece's image along an axis, in cells from the lower wall."""
    width = max((high - low) / pieces, _LEAST)
    middle = low + (number + 0.5) * (high - low) / pieces + shift
    first = min(max(middle - 0.5 * width, 0.0), n - _LEAST)
    return first, min(max(middle + 0.5 * width, first + 0.5 * _LEAST), float(n))


@njit(inline="always")
def _pieces(sheared, n):
    return 2 if sheared and n > 1 else 1


@njit(inline="always")
def _mixed(psi, rate, i, iu, il, j, ju, jl):
    return 0.25 * rate * (psi[iu, ju] - psi[iu, jl] - psi[il, ju] + psi[il, jl])


@njit(cache=True, fastmath={"contract", "nsz"})
def _fill(mass: np.ndarray, psi: np.ndarray, rates: np.ndarray, out: np.ndarray):
    n, m, o = mass.shape
    for i in range(n):
        il, iu = max(i - 1, 0), min(i + 1, n - 1)
        for j in range(m):
            jl, ju = max(j - 1, 0), min(j + 1, m - 1)
            for k in range(o):
                if mass[i, j, k] <= 0.0:
                    continue
                kl, ku = max(k - 1, 0), min(k + 1, o - 1)
                p = psi[i, j, k]
                x0 = i - rates[0, 0] * (p - psi[il, j, k])
                x1 = i + 1.0 - rates[0, 0] * (psi[iu, j, k] - p)
                y0 = j - rates[1, 1] * (p - psi[i, jl, k])
                y1 = j + 1.0 - rates[1, 1] * (psi[i, ju, k] - p)
                z0 = k - rates[2, 2] * (p - psi[i, j, kl])
                z1 = k + 1.0 - rates[2, 2] * (psi[i, j, ku] - p)
                xy = _mixed(psi[:, :, k], rates[0, 1], i, iu, il, j, ju, jl)
                xz = _mixed(psi[:, j, :], rates[0, 2], i, iu, il, k, ku, kl)
                yz = _mixed(psi[i, :, :], rates[1, 2], j, ju, jl, k, ku, kl)
                sheared = abs(xy) + abs(xz) + abs(yz) > _SHEAR
                p0, p1, p2 = (_pieces(sheared, n), _pieces(sheared, m), _pieces(sheared, o))
                share = mass[i, j, k] / (p0 * p1 * p2)
                for a in range(p0):
                    u = (a + 0.5) / p0 - 0.5
                    for b in range(p1):
                        v = (b + 0.5) / p1 - 0.5
                        for c in range(p2):
                            w = (c + 0.5) / p2 - 0.5
                            ends = (
                                *_piece(x0, x1, a, p0, -xy * v - xz * w, n),
                                *_piece(y0, y1, b, p1, -xy * u - yz * w, m),
                                *_piece(z0, z1, c, p2, -xz * u - yz * v, o),
                            )
                            _lay_down(share, ends, out)


@njit(inline="always")
def _lay_down(mass, ends, out: np.ndarray):
    n, m, o = out.shape
    x0, x1, y0, y1, z0, z1 = ends
    mass /= (x1 - x0) * (y1 - y0) * (z1 - z0)
    first, last = int(z0), min(int(z1), o - 1)
    for a in range(int(x0), min(int(x1), n - 1) + 1):
        u = mass * (min(x1, a + 1.0) - max(x0, float(a)))
        for b in range(int(y0), min(int(y1), m - 1) + 1):
            v = u * (min(y1, b + 1.0) - max(y0, float(b)))
            for c in range(first, last + 1):
                out[a, b, c] += v * (min(z1, c + 1.0) - max(z0, float(c)))
