"""Densities moved by a gradient map x ↦ x − τ∇φ(x) given by a potential at cell centres.

`pull_back` is the change of variables ρ(S)·det DS, S = id − τ∇φ: smooth, second order, conservative only up
to the differences' error. All differences are centred and even-mirrored at the walls of the box, so that S
keeps the walls in place; the second derivatives are differences of the first, on stencils 2h wide, which
suppresses the checkerboard that narrow stencils let through.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.threads import shared


def pull_back(density: np.ndarray, phi: np.ndarray, tau: float, spacing: tuple, threads: int = 1):
    """(ρ(S)·max(det DS, 0), ρ(S)·max cof DS) at cell centres, S(y) = y − τ∇φ(y); ρ is interpolated linearly.

    The second, by the largest diagonal cofactor, is the coefficient ρ(S)·det DS·(DS)⁻¹ of the linearisation.
    """
    shape = phi.shape
    if phi.ndim == 1:
        density, phi, spacing = density[None], phi[None], (1.0, *spacing)
    h = np.array(spacing)
    out, coefficient = np.empty(phi.shape), np.empty(phi.shape)
    loop = _rows_2d if phi.ndim == 2 else _slabs_3d
    arguments = (density, phi, 0.5 * tau / (h * h), 0.25 * tau / np.outer(h, h), out, coefficient)
    if threads > 1:
        shared(loop, phi.shape[0], *arguments)
    else:
        loop(0, phi.shape[0], *arguments)
    return out.reshape(shape), coefficient.reshape(shape)


@njit(inline="always")
def _mirror(i, n):
    if i < 0:
        i = -i - 1
    elif i >= n:
        i = 2 * n - 1 - i
    return min(max(i, 0), n - 1)


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
    phi: np.ndarray,
    scale: np.ndarray,
    cross: np.ndarray,
    out: np.ndarray,
    coefficient: np.ndarray,
):
    n, m = phi.shape
    for i in range(begin, end):
        up, down, up2, down2 = _mirror(i + 1, n), _mirror(i - 1, n), _mirror(i + 2, n), _mirror(i - 2, n)
        for j in range(m):
            if 2 <= j < m - 2:
                right, left, right2, left2 = j + 1, j - 1, j + 2, j - 2
            else:
                right, left = _mirror(j + 1, m), _mirror(j - 1, m)
                right2, left2 = _mirror(j + 2, m), _mirror(j - 2, m)
            centre = 2.0 * phi[i, j]
            xx = 1.0 - cross[0, 0] * (phi[up2, j] - centre + phi[down2, j])
            yy = 1.0 - cross[1, 1] * (phi[i, right2] - centre + phi[i, left2])
            xy = cross[0, 1] * (phi[up, right] - phi[up, left] - phi[down, right] + phi[down, left])
            determinant = xx * yy - xy * xy
            a, b, v = _locate(i - scale[0] * (phi[up, j] - phi[down, j]), n)
            c, d, w = _locate(j - scale[1] * (phi[i, right] - phi[i, left]), m)
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
    phi: np.ndarray,
    scale: np.ndarray,
    cross: np.ndarray,
    out: np.ndarray,
    coefficient: np.ndarray,
):
    n, m, p = phi.shape
    for i in range(begin, end):
        iu, il, iu2, il2 = _mirror(i + 1, n), _mirror(i - 1, n), _mirror(i + 2, n), _mirror(i - 2, n)
        for j in range(m):
            ju, jl, ju2, jl2 = _mirror(j + 1, m), _mirror(j - 1, m), _mirror(j + 2, m), _mirror(j - 2, m)
            for k in range(p):
                ku, kl, ku2, kl2 = _mirror(k + 1, p), _mirror(k - 1, p), _mirror(k + 2, p), _mirror(k - 2, p)
                centre = 2.0 * phi[i, j, k]
                xx = 1.0 - cross[0, 0] * (phi[iu2, j, k] - centre + phi[il2, j, k])
                yy = 1.0 - cross[1, 1] * (phi[i, ju2, k] - centre + phi[i, jl2, k])
                zz = 1.0 - cross[2, 2] * (phi[i, j, ku2] - centre + phi[i, j, kl2])
                xy = -cross[0, 1] * (phi[iu, ju, k] - phi[iu, jl, k] - phi[il, ju, k] + phi[il, jl, k])
                xz = -cross[0, 2] * (phi[iu, j, ku] - phi[iu, j, kl] - phi[il, j, ku] + phi[il, j, kl])
                yz = -cross[1, 2] * (phi[i, ju, ku] - phi[i, ju, kl] - phi[i, jl, ku] + phi[i, jl, kl])
                minor = xx * yy - xy * xy
                determinant = minor * zz - xx * yz * yz - yy * xz * xz + 2.0 * xy * xz * yz
                a, b, u = _locate(i - scale[0] * (phi[iu, j, k] - phi[il, j, k]), n)
                c, d, v = _locate(j - scale[1] * (phi[i, ju, k] - phi[i, jl, k]), m)
                e, f, w = _locate(k - scale[2] * (phi[i, j, ku] - phi[i, j, kl]), p)
                low = (1.0 - v) * ((1.0 - w) * density[a, c, e] + w * density[a, c, f])
                low += v * ((1.0 - w) * density[a, d, e] + w * density[a, d, f])
                high = (1.0 - v) * ((1.0 - w) * density[b, c, e] + w * density[b, c, f])
                high += v * ((1.0 - w) * density[b, d, e] + w * density[b, d, f])
                value = (1.0 - u) * low + u * high
                out[i, j, k] = determinant * value if determinant > 0.0 and minor > 0.0 and xx > 0.0 else 0.0
                coefficient[i, j, k] = max(minor, xx * zz - xz * xz, yy * zz - yz * yz) * value
