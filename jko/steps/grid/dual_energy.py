"""The dual side of a local energy: the density U*′ that answers a pressure, capped and of given mass."""

from __future__ import annotations

import numpy as np

from functionals import Power
from jko.loops.elliptic.pressure import density_of_pressure
from jko.steps.grid.tolerances import TOLERANCES


class DualEnergy:
    """p ↦ argmax_s ps − U(s) over 0 ≤ s ≤ cap, elementwise on one grid.

    `internal` has the methods of an internal energy, `cap` is None or an array over the cells. Powers and the
    entropy are evaluated in one pass with their sums.
    """

    def __init__(self, internal, cap: np.ndarray | None = None):
        self.internal, self.cap, self.law = internal, cap, _law(internal)

    def density(self, minus_pressure: np.ndarray, shift: float = 0.0):
        """(r, Σr, Σ dr/dp) at p = shift − minus_pressure; r = +∞ where U grows more slowly than p·s."""
        if self.law is not None:
            return density_of_pressure(minus_pressure, shift, self.law, self.cap)
        r = self.internal.conjugate_derivative(shift - minus_pressure)
        if self.cap is not None:
            np.minimum(r, self.cap, out=r)
        total = float(r.sum())
        return r, total, float(self.curvature(r).sum()) if np.isfinite(total) else np.nan

    def total_conjugate(self, p: np.ndarray, r: np.ndarray):
        """Σ U*(p) over cells, r being the density at p; ∞ where U(r) leaves the range of floats."""
        with np.errstate(over="ignore", invalid="ignore"):
            conjugate = p * r - self.internal.density(r)
        return float(np.sum(np.where(np.isnan(conjugate), np.inf, conjugate)[r > 0]))

    def curvature(self, r: np.ndarray):
        """(U*)″ = 1/U″ where the density is free, 0 where it is 0 or capped."""
        free = r > 0
        if self.cap is not None:
            free &= r < self.cap
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where(free, 1.0 / self.internal.second_derivative(r), 0.0)

    def _first_width(self, minus_pressure: np.ndarray, total: float):
        """By how much a shift is searched first: a part of what the pressure varies by, or of U′."""
        varied = 0.125 * float(np.ptp(minus_pressure[minus_pressure < TOLERANCES.wall_pressure]))
        slope = self.internal.derivative(np.array([total / minus_pressure.size]))[0]
        return varied or abs(float(slope)) or 1.0

    def normalise(self, minus_pressure: np.ndarray, total: float, tolerance: float = TOLERANCES.exact_mass):
        """(c, density at p = c − minus_pressure) with Σ density = total, by Newton kept inside a bracket.

        Of the logarithm of the sum where the law is exponential, which is then linear in c.
        """
        low, high, c = -np.inf, np.inf, 0.0
        width = None
        exponential = self.law is not None and self.law[1] == 0.0
        for number in range(200):
            r, found, slope = self.density(minus_pressure, c)
            excess = found - total
            if abs(excess) <= tolerance * total:
                break
            if excess < 0:
                low = c
            else:
                high = c
            new = np.nan
            if slope > 0 and np.isfinite(excess):
                with np.errstate(over="ignore"):
                    new = c - (found * np.log(found / total) if exponential else excess) / slope
            if not low < new < high or (number % 4 == 3 and np.isfinite(low + high)):
                width = 2.0 * width if width else self._first_width(minus_pressure, total)
                new = 0.5 * (low + high) if np.isfinite(low + high) else c + (width if excess < 0 else -width)
            if new == c:
                break
            c = new
        return c, r


def _law(internal):
    """(factor, exponent) of U*′(p) = (factor·p)₊^exponent, exponent 0 for exp(factor·p − 1), or None."""
    if len(internal.terms) != 1:
        return None
    ((c, atom),) = internal.terms
    if atom.is_entropy:
        return (1.0 / c, 0.0)
    if isinstance(atom, Power):
        return ((atom.m - 1.0) / (atom.m * c), 1.0 / (atom.m - 1.0))
    return None
