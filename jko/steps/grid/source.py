"""The cost of a source during a slice, Fisher's and Rao's own, with its conjugate: for steps at once.

With r before and r + w after, η their mean, 4(√(r + w) − √r)² = 8η − 4√(4η² − w²) = w²/η + O(w⁴/η³), convex
in (w, η) together and homogeneous: a reaction alone is exact in any number of slices. α is its weight.
"""

from __future__ import annotations

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
