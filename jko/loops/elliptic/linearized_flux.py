"""Centred finite volumes of the linearised step: Hamilton–Jacobi term, balance of mass, and its derivative.

All fields have three axes, the first of one cell on lines and planes; faces carry two-cell means, walls no
flux. `scale` holds τ/h² for each axis. A torus is a box with its last cells repeated round it: `Faces`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FAST = {"contract", "nsz", "reassoc"}


class Faces:
    """The loops below on a grid of three axes, some of which may be periodic."""

    def __init__(self, periodic: tuple):
        self.around = [axis for axis, turns in enumerate(periodic) if turns]
        self.inside = tuple(slice(1, -1) if turns else slice(None) for turns in periodic)

    def apply(self, loop, *fields, scale: np.ndarray, out: np.ndarray | None = None):
        """The result of loop(*fields, scale, ·)."""
        out = np.empty(fields[0].shape) if out is None else out
        if self.around:
            fields = [self._wrapped(field) for field in fields]
            wide = np.empty(fields[0].shape)
            loop(*fields, scale, wide)
            out[:] = wide[self.inside]
        else:
            loop(*fields, scale, out)
        return out

    def _wrapped(self, field: np.ndarray):
        for axis in self.around:
            field = np.concatenate([field.take([-1], axis), field, field.take([0], axis)], axis)
        return field


@njit(cache=True, fastmath=_FAST)
def hamilton_jacobi(phi: np.ndarray, potential: np.ndarray, scale: np.ndarray, out: np.ndarray):
    """out = φ + (τ/2)|∇φ|² − V, the square as the mean over both faces of a cell along each axis."""
    planes, rows, n = phi.shape
    for i in range(planes):
        for j in range(rows):
            for k in range(n):
                centre = phi[i, j, k]
                total = 0.0
                if i + 1 < planes:
                    total += scale[0] * (phi[i + 1, j, k] - centre) ** 2
                if i > 0:
                    total += scale[0] * (phi[i - 1, j, k] - centre) ** 2
                if j + 1 < rows:
                    total += scale[1] * (phi[i, j + 1, k] - centre) ** 2
                if j > 0:
                    total += scale[1] * (phi[i, j - 1, k] - centre) ** 2
                if k + 1 < n:
                    total += scale[2] * (phi[i, j, k + 1] - centre) ** 2
                if k > 0:
                    total += scale[2] * (phi[i, j, k - 1] - centre) ** 2
                out[i, j, k] = centre + 0.25 * total - potential[i, j, k]


@njit(inline="always")
def _flux(a, b, i, j, k, u, v, w):
    """½(a + a′)(b′ − b) towards the neighbour at (u, v, w)."""
    return 0.5 * (a[i, j, k] + a[u, v, w]) * (b[u, v, w] - b[i, j, k])


@njit(cache=True, fastmath=_FAST)
def balance(rho: np.ndarray, phi: np.ndarray, before: np.ndarray, scale: np.ndarray, out: np.ndarray):
    """out = ρ_k − ρ + τ∇·(ρ∇φ)."""
    planes, rows, n = phi.shape
    for i in range(planes):
        for j in range(rows):
            for k in range(n):
                total = 0.0
                if i + 1 < planes:
                    total += scale[0] * _flux(rho, phi, i, j, k, i + 1, j, k)
                if i > 0:
                    total += scale[0] * _flux(rho, phi, i, j, k, i - 1, j, k)
                if j + 1 < rows:
                    total += scale[1] * _flux(rho, phi, i, j, k, i, j + 1, k)
                if j > 0:
                    total += scale[1] * _flux(rho, phi, i, j, k, i, j - 1, k)
                if k + 1 < n:
                    total += scale[2] * _flux(rho, phi, i, j, k, i, j, k + 1)
                if k > 0:
                    total += scale[2] * _flux(rho, phi, i, j, k, i, j, k - 1)
                out[i, j, k] = before[i, j, k] - rho[i, j, k] + total


@njit(inline="always")
def _product(a, b, i, j, k, u, v, w):
    return (a[u, v, w] - a[i, j, k]) * (b[u, v, w] - b[i, j, k])


@njit(cache=True, fastmath=_FAST)
def advected(u: np.ndarray, phi: np.ndarray, scale: np.ndarray, out: np.ndarray):
    """out = A u = u + τ∇φ·∇u."""
    planes, rows, n = phi.shape
    for i in range(planes):
        for j in range(rows):
            for k in range(n):
                total = 0.0
                if i + 1 < planes:
                    total += scale[0] * _product(phi, u, i, j, k, i + 1, j, k)
                if i > 0:
                    total += scale[0] * _product(phi, u, i, j, k, i - 1, j, k)
                if j + 1 < rows:
                    total += scale[1] * _product(phi, u, i, j, k, i, j + 1, k)
                if j > 0:
                    total += scale[1] * _product(phi, u, i, j, k, i, j - 1, k)
                if k + 1 < n:
                    total += scale[2] * _product(phi, u, i, j, k, i, j, k + 1)
                if k > 0:
                    total += scale[2] * _product(phi, u, i, j, k, i, j, k - 1)
                out[i, j, k] = u[i, j, k] + 0.5 * total


@njit(cache=True, fastmath=_FAST)
def adjoint(
    work: np.ndarray, phi: np.ndarray, rho: np.ndarray, u: np.ndarray, scale: np.ndarray, out: np.ndarray
):
    """out = Aᵀ work − τ∇·(ρ∇u)."""
    planes, rows, n = phi.shape
    for i in range(planes):
        for j in range(rows):
            for k in range(n):
                total = 0.0
                if i + 1 < planes:
                    total += scale[0] * _both(work, phi, rho, u, i, j, k, i + 1, j, k)
                if i > 0:
                    total += scale[0] * _both(work, phi, rho, u, i, j, k, i - 1, j, k)
                if j + 1 < rows:
                    total += scale[1] * _both(work, phi, rho, u, i, j, k, i, j + 1, k)
                if j > 0:
                    total += scale[1] * _both(work, phi, rho, u, i, j, k, i, j - 1, k)
                if k + 1 < n:
                    total += scale[2] * _both(work, phi, rho, u, i, j, k, i, j, k + 1)
                if k > 0:
                    total += scale[2] * _both(work, phi, rho, u, i, j, k, i, j, k - 1)
                out[i, j, k] = work[i, j, k] - total


@njit(inline="always")
def _both(work, phi, rho, u, i, j, k, a, b, c):
    return _flux(work, phi, i, j, k, a, b, c) + _flux(rho, u, i, j, k, a, b, c)
