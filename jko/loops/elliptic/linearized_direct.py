"""The linearised step of an entropy on small grids and on lines: Newton's method with a banded elimination.

All of it in one call, since on 5² cells a call of numpy costs as much as an elimination. Fields of three
axes as in `linearized_flux`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.elliptic.linearized_flux import adjoint, advected, balance, hamilton_jacobi

_RISE = 2.0  # of log ρ in one iteration, at most
_TINY = 1e-290  # the density of an empty cell to an entropy, whose logarithm is finite


def bandwidth(cells: tuple) -> int:
    """Of the Hessian, whose rows reach two cells along each of three axes."""
    planes, rows, n = cells
    return 2 * (rows * n if planes > 1 else n if rows > 1 else 1)


@njit(cache=True, error_model="numpy")
def solve(
    before, potential, scale, bend, temperature, width, volume, tolerance: float, floor, most, phi, pressure
):
    """Newton's method in φ and q = U′(ρ), both changed in place, to a gap of `tolerance` · (τ/2)∫|∇φ|²ρ or
    `floor`.

    ρ − τ∇·(ρ∇φ) = ρ_k and q = φ + bend·(τ/2)|∇φ|² − V, which holds exactly at the end. Returns the
    iterations, −1 where the matrix was not positive definite or a number left float64, with the gap and
    (τ/2)∫|∇φ|²ρ.
    """
    shape, count = phi.shape, phi.size
    exact, work, change, bent = np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape)
    density, curvature, mismatch = np.empty(shape), np.empty(shape), np.empty(shape)
    imbalance, right, zero, step = np.empty(shape), np.empty(shape), np.zeros(shape), np.empty(shape)
    band, ended, iterations = np.empty((count, width + 1)), False, 0
    while True:
        _combine(bend, phi, 0.0, phi, bent)
        hamilton_jacobi(phi, potential, bend * scale, exact)
        hamilton_jacobi(phi, zero, scale, work)
        if ended:
            _combine(1.0, exact, 0.0, exact, pressure)
        _state(pressure, exact, temperature, density, curvature, mismatch)
        balance(density, phi, before, scale, imbalance)
        gap, transport = _measured(before, temperature, density, curvature, mismatch, imbalance, work, phi)
        gap, transport = volume * gap, volume * transport
        if not np.isfinite(gap):
            return -1, gap, transport
        if ended:
            return iterations, gap, transport
        ended = (gap <= tolerance * transport + floor and iterations > 0) or iterations == most
        if ended:
            continue
        iterations += 1
        _multiply(curvature, mismatch, work)
        adjoint(work, bent, density, zero, scale, right)
        _combine(1.0, right, 1.0, imbalance, step)
        _assemble(bent, density, curvature, scale, width, band)
        if not _eliminate(band, width, step.reshape(count)):
            return -1, gap, transport
        advected(step, bent, scale, change)
        _move(change, mismatch, _RISE * temperature, pressure)
        _combine(1.0, phi, 1.0, step, phi)


# loops over cells, since every expression of whole arrays takes a second to compile


@njit(cache=True, error_model="numpy")
def _combine(a, x, b, y, out: np.ndarray):
    """a x + b y."""
    for c in np.ndindex(out.shape):
        out[c] = a * x[c] + b * y[c]


@njit(cache=True, error_model="numpy")
def _multiply(x, y, out):
    """x y."""
    for c in np.ndindex(out.shape):
        out[c] = x[c] * y[c]


@njit(cache=True, error_model="numpy")
def _state(pressure, exact, temperature, density, curvature, mismatch):
    """ρ = exp(q/θ − 1), 1/U″(ρ) = ρ/θ, and q less what φ asks for."""
    for c in np.ndindex(density.shape):
        density[c] = np.exp(pressure[c] / temperature - 1.0)
        curvature[c] = density[c] / temperature
        mismatch[c] = pressure[c] - exact[c]


@njit(cache=True, error_model="numpy")
def _measured(before, temperature, density, curvature, mismatch, imbalance, work, phi):
    """The gap and (τ/2)∫|∇φ|²ρ, sums over cells."""
    gap, transport = 0.0, 0.0
    for c in np.ndindex(density.shape):
        diagonal = max(max(before[c], density[c]) / temperature, _TINY)
        gap += 0.5 * (imbalance[c] ** 2 / diagonal + mismatch[c] ** 2 * curvature[c])
        transport += (work[c] - phi[c]) * density[c]
    return gap, transport


@njit(cache=True, error_model="numpy")
def _move(change, mismatch, most, pressure):
    """q + min(change − mismatch, most)."""
    for c in np.ndindex(pressure.shape):
        pressure[c] += min(change[c] - mismatch[c], most)


@njit(cache=True, error_model="numpy")
def _assemble(phi, rho, curvature, scale, width, band):
    """AᵀU*″A − τ∇·(ρ∇), its lower half by rows: band[i, width + j − i] for j ≤ i."""
    planes, rows, n = phi.shape
    band[:] = 0.0
    at, value = np.empty(7, np.int64), np.empty(7)
    for i in range(planes):
        for j in range(rows):
            for k in range(n):
                own = (i * rows + j) * n + k
                number = 1
                at[0], value[0] = own, 1.0
                for side in range(6):
                    u = i + (side == 0) - (side == 1)
                    v = j + (side == 2) - (side == 3)
                    w = k + (side == 4) - (side == 5)
                    if u < 0 or v < 0 or w < 0 or u >= planes or v >= rows or w >= n:
                        continue
                    other = (u * rows + v) * n + w
                    rate = scale[side // 2]
                    half = 0.5 * rate * (phi[u, v, w] - phi[i, j, k])
                    at[number], value[number] = other, half
                    value[0] -= half
                    number += 1
                    flow = 0.5 * rate * (rho[u, v, w] + rho[i, j, k])
                    band[own, width] += flow
                    if other < own:
                        band[own, width + other - own] -= flow
                for a in range(number):
                    weighted = curvature[i, j, k] * value[a]
                    for b in range(number):
                        if at[b] <= at[a]:
                            band[at[a], width + at[b] - at[a]] += weighted * value[b]


@njit(cache=True, error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
def _eliminate(band, width, x):
    """x ← A⁻¹x by Cholesky's factors, on the band; returns whether A was positive definite."""
    count = x.size
    for i in range(count):
        row = band[i]
        for j in range(max(0, i - width), i + 1):
            other, start = band[j], max(0, i - width)
            total = row[width + j - i]
            shift, base = width - i, width - j
            for k in range(start, j):
                total -= row[shift + k] * other[base + k]
            if j < i:
                row[width + j - i] = total * other[width]
            elif total > 0.0:
                row[width] = 1.0 / np.sqrt(total)
            else:
                return False
        total = x[i]
        for k in range(max(0, i - width), i):
            total -= row[width + k - i] * x[k]
        x[i] = total * row[width]
    for i in range(count - 1, -1, -1):
        x[i] *= band[i, width]
        for k in range(max(0, i - width), i):
            x[k] -= band[i, width + k - i] * x[i]
    return True
