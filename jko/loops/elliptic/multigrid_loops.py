"""The loops of `multigrid`: all fields of three axes, the first of one cell on lines and planes."""

from __future__ import annotations

import numpy as np
from numba import njit

_FAST = {"contract", "nsz", "reassoc", "arcp"}


@njit(cache=True, fastmath=_FAST)
def dot(w: np.ndarray, a: np.ndarray, b: np.ndarray):
    total = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            part = np.float32(0.0)
            for k in range(a.shape[2]):
                part += w[i, j, k] * a[i, j, k] * b[i, j, k]
            total += part
    return total


@njit(cache=True, fastmath=_FAST)
def combine(d: np.ndarray, beta: float, z: np.ndarray):
    for i in range(d.shape[0]):
        for j in range(d.shape[1]):
            for k in range(d.shape[2]):
                d[i, j, k] = z[i, j, k] + beta * d[i, j, k]


@njit(cache=True, fastmath=_FAST)
def advance(x: np.ndarray, r: np.ndarray, d: np.ndarray, q: np.ndarray, w: np.ndarray, alpha: float):
    total = 0.0
    for i in range(d.shape[0]):
        for j in range(d.shape[1]):
            part = np.float32(0.0)
            for k in range(d.shape[2]):
                x[i, j, k] += alpha * d[i, j, k]
                value = r[i, j, k] - alpha * q[i, j, k]
                r[i, j, k] = value
                part += w[i, j, k] * value * value
            total += part
    return total


@njit(cache=True, fastmath=_FAST)
def jacobi(u: np.ndarray, d: np.ndarray, f: np.ndarray, inverse: np.ndarray, scale: float):
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            for k in range(u.shape[2]):
                value = scale * inverse[i, j, k] * f[i, j, k]
                d[i, j, k] = value
                u[i, j, k] = value


@njit(cache=True, fastmath=_FAST)
def _row(
    i: int,
    j: int,
    u: np.ndarray,
    out: np.ndarray,
    a_up: np.ndarray,
    a_down: np.ndarray,
    b_up: np.ndarray,
    b_down: np.ndarray,
    c_up: np.ndarray,
    c_down: np.ndarray,
):
    """out = Σ c(uᵢ − uⱼ) along one row; the coefficients through the ends of an axis are 0 at walls."""
    planes, rows, n = u.shape
    centre, upper, lower = u[i, j], u[i, j + 1 if j + 1 < rows else 0], u[i, j - 1]
    if rows > 1:
        up, down = b_up[i, j], b_down[i, j]
        for k in range(n):
            out[k] = up[k] * (centre[k] - upper[k]) + down[k] * (centre[k] - lower[k])
    else:
        for k in range(n):
            out[k] = np.float32(0.0)
    if planes > 1:
        upper, lower = u[i + 1 if i + 1 < planes else 0, j], u[i - 1, j]
        up, down = a_up[i, j], a_down[i, j]
        for k in range(n):
            out[k] += up[k] * (centre[k] - upper[k]) + down[k] * (centre[k] - lower[k])
    if n > 1:
        up, down = c_up[i, j], c_down[i, j]
        out[0] += up[0] * (centre[0] - centre[1]) + down[0] * (centre[0] - centre[n - 1])
        for k in range(1, n - 1):
            out[k] += up[k] * (centre[k] - centre[k + 1]) + down[k] * (centre[k] - centre[k - 1])
        out[n - 1] += up[n - 1] * (centre[n - 1] - centre[0]) + down[n - 1] * (centre[n - 1] - centre[n - 2])


@njit(cache=True, fastmath=_FAST)
def apply(
    u: np.ndarray,
    w: np.ndarray,
    out: np.ndarray,
    a_up: np.ndarray,
    a_down: np.ndarray,
    b_up: np.ndarray,
    b_down: np.ndarray,
    c_up: np.ndarray,
    c_down: np.ndarray,
):
    """out = Lu; the weighted product ⟨u, Lu⟩."""
    total = 0.0
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            row, centre, weight = out[i, j], u[i, j], w[i, j]
            _row(i, j, u, row, a_up, a_down, b_up, b_down, c_up, c_down)
            part = np.float32(0.0)
            for k in range(u.shape[2]):
                row[k] += centre[k]
                part += weight[k] * centre[k] * row[k]
            total += part
    return total


