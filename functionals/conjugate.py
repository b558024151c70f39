"""The convex conjugate of an internal energy density, in closed form or by solving U′(s) = p."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_LOG_SMALLEST, _LOG_LARGEST = -350.0, 350.0  # squares of densities stay finite


def invert_derivative(derivative: Callable, p: np.ndarray, tolerance: float = 1e-15) -> np.ndarray:
    """The s ≥ 0 with U′(s) = p, for U′ non-decreasing; 0 where p ≤ U′(0+), inf where p ≥ sup U′.

    Bisection in log s with secant (regula falsi, Illinois) steps once both ends are finite: no derivative
    of U′ is needed and an essentially flat or infinite U′ at 0 does no harm.
    """
    p = np.asarray(p, dtype=float)
    low, high = np.full(p.shape, _LOG_SMALLEST), np.full(p.shape, _LOG_LARGEST)
    with np.errstate(all="ignore"):
        f_low, f_high = derivative(np.exp(low)) - p, derivative(np.exp(high)) - p
        empty, unbounded = f_low >= 0, (f_high <= 0) | (p == np.inf)
        for iteration in range(200):
            bisect = 0.5 * (low + high)
            secant = (low * f_high - high * f_low) / (f_high - f_low)
            usable = np.isfinite(secant) & (secant > low) & (secant < high) & (high - low < 4.0)
            middle = np.where(usable & (iteration % 3 != 2), secant, bisect)
            f_middle = derivative(np.exp(middle)) - p
            below = f_middle <= 0
            low, f_low = np.where(below, middle, low), np.where(below, f_middle, f_low)
            high, f_high = np.where(below, high, middle), np.where(below, f_high, f_middle)
            if np.all(
                (high - low <= tolerance * np.maximum(1.0, np.abs(low))) | empty | unbounded | (f_low == 0)
            ):
                break
        s = np.exp(np.where(f_low == 0, low, 0.5 * (low + high)))
    return np.where(empty, 0.0, np.where(unbounded, np.inf, s))


def conjugate_at(s: np.ndarray, p: np.ndarray, density: Callable) -> np.ndarray:
    """ps − U(s) for the s that attains U*(p): −U(0) at s = 0, also for p = −inf; inf for an infinite s."""
    p, s = np.broadcast_arrays(np.asarray(p, dtype=float), s)
    inner = (s > 0) & np.isfinite(s)
    safe = np.where(inner, s, 0.0)
    return np.where(np.isinf(s), np.inf, np.where(inner, p, 0.0) * safe - density(safe))


class GatheredInternal:
    """U = Σ cᵢUᵢ, elementwise: density, derivative, second_derivative, conjugate, conjugate_derivative.

    One atom keeps its closed forms, (cU)*(p) = cU*(p/c); of several the conjugate is solved numerically.
    """

    def __init__(self, terms: tuple):
        self.terms = terms

    @property
    def cap(self) -> float:
        """The density beyond which U is infinite, inf for none."""
        return min(atom.cap for _, atom in self.terms)

    def density(self, s: np.ndarray):
        """U(s)."""
        return sum(c * atom.density(s) for c, atom in self.terms)

    def derivative(self, s: np.ndarray):
        """U′(s)."""
        return sum(c * atom.derivative(s) for c, atom in self.terms)

    def second_derivative(self, s: np.ndarray):
        """U″(s)."""
        return sum(c * atom.second_derivative(s) for c, atom in self.terms)

    def conjugate_derivative(self, p: np.ndarray):
        """(U*)′(p) ≥ 0, the density whose U′ is p; 0 where p ≤ U′(0)."""
        if len(self.terms) == 1:
            ((c, atom),) = self.terms
            return atom.conjugate_derivative(p / c)
        return invert_derivative(self.derivative, p)

    def conjugate(self, p: np.ndarray):
        """U*(p) = sup_{s ≥ 0} ps − U(s)."""
        if len(self.terms) == 1:
            ((c, atom),) = self.terms
            return c * atom.conjugate(p / c)
        return conjugate_at(self.conjugate_derivative(p), p, self.density)
