"""Tridiagonal forms over the cells of a line: edges X `[n+1]` between masses w `[n]`, linear elements.

Every matrix here is symmetric tridiagonal, held as the sums of its rows `[n+1]` and its upper neighbour
`[n]`: stiff cells, whose rigidity may be 1e20 times a mass, cancel in the sums before they are rounded.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# two-point Gauss quadrature on (0, 1): exact for cubics, so that the mass matrix comes out exact
NEAR, FAR = 0.5 - 0.5 / np.sqrt(3.0), 0.5 + 0.5 / np.sqrt(3.0)


@njit(cache=True, error_model="numpy")
def gauss_points(edges: np.ndarray):
    """The two Gauss points of every cell, `[2, n]`."""
    n = edges.size - 1
    points = np.empty((2, n))
    for i in range(n):
        points[0, i] = FAR * edges[i] + NEAR * edges[i + 1]
        points[1, i] = NEAR * edges[i] + FAR * edges[i + 1]
    return points


@njit(cache=True, error_model="numpy")
def transport_cost(masses: np.ndarray, start: np.ndarray, edges: np.ndarray):
    """W₂² of the piecewise linear map: Σ w (a² + ab + b²)/3 with a, b how far the edges of a cell went."""
    total = 0.0
    for i in range(masses.size):
        a, b = edges[i] - start[i], edges[i + 1] - start[i + 1]
        total += masses[i] * (a * a + a * b + b * b)
    return total / 3.0


@njit(cache=True, error_model="numpy")
def assemble(
    edges: np.ndarray,
    start: np.ndarray,
    masses: np.ndarray,
    pressure: np.ndarray,
    rigidity: np.ndarray,
    slope,
    curvature,
    rate: float,
    least: float,
    gradient: np.ndarray,
    rows: np.ndarray,
    upper: np.ndarray,
):
    """Gradient and Hessian of rate·W₂²/2 + Σ e(ΔX) + Σ w V at the edges, into the last three arguments.

    pressure −e′ and rigidity e″ by cell `[n]`; slope V′ and curvature V″ at the Gauss points `[2, n]`, the
    latter with its sign changed below `least`: above −rate, the form stays positive.
    """
    n = masses.size
    gradient[0], rows[0] = 0.0, 0.0
    for i in range(n):
        w = 0.5 * masses[i]
        a, b = edges[i] - start[i], edges[i + 1] - start[i + 1]
        near = w * (rate * (FAR * a + NEAR * b) + slope[0, i])
        far = w * (rate * (NEAR * a + FAR * b) + slope[1, i])
        gradient[i] += FAR * near + NEAR * far + pressure[i]
        gradient[i + 1] = NEAR * near + FAR * far - pressure[i]
        c0 = curvature[0, i] if curvature[0, i] >= least else -curvature[0, i]
        c1 = curvature[1, i] if curvature[1, i] >= least else -curvature[1, i]
        c0, c1 = w * (rate + c0), w * (rate + c1)
        rows[i] += FAR * c0 + NEAR * c1
        rows[i + 1] = NEAR * c0 + FAR * c1
        upper[i] = NEAR * FAR * (c0 + c1) - rigidity[i]


@njit(cache=True, error_model="numpy")
def solve(rows: np.ndarray, upper: np.ndarray, right: np.ndarray, out: np.ndarray):
    """out = A⁻¹ right by elimination; returns whether A was positive definite. Only out is written.

    Row sums are eliminated in the place of the diagonal, so that where the rest is an M-matrix nothing is
    ever subtracted [GrassmannTaksarHeyman1985]. From both ends towards the middle at once, two chains of
    divisions that the processor overlaps.
    """
    n = rows.size
    if n == 1:
        out[0] = right[0] / rows[0]
        return rows[0] > 0.0
    inverse = np.empty(n)
    middle = n // 2
    positive = True
    sum_low, sum_high, last = rows[0], rows[n - 1], 0.0
    out[0], out[n - 1] = right[0], right[n - 1]
    for k in range(1, middle + 1):
        pivot = sum_low - upper[k - 1]
        positive = positive and pivot > 0.0
        inverse[k - 1] = 1.0 / pivot
        factor = upper[k - 1] * inverse[k - 1]
        sum_low = rows[k] - factor * sum_low
        out[k] = right[k] - factor * out[k - 1]
        j = n - 1 - k
        if j >= middle:
            other = sum_high - upper[j]
            positive = positive and other > 0.0
            inverse[j + 1] = 1.0 / other
            back = upper[j] * inverse[j + 1]
            if j > middle:
                sum_high = rows[j] - back * sum_high
                out[j] = right[j] - back * out[j + 1]
            else:
                sum_high, last = back * sum_high, back * out[middle + 1]
    if n > 2:
        sum_low -= sum_high
        out[middle] -= last
    out[middle] /= sum_low
    for i in range(middle - 1, -1, -1):
        out[i] = (out[i] - upper[i] * out[i + 1]) * inverse[i]
    for i in range(middle + 1, n):
        out[i] = (out[i] - upper[i - 1] * out[i - 1]) * inverse[i]
    return positive and sum_low > 0.0


@njit(cache=True, error_model="numpy")
def solve_held(
    rows: np.ndarray,
    upper: np.ndarray,
    stiffening: np.ndarray,
    gradient: np.ndarray,
    first: bool,
    last: bool,
    out: np.ndarray,
):
    """out = −(H + Σ stiffening (d_{i+1} − d_i)²)⁻¹ gradient; the first or the last edge held where so told.

    Returns whether the matrix was positive definite.
    """
    n = upper.size
    sums, beside, right = rows.copy(), upper - stiffening, -gradient
    if first:
        sums[1] -= beside[0]
        sums[0], beside[0], right[0] = 1.0, 0.0, 0.0
    if last:
        sums[n - 1] -= beside[n - 1]
        sums[n], beside[n - 1], right[n] = 1.0, 0.0, 0.0
    return solve(sums, beside, right, out)


@njit(cache=True, error_model="numpy")
def stiffen(
    direction: np.ndarray, widths: np.ndarray, rigidity: np.ndarray, stiffening: np.ndarray, kept: float
):
    """Whether a cell would lose more than `kept` of its width; then cells that lose half are made stiffer."""
    least = 0.0
    for i in range(widths.size):
        least = min(least, (direction[i + 1] - direction[i]) / widths[i])
    if least > -kept:
        return False
    for i in range(widths.size):
        shrink = (direction[i + 1] - direction[i]) / widths[i]
        if shrink < -0.5:
            stiffening[i] -= (rigidity[i] + stiffening[i]) * shrink
    return True


@njit(cache=True, error_model="numpy")
def force(masses: np.ndarray, gradient: np.ndarray):
    """M⁻¹g: the force per unit mass that a gradient at the edges is."""
    n = masses.size
    rows, upper, out = np.zeros(n + 1), np.empty(n), np.empty(n + 1)
    for i in range(n):
        rows[i] += masses[i] / 2.0
        rows[i + 1] += masses[i] / 2.0
        upper[i] = masses[i] / 6.0
    solve(rows, upper, gradient, out)
    return out


@njit(cache=True, error_model="numpy")
def dual_norm_squared(masses: np.ndarray, gradient: np.ndarray):
    """gᵀM⁻¹g with M the mass matrix of linear elements: the squared norm of the force field that g is."""
    out, total = force(masses, gradient), 0.0
    for i in range(gradient.size):
        total += gradient[i] * out[i]
    return total


@njit(cache=True, error_model="numpy")
def merge_light(edges: np.ndarray, widths: np.ndarray, masses: np.ndarray, light: float, narrow: float):
    """Edges, widths, masses, cells lighter than `light` and narrower than `narrow` joined to a neighbour.

    Empty cells (masses 0) are kept, and nothing is joined across them.
    """
    n = masses.size
    new_edges, new_widths, new_masses = np.empty(n + 1), np.empty(n), np.empty(n)
    new_edges[0], new_widths[0], new_masses[0] = edges[0], widths[0], masses[0]
    last = 0
    for i in range(1, n):
        before = new_masses[last] < light and new_widths[last] < narrow
        here = masses[i] < light and widths[i] < narrow
        if (before or here) and masses[i] > 0.0 and new_masses[last] > 0.0:
            new_masses[last] += masses[i]
            new_widths[last] += widths[i]
        else:
            last += 1
            new_edges[last], new_widths[last], new_masses[last] = edges[i], widths[i], masses[i]
    new_edges[last + 1] = edges[n]
    return new_edges[: last + 2], new_widths[: last + 1], new_masses[: last + 1]