@njit(cache=True, fastmath=_FAST)
def relax(
    u: np.ndarray,
    d: np.ndarray,
    f: np.ndarray,
    inverse: np.ndarray,
    a: float,
    b: float,
    a_up: np.ndarray,
    a_down: np.ndarray,
    b_up: np.ndarray,
    b_down: np.ndarray,
    c_up: np.ndarray,
    c_down: np.ndarray,
):
    """d ← a·d + b·D⁻¹(f − Lu), then u ← u + d."""
    row = np.empty(u.shape[2], np.float32)
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            _row(i, j, u, row, a_up, a_down, b_up, b_down, c_up, c_down)
            centre, step, right, scale = u[i, j], d[i, j], f[i, j], inverse[i, j]
            for k in range(u.shape[2]):
                old = a * step[k] if a != 0 else np.float32(0.0)
                step[k] = old + b * scale[k] * (right[k] - centre[k] - row[k])
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            for k in range(u.shape[2]):
                u[i, j, k] += d[i, j, k]


@njit(cache=True, fastmath=_FAST)
def restricted_residual(
    u: np.ndarray,
    f: np.ndarray,
    work: np.ndarray,
    coarse: np.ndarray,
    a_up: np.ndarray,
    a_down: np.ndarray,
    b_up: np.ndarray,
    b_down: np.ndarray,
    c_up: np.ndarray,
    c_down: np.ndarray,
):
    """Means over the coarse cells of f − Lu."""
    planes, rows, n = u.shape
    for i in range(planes):
        for j in range(rows):
            row, centre, right = work[i, j], u[i, j], f[i, j]
            _row(i, j, u, row, a_up, a_down, b_up, b_down, c_up, c_down)
            for k in range(n):
                row[k] = right[k] - centre[k] - row[k]
    for i in range(coarse.shape[0]):
        i0, i1 = (2 * i, min(2 * i + 1, planes - 1)) if planes > 1 else (0, 0)
        for j in range(coarse.shape[1]):
            j0, j1 = (2 * j, min(2 * j + 1, rows - 1)) if rows > 1 else (0, 0)
            for k in range(coarse.shape[2]):
                k0, k1 = (2 * k, min(2 * k + 1, n - 1)) if n > 1 else (0, 0)
                total = work[i0, j0, k0] + work[i0, j0, k1] + work[i0, j1, k0] + work[i0, j1, k1]
                if planes > 1:
                    total += work[i1, j0, k0] + work[i1, j0, k1] + work[i1, j1, k0] + work[i1, j1, k1]
                    total *= np.float32(0.5)
                coarse[i, j, k] = np.float32(0.25) * total


@njit(cache=True, fastmath=_FAST)
def add_prolonged(u: np.ndarray, coarse: np.ndarray):
    """u += the coarse field interpolated linearly, constant beyond the outermost centres."""
    planes, rows, n = u.shape
    m = coarse.shape[2]
    line = np.empty(m, np.float32)
    heavy, light = np.float32(0.75), np.float32(0.25)
    for i in range(planes):
        a, e = _pair(i, planes, coarse.shape[0])
        for j in range(rows):
            b, c = _pair(j, rows, coarse.shape[1])
            for k in range(m):
                near = heavy * coarse[a, b, k] + light * coarse[a, c, k]
                if planes > 1:
                    near = heavy * near + light * (heavy * coarse[e, b, k] + light * coarse[e, c, k])
                line[k] = near
            if n == 1:
                u[i, j, 0] += line[0]
                continue
            for k in range(n):
                own, other = _pair(k, n, m)
                u[i, j, k] += heavy * line[own] + light * line[other]


@njit(inline="always")
def _pair(i, fine, coarse):
    """The coarse cell that holds fine cell i, and the next nearest."""
    if fine == 1:
        return 0, 0
    own = i // 2
    other = own + 1 if i % 2 else own - 1
    return own, min(max(other, 0), coarse - 1)
