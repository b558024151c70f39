"""Sums of an even kernel over pairs of cells of a line that lie near each other, and of |x − y| over all.

A kernel W(z), z > 0, is −ℓ log z + Σ s z^a/a + a table: `logarithm` ℓ, `powers` `[P, 2]` of (a, s), `table`
`[T, 2]` of W and W′ on a grid of `spacing` from 0, between by cubics.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.elliptic.banded import FAR, NEAR

REACH = 4  # cells beside a cell whose mean of a singular kernel is taken exactly
_POINT = 1e-7  # relative width below which a cell counts as a point


@njit(cache=True, error_model="numpy", inline="always")
def singular(z, logarithm, powers):
    """(W, W′) of the logarithm and the powers at z > 0."""
    value, slope = 0.0, 0.0
    if logarithm != 0.0:
        value -= logarithm * np.log(z)
        slope -= logarithm / z
    for k in range(powers.shape[0]):
        term = powers[k, 1] * z ** powers[k, 0]
        value += term / powers[k, 0]
        slope += term / z
    return value, slope


@njit(cache=True, error_model="numpy", inline="always")
def tabulated(z, table, spacing):
    """(W, W′) of the table at z ≥ 0, by the cubic between its neighbours."""
    i = min(int(z / spacing), table.shape[0] - 2)
    t = z / spacing - i
    a, b = table[i, 0], table[i + 1, 0]
    p, q = spacing * table[i, 1], spacing * table[i + 1, 1]
    c, d = 3.0 * (b - a) - 2.0 * p - q, 2.0 * (a - b) + p + q
    return a + t * (p + t * (c + t * d)), (p + t * (2.0 * c + 3.0 * t * d)) / spacing


@njit(cache=True, error_model="numpy")
def _integrals(z: float, logarithm: float, powers: np.ndarray):
    # the first and second integrals of W from 0
    first, second = 0.0, 0.0
    if z <= 0.0:
        return first, second
    if logarithm != 0.0:
        log = np.log(z)
        first -= logarithm * z * (log - 1.0)
        second -= logarithm * z * z * (0.5 * log - 0.75)
    for k in range(powers.shape[0]):
        a = powers[k, 0]
        term = powers[k, 1] * z ** (a + 1.0) / (a * (a + 1.0))
        first += term
        second += term * z / (a + 2.0)
    return first, second


@njit(cache=True, error_model="numpy")
def mean(gap: float, left: float, right: float, logarithm: float, powers: np.ndarray):
    """The mean of W(y − x) over cells of widths `left`, `right` with `gap` between: the value and its
    derivatives in the gap and in the two widths."""
    if left < _POINT * (gap + right) and right < _POINT * (gap + left):
        value, slope = singular(gap + 0.5 * (left + right), logarithm, powers)
        return value, slope, 0.5 * slope, 0.5 * slope
    if left < _POINT * (gap + right):
        value, slope, by_right = _point_mean(gap + 0.5 * left, right, logarithm, powers)
        return value, slope, 0.5 * slope, by_right
    if right < _POINT * (gap + left):
        value, slope, by_left = _point_mean(gap + 0.5 * right, left, logarithm, powers)
        return value, slope, by_left, 0.5 * slope
    f0, s0 = _integrals(gap, logarithm, powers)
    fl, sl = _integrals(gap + left, logarithm, powers)
    fr, sr = _integrals(gap + right, logarithm, powers)
    fb, sb = _integrals(gap + left + right, logarithm, powers)
    area = left * right
    value = (sb - sl - sr + s0) / area
    slope = (fb - fl - fr + f0) / area
    return value, slope, (fb - fl) / area - value / left, (fb - fr) / area - value / right


@njit(cache=True, error_model="numpy")
def _point_mean(gap: float, width: float, logarithm: float, powers: np.ndarray):
    near, far = _integrals(gap, logarithm, powers)[0], _integrals(gap + width, logarithm, powers)[0]
    w0, w1 = singular(max(gap, 1e-300), logarithm, powers)[0], singular(gap + width, logarithm, powers)[0]
    value = (far - near) / width
    return value, (w1 - w0) / width, (w1 - value) / width


@njit(cache=True, error_model="numpy")
def near_sums(
    widths: np.ndarray,
    masses: np.ndarray,
    logarithm: float,
    powers: np.ndarray,
    table: np.ndarray,
    spacing: float,
    slope: np.ndarray,
):
    """The energy ½ΣΣ w w W̄ of cells up to REACH apart; adds its force per unit mass to slope `[2, n]`.

    The logarithm and the powers by their exact means over pairs of cells, the table at Gauss points.
    """
    n = masses.size
    energy = 0.0
    exact = logarithm != 0.0 or powers.shape[0] > 0
    for i in range(n):
        if exact and widths[i] > 0.0:
            first, second = _integrals(widths[i], logarithm, powers)
            inverse = 1.0 / (widths[i] * widths[i])
            energy += masses[i] * masses[i] * second * inverse
            stretch = masses[i] * (first - 2.0 * second / widths[i]) * inverse
            _push(slope, i, -stretch, stretch)
        gap = 0.0
        for j in range(i + 1, min(n, i + REACH + 1)):
            if exact:
                value, by_gap, by_left, by_right = mean(gap, widths[i], widths[j], logarithm, powers)
                energy += masses[i] * masses[j] * value
                _push(slope, i, -masses[j] * by_left, masses[j] * (by_left - by_gap))
                _push(slope, j, masses[i] * (by_gap - by_right), masses[i] * by_right)
            gap += widths[j]
        if table.shape[0] > 0:
            energy += _near_table(i, widths, masses, table, spacing, slope)
    return energy


@njit(cache=True, error_model="numpy")
def _push(slope: np.ndarray, i: int, left: float, right: float):
    # the slopes at a cell's Gauss points that push its edges by these forces per unit mass
    scale = 2.0 / (FAR - NEAR)
    slope[0, i] += scale * (FAR * left - NEAR * right)
    slope[1, i] += scale * (FAR * right - NEAR * left)


@njit(cache=True, error_model="numpy")
def _near_table(
    i: int, widths: np.ndarray, masses: np.ndarray, table: np.ndarray, spacing: float, slope: np.ndarray
):
    w = masses[i]
    value, push = tabulated((FAR - NEAR) * widths[i], table, spacing)
    energy = 0.25 * w * w * (table[0, 0] + value)
    slope[0, i] -= 0.5 * w * push
    slope[1, i] += 0.5 * w * push
    gap = 0.0
    for j in range(i + 1, min(masses.size, i + REACH + 1)):
        for p in range(2):
            for q in range(2):
                z = gap + widths[i] * (FAR if p == 0 else NEAR) + widths[j] * (NEAR if q == 0 else FAR)
                value, push = tabulated(z, table, spacing)
                energy += 0.25 * w * masses[j] * value
                slope[p, i] -= 0.5 * masses[j] * push
                slope[q, j] += 0.5 * w * push
        gap += widths[j]
    return energy


@njit(cache=True, error_model="numpy")
def absolute_sums(points, widths, masses, strength, slope):
    """½ΣΣ w w s|x − y|, exact: every mass is pulled by the mass on its left less that on its right."""
    n = masses.size
    total = masses.sum()
    left, energy = 0.0, 0.0
    middle = 0.5 * (points[0, 0] + points[1, n - 1])
    for i in range(n):
        pull = strength * (2.0 * left + masses[i] - total)
        centre = 0.5 * (points[0, i] + points[1, i]) - middle
        energy += masses[i] * pull * centre + strength * masses[i] * masses[i] * widths[i] / 6.0
        slope[0, i] += pull
        slope[1, i] += pull
        stretch = strength * masses[i] / 6.0
        _push(slope, i, -stretch, stretch)
        left += masses[i]
    return energy
