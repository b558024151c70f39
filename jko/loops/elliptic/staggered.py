"""Loops over fields on a grid of space-time staggered like a marker-and-cell grid.

A field u has components on the faces of the cells: `[k + 1, n, m]` across time, `[k, n + 1, m]` and
`[k, n, m + 1]` across space. Fields at centres are `[k, n, m]`.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, fastmath={"contract", "nsz"})
def climb(
    density: np.ndarray,
    across: np.ndarray,
    along: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    sigma: float,
    new_a: np.ndarray,
    new_b: np.ndarray,
    new_c: np.ndarray,
):
    """y′ = P(y + σ I u): I takes the mean of both faces, P projects on the paraboloid a + (b² + c²)/2 ≤ 0.

    The multiplier t of the projection is the root of a convex decreasing function, found by Newton from the
    left.
    """
    steps, n, m = a.shape
    half = 0.5 * sigma
    for k in range(steps):
        for i in range(n):
            for j in range(m):
                p = a[k, i, j] + half * (density[k, i, j] + density[k + 1, i, j])
                q = b[k, i, j] + half * (across[k, i, j] + across[k, i + 1, j])
                r = c[k, i, j] + half * (along[k, i, j] + along[k, i, j + 1])
                square = 0.5 * (q * q + r * r)
                if p + square > 0.0:
                    t = max(p, 0.0)
                    for _ in range(30):
                        w = 1.0 / (1.0 + t)
                        step = (p - t + square * w * w) / (1.0 + 2.0 * square * w * w * w)
                        t += step
                        if step <= 1e-7 * (1.0 + t):
                            break
                    w = 1.0 / (1.0 + t)
                    p, q, r = p - t, q * w, r * w
                new_a[k, i, j], new_b[k, i, j], new_c[k, i, j] = p, q, r


@njit(cache=True, fastmath={"contract", "nsz"})
def descend(
    density: np.ndarray,
    across: np.ndarray,
    along: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    tau: float,
    new_density: np.ndarray,
    new_across: np.ndarray,
    new_along: np.ndarray,
):
    """u′ = u - τ Iᵀy on the faces inside; those on the walls, and at the first and last time, stay."""
    steps, n, m = a.shape
    half = 0.5 * tau
    new_density[0], new_density[steps] = density[0], density[steps]
    for k in range(1, steps):
        for i in range(n):
            for j in range(m):
                new_density[k, i, j] = density[k, i, j] - half * (a[k - 1, i, j] + a[k, i, j])
    for k in range(steps):
        new_across[k, 0], new_across[k, n] = 0.0, 0.0
        for i in range(1, n):
            for j in range(m):
                new_across[k, i, j] = across[k, i, j] - half * (b[k, i - 1, j] + b[k, i, j])
        for i in range(n):
            new_along[k, i, 0], new_along[k, i, m] = 0.0, 0.0
            for j in range(1, m):
                new_along[k, i, j] = along[k, i, j] - half * (c[k, i, j - 1] + c[k, i, j])


@njit(cache=True, fastmath={"contract", "nsz"})
def divergence(density: np.ndarray, across: np.ndarray, along: np.ndarray, rates: tuple, out: np.ndarray):
    """∂t + div at the centres; rates are the reciprocal spacings of time and space."""
    steps, n, m = out.shape
    rt, rx, ry = rates
    for k in range(steps):
        for i in range(n):
            for j in range(m):
                out[k, i, j] = (
                    rt * (density[k + 1, i, j] - density[k, i, j])
                    + rx * (across[k, i + 1, j] - across[k, i, j])
                    + ry * (along[k, i, j + 1] - along[k, i, j])
                )


@njit(cache=True, fastmath={"contract", "nsz"})
def add_gradient(density: np.ndarray, across: np.ndarray, along: np.ndarray, phi: np.ndarray, rates: tuple):
    """u += ∇φ on the faces inside."""
    steps, n, m = phi.shape
    rt, rx, ry = rates
    for k in range(steps):
        for i in range(n):
            for j in range(m):
                here = phi[k, i, j]
                if k > 0:
                    density[k, i, j] += rt * (here - phi[k - 1, i, j])
                if i > 0:
                    across[k, i, j] += rx * (here - phi[k, i - 1, j])
                if j > 0:
                    along[k, i, j] += ry * (here - phi[k, i, j - 1])


@njit(cache=True, fastmath={"contract", "nsz"})
def combine(x: np.ndarray, y: np.ndarray, weight: float, out: np.ndarray):
    """out = x + weight (y - x), elementwise on flat arrays."""
    for i in range(x.size):
        out[i] = x[i] + weight * (y[i] - x[i])
