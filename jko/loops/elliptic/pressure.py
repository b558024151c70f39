"""Densities that answer a pressure in closed form, with their sums, in one pass over the cells."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


def density_of_pressure(minus_pressure: np.ndarray, shift: float, law: tuple, cap):
    """(r, Σr, Σ dr/dp) with r the law at p = shift − minus_pressure, at most cap (an array, or None).

    law = (factor, exponent): r = (factor·p)₊^exponent; exponent 0 stands for r = exp(factor·p − 1). For a
    negative factor and exponent r = ∞ where p ≥ 0.
    """
    out = np.empty(minus_pressure.shape)
    bound = cap.reshape(-1) if cap is not None else np.empty(0)
    total, slope = _evaluate(minus_pressure.reshape(-1), shift, law[0], law[1], bound, out.reshape(-1))
    return out, total, slope


@njit(cache=True, fastmath={"contract", "nsz"})
def _evaluate(
    minus_pressure: np.ndarray, shift: float, factor: float, exponent: float, cap: np.ndarray, out: np.ndarray
):
    total, slope = 0.0, 0.0
    for i in range(minus_pressure.size):
        base = factor * (shift - minus_pressure[i])
        if exponent == 0.0:
            r = math.exp(min(base - 1.0, 709.0))
            steepness = factor * r
        elif base > 0.0:
            r = base if exponent == 1.0 else base**exponent
            steepness = factor * exponent if exponent == 1.0 else factor * exponent * r / base
        else:
            r, steepness = (0.0 if exponent > 0.0 else math.inf), 0.0
        if cap.size > 0 and r >= cap[i]:
            r, steepness = cap[i], 0.0
        out[i] = r
        total += r
        slope += steepness
    return total, slope
