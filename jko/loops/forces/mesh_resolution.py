"""How fine a mesh must be for a kernel and a tolerance, and what it then costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.loops.forces import regularised
from jko.loops.forces.terms import Terms
from jko.loops.forces.tolerances import TOLERANCES

ROOM = 16  # mesh points kept free for a cloud that moves


@dataclass(frozen=True)
class Resolution:
    """How finely a kernel must be seen: mesh points `step` apart before oversampling, turning over `turn`."""

    step: float
    turn: float
    width: int
    oversampling: float


def resolution(step: float, tolerance: float, lengths: tuple, n: int) -> Resolution:
    """For a kernel without frequencies above π/step, the cheapest window for n particles in this box.

    A window of P points on a mesh σ times finer errs by e^{−πP√(1 − 1/σ)} [BarnettMaglandAfKlinteberg2019],
    and its derivative by `window` times that, measured.
    """
    a = math.sqrt(math.log(1.0 / tolerance))
    choices = []
    for width in range(4, 17):
        ratio = math.log(TOLERANCES.window / tolerance) / (math.pi * width)
        if ratio <= 0.866:  # σ ≤ 4
            oversampling = min(max(1.25, 1.0 / (1.0 - ratio**2)), 4.0)
            fine = Resolution(step, 2.0 * a * step / math.pi, width, oversampling)
            choices.append((evaluation_cost(fine, lengths, n), width, fine))
    return min(choices, key=lambda choice: choice[:2])[2]


def evaluation_cost(fine: Resolution, lengths: tuple, n: int) -> float:
    """Seconds that a sum over n particles is expected to take, on two cores."""
    points = math.prod(fine.oversampling * steps_across(length, fine) for length in lengths)
    rows = fine.width ** (len(lengths) - 1) * (1 if fine.width <= 8 else 2)
    return points * TOLERANCES.mesh_cost + n * (rows + 20) * TOLERANCES.row_cost


def steps_across(length: float, fine: Resolution) -> float:
    """The period in steps: differences of both signs and the turn, e^{−a²} at a turns from its middle."""
    turns = math.pi * (fine.turn / fine.step) ** 2
    return max((2.0 * length) / fine.step + turns, length / fine.step + 2.0 * (ROOM + fine.width))


def needed_step(
    terms: Terms, cutoff: float, near: np.ndarray, length: float, tolerance: float, finest: float
):
    """The largest step at which the smooth kernel loses at most tolerance of its slope; None below finest.

    Seen along a line: the slope's content beyond frequency π/step, summed, against the mean of |f′| over the
    distances of a cloud of that length. A near field of a small cutoff is seen from near and, with a larger
    cutoff, from far.
    """
    r = length * (np.arange(2048) + 0.5) / 2048
    scale = float(np.mean(np.abs(np.diff(regularised.profile(terms, r**2))))) / (r[1] - r[0])
    allowed = tolerance * max(scale, 1e-300)
    if cutoff == 0.0 or TOLERANCES.seen_near * cutoff >= length:
        return _step_of(terms, cutoff, near, length, allowed, finest)
    from_near = _step_of(terms, cutoff, near, TOLERANCES.seen_near * cutoff, allowed, finest)
    wide = length / TOLERANCES.seen_near
    order = int(np.max(np.flatnonzero(near[0]), initial=0)) + 1
    from_far = _step_of(
        terms, wide, regularised.taylor(terms, wide, order), length, allowed, min(finest, wide / 40.0)
    )
    return None if from_near is None or from_far is None else min(from_near, from_far)


def _step_of(terms: Terms, cutoff: float, near: np.ndarray, length: float, allowed: float, finest: float):
    from scipy import fft

    period = 4.0 * length
    count = fft.next_fast_len(max(256, 2 * math.ceil(period / finest)), real=True) // 2 * 2
    turn = length / 8.0
    z = regularised.folded(np.arange(count // 2 + 1) * (period / count), period, turn)
    values = regularised.smooth_profile(terms, z**2, cutoff, near)
    hat = fft.dct(values, type=1) / count
    frequency = 2.0 * np.pi * np.arange(hat.size) / period
    tail = np.cumsum((np.abs(hat) * frequency * 2.0)[::-1])[::-1]
    below = np.flatnonzero(tail <= allowed)
    if below.size == 0 or frequency[below[0]] > math.pi / finest:
        return None
    return math.pi / max(frequency[below[0]], math.pi / length)
