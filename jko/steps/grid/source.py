"""The cost of a source during a slice, Fisher's and Rao's own, with its conjugate: for steps at once.

With r before and r + w after, η their mean, 4(√(r + w) − √r)² = 8η − 4√(4η² − w²) = w²/η + O(w⁴/η³), convex
in (w, η) together and homogeneous: a reaction alone is exact in any number of slices. α is its weight.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import functionals as fn
from jko.steps.grid.tolerances import TOLERANCES


def source_cost(w: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """8η − 4√(4η² − w²), ∞ where |w| > 2η: one end would be negative."""
    whole, size = 2.0 * eta, np.abs(w)
    root = np.sqrt(np.maximum(whole - size, 0.0)) * np.sqrt(np.maximum(whole + size, 0.0))
    outside = size > whole * (1.0 + TOLERANCES.emptied)
    share = np.divide(size, whole + root, out=np.zeros_like(size), where=whole + root > 0.0)
    return np.where(outside, np.inf, 4.0 * size * share)


def source_rate(potential: np.ndarray, action: np.ndarray | float) -> np.ndarray:
    """The most of p w − α cost(w, η) over w for each η, 2√(p² + 16α²) − 8α = p²/4α + O(p⁴)."""
    root = np.hypot(potential, 4.0 * action)
    return 2.0 * np.abs(potential) * (np.abs(potential) / (root + 4.0 * action))


def largest_source(eta: np.ndarray, potential: float, action: np.ndarray | float) -> np.ndarray:
    """The w of a potential, 2ηp/√(p² + 16α²)."""
    return 2.0 * eta * (potential / np.hypot(potential, 4.0 * action))


def lowered(potential: np.ndarray, by: np.ndarray, action: float) -> np.ndarray:
    """The p′ with p′ + w(p′) = p + w(p) − `by`, w half the rate; −∞ where that is not above −4α.

    No p + w(p) is below that: mass of such a price would be made without bound.
    """
    size = np.hypot(potential, 4.0 * action) + np.abs(potential)
    held = np.where(potential < 0.0, 16.0 * action**2 / size, size)  # p + √(p² + 16α²)
    left = held - by
    fall = by * (0.5 + 8.0 * action**2 / (held * np.where(left > 0.0, left, 1.0)))
    return np.where(left > 0.0, potential - fall, -np.inf)


def steepest(internal) -> float:
    """U′(∞), as far as known: beyond it U* is infinite."""
    slow = internal is not None and any(type(a) is not fn.Power or a.m > 1.0 for _, a in internal.terms)
    return np.inf if slow else 0.0


def runaway(field: np.ndarray, internal, length: float, tau: float) -> float:
    """What F falls by for a unit of mass in cells without a cap, where that is more than the 2δ²/τ which
    pays for any mass in one step, in any number of slices, so that there is no least; else 0."""
    gained = -float(np.min(field, initial=np.inf)) - steepest(internal)
    return gained if gained > 2.0 * length**2 / tau else 0.0


def told(gained: float, length: float, tau: float) -> str:
    """Why there is no step, and what to do."""
    paid = 2.0 * length**2
    return (
        f"growth has no bound in one step: a unit of mass lowers F by {gained:.3g}, and 2 length^2/tau = "
        f"{paid / tau:.3g} pays for any: take tau well below {paid / gained:.2g}; more slices do not help"
    )


class Together(NamedTuple):
    """What a step makes and moves at once: `growth`, τ|ξ|/δ² of all but 1 % of the mass at most, and `moved`,
    the share of the mass that flows between cells."""

    growth: float
    moved: float

    def told(self, slices: int) -> str:
        """What slices leave of a step that has more growth than them, or nothing."""
        if self.growth <= slices or self.moved <= TOLERANCES.moved:
            return ""
        more = f"slices={int(np.ceil(self.growth))} or " if self.growth <= TOLERANCES.helped else ""
        name = "one inner slice" if slices == 1 else f"{slices} inner slices"
        return (
            f"mass moves while it changes by tau|xi|/length^2 = {self.growth:.2g}, and {name} may be some "
            f"per cent off: take {more}a smaller tau"
        )


def together(start: np.ndarray, densities: list, sources: list) -> Together:
    """Of densities r¹ … r^K and sources w¹ … w^K of a path from r⁰ = `start`.

    A slice answers a price p = −ξ by w = 2ηp/√(p² + 16α²), α = Kδ²/2τ: with u = |w|/2η it was τ|ξ|/δ² =
    2Ku/√(1 − u²).
    """
    before, count = start.ravel(), len(sources)
    growth, moved = np.zeros(before.size), 0.0
    for r, w in zip(densities, sources, strict=True):
        r, w = r.ravel(), w.ravel()
        whole = before + r
        u = np.minimum(np.divide(np.abs(w), whole, out=np.zeros_like(whole), where=whole > 0.0), 1.0)
        with np.errstate(divide="ignore"):
            growth = np.maximum(growth, 2.0 * count * u / np.sqrt(1.0 - u * u))
        moved += 0.5 * float(np.abs(r - before - w).sum())
        before = r
    mass = np.maximum(start.ravel(), before)
    order = np.argsort(growth)
    held = np.searchsorted(np.cumsum(mass[order]), TOLERANCES.most_mass * mass.sum())
    return Together(float(growth[order[min(held, mass.size - 1)]]), moved / float(mass.sum()))
