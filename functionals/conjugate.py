"""The convex conjugate of an internal energy density, in closed form or by solving U′(s) = p."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from functionals.tolerances import TOLERANCES


class Ladder(NamedTuple):
    """U′ at densities half a power of e apart: where a search for U′(s) = p begins."""

    logarithms: np.ndarray
    slopes: np.ndarray

    @classmethod
    def of(cls, derivative: Callable) -> Ladder:
        """That of a non-decreasing U′, the same everywhere."""
        rungs = np.linspace(-TOLERANCES.most_log, TOLERANCES.most_log, TOLERANCES.rungs)
        with np.errstate(all="ignore"):
            slopes = np.asarray(derivative(np.exp(rungs)), dtype=float)
        return cls(rungs, np.maximum.accumulate(np.where(np.isnan(slopes), np.inf, slopes)))

    def bracket(self, p: np.ndarray) -> tuple:
        """(low, high, U′ − p at both) of the rungs next to each p."""
        last = len(self.slopes) - 2
        sought = np.where(np.isnan(p), -np.inf, p)
        rung = np.clip(np.searchsorted(self.slopes, sought, side="right") - 1, 0, last)
        ends = self.logarithms[rung], self.logarithms[rung + 1]
        return *ends, self.slopes[rung] - p, self.slopes[rung + 1] - p

    def guess(self, p: np.ndarray) -> tuple:
        """(log s, dU′/d log s) where U′(s) is about p, and the mean of the latter between the rungs beside p.

        From a + bsᵏ through three rungs, exact for powers and the logarithm, once with the rung below and
        once with that above; NaN where U′ is not that smooth.
        """
        sought = np.where(np.isnan(p), -np.inf, p)
        rung = np.clip(np.searchsorted(self.slopes, sought, side="right") - 1, 1, len(self.slopes) - 3)
        rises = np.diff([self.slopes[rung + k] for k in (-1, 0, 1, 2)], axis=0)
        share, apart = (p - self.slopes[rung]) / rises[1], self.logarithms[1] - self.logarithms[0]
        fits = []
        for ratio, part in ((rises[1] / rises[0], share), (rises[2] / rises[1], share)):
            even = np.abs(ratio - 1.0) < TOLERANCES.even
            bent, power = np.where(even, 1.0, ratio - 1.0), np.where(even, 1.0, np.log(ratio))
            place = np.where(even, part, np.log1p(bent * part) / power)
            fits.append((place, np.where(even, 1.0, (1.0 + bent * part) * power / bent)))
        (below, slope), (above, other) = fits
        place = (1.0 - below) * below + below * above
        mean = rises[1] / apart
        return self.logarithms[rung] + apart * place, 0.5 * (slope + other) * mean, mean


def invert_derivative(derivative: Callable, p: np.ndarray, ladder: Ladder | None = None) -> np.ndarray:
    """The s ≥ 0 with U′(s) = p, for U′ non-decreasing; 0 where p ≤ U′(0+), inf where p ≥ sup U′.

    By secants in log s from between the rungs of a `ladder` of the same U′, where that is smooth; elsewhere,
    and without a ladder, by the method of Anderson and Björck [AndersonBjorck1973] once an interval is
    narrow, by halving before and where that is slow: no derivative of U′ is needed and an essentially flat or
    infinite U′ at 0 does no harm.
    """
    p, near, found = np.asarray(p, dtype=float), 0.0, False
    with np.errstate(all="ignore"):
        if ladder is not None:
            low, high, f_low, f_high = ladder.bracket(p)
        else:
            low, high = np.full(p.shape, -TOLERANCES.most_log), np.full(p.shape, TOLERANCES.most_log)
            f_low, f_high = derivative(np.exp(low)) - p, derivative(np.exp(high)) - p
        empty, unbounded = f_low >= 0, (f_high <= 0) | (p == np.inf)
        if ladder is not None:
            empty = ladder.slopes[0] >= p
            near, found = _by_secants(derivative, p, ladder, empty | unbounded)
        far = _root(derivative, p, (low, high), (f_low, f_high), empty | unbounded | found)
        s = np.exp(np.where(found, near, far))
    return np.where(empty, 0.0, np.where(unbounded, np.inf, s))


def _by_secants(derivative: Callable, p: np.ndarray, ladder: Ladder, known: np.ndarray):
    """(log s, where U′(s) = p to rounding there), but for those `known` otherwise."""
    at, slope, mean = ladder.guess(p)
    usable = np.isfinite(at) & ~known
    at = np.where(usable, at, 0.0)
    value = derivative(np.exp(at)) - p
    for _ in range(TOLERANCES.secants):
        # steeper than between the rungs it may be a jump, which a secant takes for a root
        usable &= (slope > 0.0) & (slope <= TOLERANCES.steep * mean)
        step = np.where(usable, -value / slope, 0.0)
        found = usable & (np.abs(step) <= TOLERANCES.of_logarithm * np.maximum(1.0, np.abs(at)))
        if np.all(found | ~usable):
            break
        moves = usable & ~found
        new = at + np.where(moves, step, 0.0)
        after = derivative(np.exp(new)) - p
        slope = np.where(moves, (after - value) / (new - at), slope)
        usable &= ~moves | (np.abs(after) < np.abs(value))
        at, value = new, np.where(moves, after, value)
    return at, found


def _root(derivative: Callable, p: np.ndarray, ends: tuple, values: tuple, known: np.ndarray):
    """log s between the ends, at which U′ − p has these values, with U′(s) = p to rounding, where s is not
    `known` otherwise."""
    (low, high), (value_low, value_high) = ends, values
    stays, width = np.zeros(p.shape), high - low
    f_low, f_high = values  # as the secant weighs them
    for iteration in range(200):
        rounding = TOLERANCES.of_logarithm * np.maximum(1.0, np.abs(low))
        if np.all((high - low <= 2.5 * rounding) | (value_low == 0) | known):
            break
        secant = (low * f_high - high * f_low) / (f_high - f_low)
        fast = high - low <= np.minimum(TOLERANCES.narrow, TOLERANCES.slow * width * 0.5 ** (iteration // 3))
        usable = fast & np.isfinite(secant)
        # a step of rounding inwards, so that the far end comes as near as the near one
        middle = np.where(usable, np.clip(secant, low + rounding, high - rounding), 0.5 * (low + high))
        value = derivative(np.exp(middle)) - p
        below = value <= 0
        lighter_low, lighter_high = (np.where((w := 1.0 - value / f) > 0.0, w, 0.5) for f in (f_high, f_low))
        f_low = np.where(below, value, np.where(stays < 0, lighter_low * f_low, f_low))
        f_high = np.where(below, np.where(stays > 0, lighter_high * f_high, f_high), value)
        value_low, value_high = np.where(below, value, value_low), np.where(below, value_high, value)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
        stays = np.where(below, 1, -1)
    return np.where(np.abs(value_low) <= np.abs(value_high), low, high)


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

    @cached_property
    def fills(self) -> bool:
        """Whether U′(0) = −∞, so that no minimiser leaves a vacuum."""
        with np.errstate(all="ignore"):
            return not np.isfinite(self.derivative(np.zeros(1))[0])

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
        return invert_derivative(self.derivative, p, self._ladder)

    @cached_property
    def _ladder(self) -> Ladder:
        return Ladder.of(self.derivative)

    def conjugate(self, p: np.ndarray):
        """U*(p) = sup_{s ≥ 0} ps − U(s)."""
        if len(self.terms) == 1:
            ((c, atom),) = self.terms
            return c * atom.conjugate(p / c)
        return conjugate_at(self.conjugate_derivative(p), p, self.density)
