"""Densities moved by a gradient map x ↦ x − τ∇φ(x) given by a potential at cell centres.

`pull_back` is the change of variables ρ(S)·det DS, S = id − τ∇φ: smooth, second order, conservative only up
to the differences' error. All differences are centred and even-mirrored at the walls of the box, so that S
keeps the walls in place; the second derivatives are differences of the first, on stencils 2h wide, which
suppresses the checkerboard that narrow stencils let through. Along periodic axes both fields go on by
periods.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit

from jko.loops.grids import torus
from jko.loops.threads import shared


def pull_back(
    density: np.ndarray,
    phi: np.ndarray,
    tau: float,
    spacing: tuple,
    threads: int = 1,
    periodic: tuple[bool, ...] = (),
):
    """(ρ(S)·max(det DS, 0), ρ(S)·max cof DS) at cell centres, S(y) = y − τ∇φ(y); ρ is interpolated linearly.

    The second, by the largest diagonal cofactor, is the coefficient ρ(S)·det DS·(DS)⁻¹ of the linearisation.
    """
    shape, turning = phi.shape, periodic or (False,) * phi.ndim
    around = torus.layers(phi, [tau / (h * h) for h in spacing], turning)
    density = torus.continued(density, around)
    if phi.ndim == 1:
        density, phi, spacing = density[None], phi[None], (1.0, *spacing)
        around, turning = (0, *around), (False, *turning)
    h = np.array(spacing)
    out, coefficient = np.empty(phi.shape), np.empty(phi.shape)
    loop = _rows_2d if phi.ndim == 2 else _slabs_3d
    rates = 0.5 * tau / (h * h), 0.25 * tau / np.outer(h, h)
    arguments = (density, np.array(around), _extended(phi, turning), *rates, out, coefficient)
    if threads > 1:
        shared(loop, phi.shape[0], *arguments)
    else:
        loop(0, phi.shape[0], *arguments)
    return out.reshape(shape), coefficient.reshape(shape)


def _extended(phi: np.ndarray, periodic: tuple):
    """φ with two cells more at each end, which differences look at, mirrored at walls and repeated round
    periodic axes."""
    out = np.empty([n + 4 for n in phi.shape])
    out[(slice(2, -2),) * phi.ndim] = phi
    for axis, turns in enumerate(periodic):
        along = out.swapaxes(0, axis)
        along[:2], along[-2:] = (along[those] for those in _continued(phi.shape[axis], turns))
    return out


@lru_cache
def _continued(cells: int, turns: bool):
    """Which of an axis with two cells more at each end the first two repeat, and the last two."""
    cells_of = 2 + np.pad(np.arange(cells), 2, mode="wrap" if turns else "symmetric")
    return cells_of[:2], cells_of[-2:]


@njit(inline="always")
def _locate(s, n):
    """Lower and upper neighbour and the weight of the upper, s in cells counted from the first centre."""
    s = min(max(s, 0.0), n - 1.0)
    i = max(min(int(s), n - 2), 0)
    return i, min(i + 1, n - 1), s - i


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _rows_2d(
    begin: int,
    end: int,
    density: np.ndarray,
    first: np.ndarray,
    phi: np.ndarray,
    scale: np.ndarray,
    cross: np.ndarray,
    out: np.ndarray,
    coefficient: np.ndarray,
):
    n, m = density.shape
    for i in range(begin, end):
        down2, down, io, up, up2 = i, i + 1, i + 2, i + 3, i + 4
        for j in range(out.shape[1]):
            left2, left, jo, right, right2 = j, j + 1, j + 2, j + 3, j + 4
            centre = 2.0 * phi[io, jo]
            xx = 1.0 - cross[0, 0] * (phi[up2, jo] - centre + phi[down2, jo])
            yy = 1.0 - cross[1, 1] * (phi[io, right2] - centre + phi[io, left2])
            xy = cross[0, 1] * (phi[up, right] - phi[up, left] - phi[down, right] + phi[down, left])
            determinant = xx * yy - xy * xy
            a, b, v = _locate(first[0] + i - scale[0] * (phi[up, jo] - phi[down, jo]), n)
            c, d, w = _locate(first[1] + j - scale[1] * (phi[io, right] - phi[io, left]), m)
            low = (1.0 - w) * density[a, c] + w * density[a, d]
            high = (1.0 - w) * density[b, c] + w * density[b, d]
            value = (1.0 - v) * low + v * high
            out[i, j] = determinant * value if determinant > 0.0 and xx > 0.0 else 0.0
            coefficient[i, j] = max(xx, yy) * value


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _slabs_3d(
    begin: int,
    end: int,
    density: np.ndarray,
    first: np.ndarray,
    phi: np.ndarray,
    scale: np.ndarray,
    cross: np.ndarray,
    out: np.ndarray,
    coefficient: np.ndarray,
):
    n, m, p = density.shape
    for i in range(begin, end):
        il2, il, io, iu, iu2 = i, i + 1, i + 2, i + 3, i + 4
        for j in range(out.shape[1]):
            jl2, jl, jo, ju, ju2 = j, j + 1, j + 2, j + 3, j + 4
            for k in range(out.shape[2]):
                kl2, kl, ko, ku, ku2 = k, k + 1, k + 2, k + 3, k + 4
                centre = 2.0 * phi[io, jo, ko]
                xx = 1.0 - cross[0, 0] * (phi[iu2, jo, ko] - centre + phi[il2, jo, ko])
                yy = 1.0 - cross[1, 1] * (phi[io, ju2, ko] - centre + phi[io, jl2, ko])
                zz = 1.0 - cross[2, 2] * (phi[io, jo, ku2] - centre + phi[io, jo, kl2])
                xy = -cross[0, 1] * (phi[iu, ju, ko] - phi[iu, jl, ko] - phi[il, ju, ko] + phi[il, jl, ko])
                xz = -cross[0, 2] * (phi[iu, jo, ku] - phi[iu, jo, kl] - phi[il, jo, ku] + phi[il, jo, kl])
                yz = -cross[1, 2] * (phi[io, ju, ku] - phi[io, ju, kl] - phi[io, jl, ku] + phi[io, jl, kl])
                minor = xx * yy - xy * xy
                determinant = minor * zz - xx * yz * yz - yy * xz * xz + 2.0 * xy * xz * yz
                a, b, u = _locate(first[0] + i - scale[0] * (phi[iu, jo, ko] - phi[il, jo, ko]), n)
                c, d, v = _locate(first[1] + j - scale[1] * (phi[io, ju, ko] - phi[io, jl, ko]), m)
                e, f, w = _locate(first[2] + k - scale[2] * (phi[io, jo, ku] - phi[io, jo, kl]), p)
                low = (1.0 - v) * ((1.0 - w) * density[a, c, e] + w * density[a, c, f])
                low += v * ((1.0 - w) * density[a, d, e] + w * density[a, d, f])
                high = (1.0 - v) * ((1.0 - w) * density[b, c, e] + w * density[b, c, f])
                high += v * ((1.0 - w) * density[b, d, e] + w * density[b, d, f])
                value = (1.0 - u) * low + u * high
                out[i, j, k] = determinant * value if determinant > 0.0 and minor > 0.0 and xx > 0.0 else 0.0
                coefficient[i, j, k] = max(minor, xx * zz - xz * xz, yy * zz - yz * yz) * value
