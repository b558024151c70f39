"""The dual side of a local energy: the density U*′ that answers a pressure, capped, blocked and of given mass."""

from __future__ import annotations

import numpy as np


class DualEnergy:
    """p ↦ argmax_s ps − U(s) over 0 ≤ s ≤ cap, s = 0 in blocked cells; elementwise on one grid.

    `internal` has the methods of an internal energy; `cap` and `blocked` are None or arrays over the cells.
    """

    def __init__(self, internal, cap=None, blocked=None):
        self.internal, self.cap, self.blocked = internal, cap, blocked

    def density(self, p):
        """The density at pressure p, +∞ where U grows more slowly than p·s."""
        r = self.internal.conjugate_derivative(p)
        if self.cap is not None:
            np.minimum(r, self.cap, out=r)
        if self.blocked is not None:
            r[self.blocked] = 0.0
        return r

    def total_conjugate(self, p, r):
        """Σ U*(p) over cells, r being the density at p."""
        return float(np.sum(np.where(r > 0, p * r - self.internal.density(r), 0.0)))

    def curvature(self, r):
        """(U*)″ = 1/U″ where the density is free, 0 where it is 0 or capped."""
        free = r > 0
        if self.cap is not None:
            free &= r < self.cap
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where(free, 1.0 / self.internal.second_derivative(r), 0.0)

    def normalise(self, p, total, tolerance):
        """(c, density at p + c) with Σ density = total, by Newton kept inside a bracket."""
        low, high, c = -np.inf, np.inf, 0.0
        width = 0.125 * float(np.ptp(p)) + 1e-12
        for _ in range(200):
            r = self.density(p + c)
            excess = float(r.sum()) - total
            if abs(excess) <= tolerance * total:
                break
            if excess < 0:
                low = c
            else:
                high = c
            slope = float(self.curvature(r).sum()) if np.isfinite(excess) else np.nan
            with np.errstate(divide="ignore", invalid="ignore"):
                new = c - np.divide(excess, slope)
            if not low < new < high:
                new = 0.5 * (low + high) if np.isfinite(low + high) else c + (width if excess < 0 else -width)
                width *= 2.0
            if new == c:
                break
            c = new
        return c, r
