"""log ρ_k(S) + log det DS at cell centres for S(y) = y + τ∇p(y), with differences of fourth order.

The same as `monge_ampere.transported`, whose narrow differences of second order give the better matrix; p is
mirrored at all walls, and repeated along periodic axes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.grids import torus
from jko.loops.grids.cubic import extended_1d, extended_2d, extended_3d
from jko.loops.transport.displacement import LEAST_DETERMINANT, derivatives, jacobian


def transported(
    log_density: np.ndarray, p: np.ndarray, tau: float, spacing: tuple, periodic: tuple[bool, ...] = ()
):
    """(log ρ̂ `[*cells]`, diagonals of (DS)⁻¹ `[d, *cells]`), in 1, 2 and 3 dimensions."""
    if any(periodic):
        around = torus.layers(p, [tau / (h * h) for h in spacing], periodic)
        wide, far = torus.continued(log_density, around), torus.continued(p, around)
        log, diagonal = transported(wide, far, tau, spacing)
        return torus.within(log, around), torus.within(diagonal, around)
    shift, hessian = derivatives(p, tau, spacing)
    determinant, _ = jacobian(hessian)
    determinant = np.maximum(determinant, LEAST_DETERMINANT)
    out = np.empty(p.shape)
    (_pull_1d, _pull_2d, _pull_3d)[p.ndim - 1](log_density, shift, out)
    out += np.log(determinant)
    return out, np.clip(_minors(hessian) / determinant, 0.0, 1.0 / LEAST_DETERMINANT)


def _minors(hessian: np.ndarray):
    """Those of I + H that go with its diagonal, H by the rows of its upper triangle."""
    if len(hessian) == 1:
        return np.ones_like(hessian)
    if len(hessian) == 3:
        return 1.0 + hessian[[2, 0]]
    xx, xy, xz, yy, yz, zz = hessian
    xx, yy, zz = 1.0 + xx, 1.0 + yy, 1.0 + zz
    return np.stack([yy * zz - yz * yz, xx * zz - xz * xz, xx * yy - xy * xy])


@njit(cache=True)
def _pull_1d(values, shift, out):
    for i in range(out.shape[0]):
        out[i] = extended_1d(values, i + shift[0, i])


@njit(cache=True)
def _pull_2d(values: np.ndarray, shift: np.ndarray, out: np.ndarray):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = extended_2d(values, i + shift[0, i, j], j + shift[1, i, j])


@njit(cache=True)
def _pull_3d(values, shift, out):
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = extended_3d(
                    values, i + shift[0, i, j, k], j + shift[1, i, j, k], k + shift[2, i, j, k]
                )
