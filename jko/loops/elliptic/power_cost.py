"""Costs |y − x|^p of moves along a line that are linear in each cell: their integrals, exact, and weights.

With a and b the displacements of a cell's two edges, d(s) = (1 − s)a + sb, everything follows from one matrix
a cell, A = ∫|d|^{p−2} (1 − s, s)⊗(1 − s, s) ds: ∫|d|^p = (a, b)A(a, b), and the gradient of ∫|d|^p/p is A(a,
b).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.elliptic.banded import FAR, NEAR

# Gauss–Legendre on [0, 1]: twelve points integrate |d|^{p−2} to rounding where a and b have one sign and a
# ratio of at most 3
NODES, WEIGHTS = 0.5 * np.array(np.polynomial.legendre.leggauss(12)) + np.array([[0.5], [0.0]])


@njit(cache=True, error_model="numpy")
def _cell(a: float, b: float, r: float):
    """∫|d|^r (1 − s)², ∫|d|^r s(1 − s), ∫|d|^r s² for r > −1; zeros where a = b = 0."""
    low, high = min(abs(a), abs(b)), max(abs(a), abs(b))
    if high == 0.0:
        return 0.0, 0.0, 0.0
    left, middle, right = 0.0, 0.0, 0.0
    if a * b > 0.0 and high <= 3.0 * low:
        for k in range(NODES.size):
            s = NODES[k]
            weight = WEIGHTS[k] * abs((1.0 - s) * a + s * b) ** r
            left += weight * (1.0 - s) ** 2
            middle += weight * s * (1.0 - s)
            right += weight * s * s
        return left, middle, right
    # moments of |d|^r dd between a and b, in units of the larger one
    a, b, d = a / high, b / high, (b - a) / high
    pa, pb = abs(a) ** (r + 1.0), abs(b) ** (r + 1.0)
    m0 = (np.sign(b) * pb - np.sign(a) * pa) / (r + 1.0) / d
    m1 = (pb * abs(b) - pa * abs(a)) / (r + 2.0) / d
    m2 = (np.sign(b) * pb * b * b - np.sign(a) * pa * a * a) / (r + 3.0) / d
    left = (m2 - 2.0 * b * m1 + b * b * m0) / (d * d)
    middle = (-m2 + (a + b) * m1 - a * b * m0) / (d * d)
    right = (m2 - 2.0 * a * m1 + a * a * m0) / (d * d)
    size = high**r
    return size * left, size * middle, size * right


@njit(cache=True, error_model="numpy")
def cost(masses: np.ndarray, start: np.ndarray, edges: np.ndarray, p: float):
    """W_p^p of the piecewise linear map, Σ w ∫|d|^p."""
    total = 0.0
    for i in range(masses.size):
        a, b = edges[i] - start[i], edges[i + 1] - start[i + 1]
        left, middle, right = _cell(a, b, p - 2.0)
        total += masses[i] * (a * a * left + 2.0 * a * b * middle + b * b * right)
    return total


@njit(cache=True, error_model="numpy")
def add_gradient(
    masses: np.ndarray, start: np.ndarray, edges: np.ndarray, p: float, rate: float, gradient: np.ndarray
):
    """gradient += that of rate·W_p^p/p at the edges."""
    for i in range(masses.size):
        a, b = edges[i] - start[i], edges[i + 1] - start[i + 1]
        left, middle, right = _cell(a, b, p - 2.0)
        gradient[i] += rate * masses[i] * (left * a + middle * b)
        gradient[i + 1] += rate * masses[i] * (middle * a + right * b)


@njit(cache=True, error_model="numpy")
def add_weights(
    masses: np.ndarray,
    start: np.ndarray,
    edges: np.ndarray,
    wanted: np.ndarray,
    p: float,
    rate: float,
    least: float,
    close: float,
    rows: np.ndarray,
    upper: np.ndarray,
):
    """rows, upper += Σ w κ (1 − s, s)⊗(1 − s, s) at two Gauss points a cell, κ the secant of rate·|d|^{p−2}d
    from d to the displacement `wanted` `[n+1]`; sizes below `least` count as that.

    At p < 2, where d has a zero in the cell, two points do not see how steep it is: A itself, the secant to
    no move, and (p − 1)A, the Hessian, once d is as near to what is wanted as a
    share `close` of the largest move.
    """
    for i in range(masses.size):
        a, b = edges[i] - start[i], edges[i + 1] - start[i + 1]
        largest = max(abs(a), abs(b))
        if p < 2.0 and a * b < 0.0 and largest > least:
            left, middle, right = _cell(a, b, p - 2.0)
            away = max(abs(wanted[i] - a), abs(wanted[i + 1] - b))
            weight = rate * masses[i] * (p - 1.0 if away <= close * largest else 1.0)
            rows[i] += weight * (left + middle)
            rows[i + 1] += weight * (middle + right)
            upper[i] += weight * middle
            continue
        near = _secant(FAR * a + NEAR * b, FAR * wanted[i] + NEAR * wanted[i + 1], p, least)
        far = _secant(NEAR * a + FAR * b, NEAR * wanted[i] + FAR * wanted[i + 1], p, least)
        near, far = 0.5 * rate * masses[i] * near, 0.5 * rate * masses[i] * far
        rows[i] += FAR * near + NEAR * far
        rows[i + 1] += NEAR * near + FAR * far
        upper[i] += NEAR * FAR * (near + far)


@njit(cache=True, error_model="numpy")
def _secant(d: float, wanted: float, p: float, least: float):
    size = max(abs(d), abs(wanted))
    if size <= least:
        return least ** (p - 2.0)
    if abs(d - wanted) <= 1e-3 * size:
        return (p - 1.0) * (0.5 * abs(d + wanted)) ** (p - 2.0)
    return (np.sign(d) * abs(d) ** (p - 1.0) - np.sign(wanted) * abs(wanted) ** (p - 1.0)) / (d - wanted)


@njit(cache=True, error_model="numpy")
def defect(
    masses: np.ndarray, start: np.ndarray, edges: np.ndarray, force: np.ndarray, p: float, rate: float
):
    """Σ w ∫ rate·|d|^p/p + φ*(y) − yd with y = rate·|d|^{p−2}d − f, φ* the conjugate of rate·|d|^p/p and f
    linear between its values `force` at the edges: by Fenchel's and Young's inequality no part is
    negative."""
    q, total = p / (p - 1.0), 0.0
    for i in range(masses.size):
        a, b = edges[i] - start[i], edges[i + 1] - start[i + 1]
        part = 0.0
        for k in range(NODES.size):
            s = NODES[k]
            d, f = (1.0 - s) * a + s * b, (1.0 - s) * force[i] + s * force[i + 1]
            y = rate * abs(d) ** (p - 1.0)
            f = f if d >= 0.0 else -f
            if f == 0.0:
                continue
            if abs(f) <= 1e-4 * y:  # to third order, where the difference would have no digits
                t = f / y
                part += WEIGHTS[k] * abs(d) * y * 0.5 * (q - 1.0) * t * t * (1.0 - (q - 2.0) * t / 3.0)
            else:
                conjugate = rate * (abs(y - f) / rate) ** q / q
                part += WEIGHTS[k] * max(rate * abs(d) ** p / p + conjugate - (y - f) * abs(d), 0.0)
        total += masses[i] * part
    return total
