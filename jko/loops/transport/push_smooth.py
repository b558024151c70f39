"""Positive smooth densities moved on by y ↦ y + σ∇φ(y), in 1, 2 and 3 dimensions.

The map is inverted at every cell centre by Newton's method, and log ρ − log det interpolated by cubics:
order 4 in h, conservative only up to that. Along periodic axes all fields go on by periods.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.grids import torus
from jko.loops.transport.c_transform import c_transform
from jko.loops.transport.displacement import LEAST_DETERMINANT, derivatives, jacobian, lift, lift_all, shifted

_STEPS = 12  # of Newton's method for a point's image; from the nearest cell a few are usual
_CLOSE = 1e-7  # of a cell: the last move of that method


def push_smooth(
    log_density: np.ndarray,
    phi: np.ndarray,
    sigma: float,
    spacing: tuple,
    periodic: tuple[bool, ...] = (),
    fourth: np.ndarray | float = 1.0,
):
    """(log of (id + σ∇φ)_#ρ `[*cells]`, least eigenvalue of I + σD²φ `[*cells]`) from log ρ at the
    centres.

    fourth: the share `[*cells]` of differences of fourth order. The others are wide ones of second order,
    which give no wave more than the narrow differences of an implicit half step do.
    """
    fourth = np.broadcast_to(fourth, phi.shape)
    if any(periodic):
        around = torus.layers(phi, [sigma / (h * h) for h in spacing], periodic)
        wide, far = torus.continued(log_density, around), torus.continued(phi, around)
        share = torus.continued(fourth, around)
        found, least = push_smooth(wide, far, sigma, spacing, (), share)
        return torus.within(found, around), torus.within(least, around)
    cells = phi.shape
    kinds = (derivatives(phi, sigma, spacing, wide) for wide in (False, True))
    gradient, hessian = (fourth * a + (1.0 - fourth) * b for a, b in zip(*kinds, strict=True))
    determinant, least = jacobian(hessian)
    log_image = lift(log_density - np.log(np.maximum(determinant, LEAST_DETERMINANT)))
    start = lift_all(_nearest_minimum(phi, sigma, spacing))
    out = np.empty(log_image.shape)
    _pull(log_image, lift_all(gradient), lift_all(hessian), start, len(cells), out)
    return out.reshape(cells), least


def _nearest_minimum(phi: np.ndarray, sigma: float, spacing: tuple):
    """y − z in cells `[d, *cells]`, y near argmin |y − z|²/2σ + φ(y): where the map folds, the branch to
    take.

    Minus the slopes of the envelope, of the two differences the one that goes with the lower sum: where it
    has a kink the centred one belongs to neither branch.
    """
    envelope = c_transform(-phi, spacing, sigma)
    out = np.empty((phi.ndim, *phi.shape))
    for axis, h in enumerate(spacing):
        at = shifted(envelope, axis, 1)
        left, right = at(0) - at(-1), at(1) - at(0)
        curved = np.abs(left - right) > 0.25 * h * h / sigma
        out[axis] = (
            -sigma / h**2 * np.where(curved, np.where(at(-1) < at(1), left, right), 0.5 * (left + right))
        )
    return out


@njit(inline="always")
def _taps(s, n):
    """First of four neighbours, of one on an axis of one cell, and the cubic weights."""
    s = min(max(s, 0.0), n - 1.0)
    base = min(max(int(s), 1), n - 3)
    t = s - base
    a, b, c = t + 1.0, t - 1.0, t - 2.0
    return base - 1, -t * b * c / 6.0, a * b * c * 0.5, -a * t * c * 0.5, a * t * b / 6.0


@njit(cache=True, fastmath={"contract", "nsz"})
def _pull(
    log_image: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
    start: np.ndarray,
    d: int,
    out: np.ndarray,
):
    """out(z) = log_image(y) with y + gradient(y) = z, in cells; Newton with the derivative at the nearest
    centre."""
    n = log_image.shape
    z, y, move = np.empty(3), np.empty(3), np.empty(3)
    first, weight, count = np.zeros(3, np.int64), np.zeros((3, 4)), np.ones(3, np.int64)
    weight[:, 0] = 1.0
    near = np.zeros(3, np.int64)
    for i in range(n[0]):
        for j in range(n[1]):
            for k in range(n[2]):
                z[0], z[1], z[2] = i, j, k
                for a in range(d):
                    y[3 - d + a] = z[3 - d + a] + start[a, i, j, k]
                for a in range(3 - d):
                    y[a] = 0.0
                for step in range(_STEPS + 1):
                    for a in range(3 - d, 3):
                        y[a] = min(max(y[a], 0.0), n[a] - 1.0)
                        near[a] = int(y[a] + 0.5)
                        count[a] = 4
                        first[a], weight[a, 0], weight[a, 1], weight[a, 2], weight[a, 3] = _taps(y[a], n[a])
                    if step == _STEPS:
                        break
                    size = 0.0
                    move[:] = 0.0
                    for p in range(count[0]):
                        for q in range(count[1]):
                            row = weight[0, p] * weight[1, q]
                            for r in range(4):
                                factor = row * weight[2, r]
                                for a in range(d):
                                    move[3 - d + a] += (
                                        factor * gradient[a, first[0] + p, first[1] + q, first[2] + r]
                                    )
                    for a in range(3 - d, 3):
                        move[a] = z[a] - y[a] - move[a]
                        size = max(size, abs(move[a]))
                    if size < _CLOSE:
                        break
                    _solve(hessian, near, d, move)
                    for a in range(3 - d, 3):
                        y[a] += move[a]
                value = 0.0
                for p in range(count[0]):
                    for q in range(count[1]):
                        row = weight[0, p] * weight[1, q]
                        for r in range(4):
                            value += row * weight[2, r] * log_image[first[0] + p, first[1] + q, first[2] + r]
                out[i, j, k] = value


@njit(inline="always")
def _solve(hessian, at, d, move):
    """move ← (I + H)⁻¹ move at a cell; unchanged where I + H is nearly singular."""
    i, j, k = at[0], at[1], at[2]
    if d == 1:
        move[2] /= max(1.0 + hessian[0, i, j, k], 0.1)
    elif d == 2:
        a, b, c = 1.0 + hessian[0, i, j, k], hessian[1, i, j, k], 1.0 + hessian[2, i, j, k]
        determinant = a * c - b * b
        if determinant > 0.02 and a > 0.0:
            x, y = move[1], move[2]
            move[1], move[2] = (c * x - b * y) / determinant, (a * y - b * x) / determinant
    else:
        a, b, c = 1.0 + hessian[0, i, j, k], hessian[1, i, j, k], hessian[2, i, j, k]
        e, f, g = 1.0 + hessian[3, i, j, k], hessian[4, i, j, k], 1.0 + hessian[5, i, j, k]
        p, q, r = e * g - f * f, c * f - b * g, b * f - c * e
        determinant = a * p + b * q + c * r
        if determinant > 0.02 and a > 0.0 and a * e - b * b > 0.0:
            x, y, z = move[0], move[1], move[2]
            move[0] = (p * x + q * y + r * z) / determinant
            move[1] = (q * x + (a * g - c * c) * y + (b * c - a * f) * z) / determinant
            move[2] = (r * x + (b * c - a * f) * y + (a * e - b * b) * z) / determinant
