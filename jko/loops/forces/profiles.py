"""Radial kernels f(|z|²) and their derivatives in |z|², on a block of squared distances at a time.

A kernel is a sum of terms, `codes` `[T]` and `numbers` `[T, 2]`, and a `table` `[I, 3, DEGREE + 1]` (empty
where there is none). Order 0 asks for f, 1 for 2f′ (∇W = 2f′ z), 2 for 4f″ (D²W = 2f′ I + 4f″ z zᵀ), primes
in s = |z|².
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jko.loops.forces.elementary import FAST, LOG2E, bits_of, double_of, exp2, log64
from jko.loops.forces.terms import DEGREE, EXPONENTIAL, FIRST_BIN, GAUSSIAN, LOG, POWER

BLOCK = 256
# the low 49 bits of a float64: where it lies within one of eight intervals of its binade
_MASK = (1 << 49) - 1
_ONE = 1023 << 52  # the exponent bits of 1.0


@njit(cache=True, fastmath=FAST, error_model="numpy")
def fill(
    order: int,
    s: np.ndarray,
    m: int,
    codes: np.ndarray,
    numbers: np.ndarray,
    table: np.ndarray,
    zero: float,
    k: np.ndarray,
):
    """k[:m] = the derivative of that order at s[:m]; `zero` where s is 0."""
    for j in range(m):
        k[j] = 0
    for t in range(codes.size):
        a, b = numbers[t, 0], numbers[t, 1]
        if codes[t] == GAUSSIAN:
            scale, rate = s.dtype.type(a * (2.0 * b) ** order), s.dtype.type(b * LOG2E)
            for j in range(m):
                k[j] += scale * exp2(rate * s[j])
        elif codes[t] == LOG:
            _logarithm(order, s, m, a, k)
        elif codes[t] == POWER:
            for _ in range(order):
                a, b = 2.0 * a * b, b - 1.0
            _power(s, m, a, b, k)
        elif codes[t] == EXPONENTIAL:
            _exponential(order, s, m, a, b, k)
    if table.shape[0] > 0:
        _tabulated(order, s, m, table, numbers[0, 0], k)
    for j in range(m):
        k[j] = k[j] if s[j] > 0 else zero


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _logarithm(order: int, s: np.ndarray, m: int, a: float, k: np.ndarray):
    if order == 0:
        for j in range(m):
            k[j] -= 0.5 * a * log64(s[j] if s[j] > 0 else 1.0)
    elif order == 1:
        for j in range(m):
            k[j] -= a / (s[j] if s[j] > 0 else 1.0)
    else:
        for j in range(m):
            r = 1.0 / (s[j] if s[j] > 0 else 1.0)
            k[j] += 2.0 * a * r * r


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _power(s: np.ndarray, m: int, a: float, b: float, k: np.ndarray):
    if b == -0.5:
        for j in range(m):
            k[j] += a / np.sqrt(s[j] if s[j] > 0 else 1.0)
    elif b == -1.5:
        for j in range(m):
            t = s[j] if s[j] > 0 else 1.0
            k[j] += a / (t * np.sqrt(t))
    elif b == 0.5:
        for j in range(m):
            k[j] += a * np.sqrt(s[j])
    else:
        for j in range(m):
            k[j] += a * exp2(b * LOG2E * log64(s[j] if s[j] > 0 else 1.0))


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _exponential(order: int, s: np.ndarray, m: int, a: float, b: float, k: np.ndarray):
    # a e^{−r/b}
    rate = 1.0 / b
    fall = -rate * LOG2E
    for j in range(m):
        t = s[j] if s[j] > 0 else 1.0
        r = np.sqrt(t)
        e = a * exp2(fall * r)
        if order == 0:
            k[j] += e
        elif order == 1:
            k[j] -= rate * e / r
        else:
            k[j] += rate * (rate + 1.0 / r) * e / t


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _tabulated(order: int, s: np.ndarray, m: int, table: np.ndarray, scale: float, k: np.ndarray):
    last = table.shape[0] - 1
    for j in range(m):
        bits = bits_of(np.float64(s[j]) * scale)
        row = table[min(max((bits >> 49) - FIRST_BIN, 0), last), order]
        u = 16.0 * (double_of((bits & _MASK) | _ONE) - 1.0) - 1.0
        p = row[DEGREE]
        for n in range(DEGREE - 1, -1, -1):
            p = p * u + row[n]
        k[j] += p
