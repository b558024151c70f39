"""y′ = f(y) in every cell by itself, y = log ρ, over any time, in steps that a local error chooses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jko.limits.tolerances import TOLERANCES

_MOST = float(np.log(np.finfo(float).max))  # log ρ


class Steps:
    """Steps through a time, from the start on: classical ones where log ρ has no more than 1 to go and they
    see no stiffness, beyond them exponential ones about the slope of f. Cells stay at y ≤ top, if any."""

    def __init__(self, f: Callable, top: np.ndarray | None, duration: float):
        self.f, self.top, self.duration, self.done = f, top, duration, 0.0
        self.now: Any = None  # f(y), its slope J, the next exponential step s: to be found
        self.J: Any = None
        self.s: Any = None
        self.plain = True

    @property
    def fastest(self) -> float:
        """The largest |f|."""
        return float(np.abs(self.now).max())

    def length(self, y: np.ndarray) -> float:
        """The length of the step from here that is tried next."""
        rest = self.duration - self.done
        if self.now is None:
            self.now = self.f(y)
            self.plain = self.plain and rest * self.fastest <= 1.0
        if self.plain:
            self.next = rest / max(math.ceil(rest * self.fastest / TOLERANCES.growth), 1)
            return self.next
        if self.J is None:
            self.J = slope(self.f, y, self.now)
        if self.s is None:  # log ρ and f change by little in it: from there its length follows the error
            fastest = max(self.fastest, float(np.abs(self.J).max()))
            self.s = min(TOLERANCES.growth / fastest, rest) if fastest != 0.0 else rest
        self.next = min(self.s, rest)
        return self.next

    def tried(self, y: np.ndarray) -> np.ndarray | None:
        """y after the step, or None where its error is too large and the next is shorter."""
        if self.plain:
            after, error = classical(self.f, y, self.now, self.next)
            then = None
        else:
            after, then, error = exponential(self.f, y, self.now, self.J, self.next)
        if self.top is not None:
            error, after = np.where(after >= self.top, 0.0, error), np.minimum(after, self.top)
        worst = float(error.max()) / TOLERANCES.growth_error
        good = worst <= 1.0 and after.max() < _MOST and (then is None or bool(np.isfinite(then).all()))
        if self.plain:
            self.plain = good
        else:  # the error is of order 4; a fifth where something is no number
            worst = np.inf if not good and not worst > 1.0 else worst
            self.s = self.next * float(np.clip(0.9 * max(worst, 1e-12) ** -0.25, 0.2, 5.0))
        if not good:
            return None
        rest = self.duration - self.done
        self.done = self.duration if self.next == rest else self.done + self.next
        self.now, self.J = then, None
        return after


def slope(f: Callable, y: np.ndarray, now: np.ndarray) -> np.ndarray:
    """∂f/∂y `[*cells]` where it is negative, else 0, by a difference along all cells together: the
    derivative where f of a cell knows that cell alone, and the sum of its row where it knows others."""
    step = float(np.sqrt(np.finfo(float).eps))
    return np.minimum(np.nan_to_num((f(y + step) - now) / step, nan=0.0, neginf=0.0), 0.0)


def classical(f: Callable, y: np.ndarray, now: np.ndarray, s: float):
    """(y′, error `[*cells]`) of Runge's and Kutta's step s [HairerNorsettWanner1993]. The error is that of a
    companion of order 3, from the stages alone: sz³f/72 with z = s∂f/∂y as they show it, and beside it what
    f is bent, of order 2, to the power 4/3; or that of order 2 where it is less."""
    second = f(y + 0.5 * s * now)
    third = f(y + 0.5 * s * second)
    fourth = f(y + s * third)
    inner, outer = second + third, now + fourth
    after, bent = y + s / 6.0 * (outer + 2.0 * inner), s / 6.0 * np.abs(outer - inner)
    if bent.max() <= TOLERANCES.growth_error:
        return after, bent
    turn = np.abs(third - second)
    stiff = np.where(turn > 0.0, s / 9.0 * turn**2 / np.abs(second - now), 0.0)
    return after, np.minimum(bent, stiff + bent ** (4.0 / 3.0))


def exponential(f: Callable, y: np.ndarray, now: np.ndarray, J: np.ndarray, s: float):
    """(y′, f(y′), error `[*cells]`) of a step s by the exponential method of order 4 of [CoxMatthews2002]
    about J ≤ 0, which may be any: with J = 0 it is the classical one, and as s|J| → ∞ it ends at f = 0. The
    error is that of the companion of order 3 that reads f(y′) for its last stage."""
    z = s * J
    (half, _, _), (one, two, three) = _phi(0.5 * z), _phi(z)
    half, middle, last = 0.5 * s * half, s * (2.0 * two - 4.0 * three), s * (4.0 * three - two)

    def bend(change):
        return f(y + change) - now - J * change

    to_a = half * now
    at_a = bend(to_a)
    at_b = bend(half * (now + at_a))
    at_c = bend(to_a + half * (J * to_a + now + 2.0 * at_b))
    change = s * one * now + middle * (at_a + at_b) + last * at_c
    after = f(y + change)
    return y + change, after, np.abs(last * (at_c - (after - now - J * change))) / (1.0 + np.abs(change))


def _phi(z: np.ndarray):
    """φ₁, φ₂, φ₃ at z ≤ 0, φ₀ = e^z and φ_k = (φ_{k−1} − 1/(k−1)!)/z; next to 0 by φ₃'s series."""
    series, term = np.zeros_like(z), np.full_like(z, 1.0 / 6.0)
    small = np.maximum(z, -1.0)
    for k in range(16):
        series, term = series + term, term * small / (k + 4.0)
    far = np.minimum(z, -1.0)
    one = np.expm1(far) / far
    two = (one - 1.0) / far
    near, three = z > -1.0, (two - 0.5) / far
    three = np.where(near, series, three)
    two = np.where(near, 0.5 + small * three, two)
    return np.where(near, 1.0 + small * two, one), two, three
