"""A step that keeps the structure: the most accurate way that passes its checks; the last one must."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from jko.limits.nonlinear_diffusion import NotSolved

_ROUNDS = 14
_SLOWEST = 0.5
_DEEPEST = 4
_MASS_TOLERANCE = 2e-14


@dataclass
class Outcome:
    """Where a step went, its energy, the iterations, and the fallbacks with their number."""

    mu: object
    energy: float
    iterations: int = 0
    notes: dict[str, int] = field(default_factory=dict)

    def noted(self, sentence: str) -> Outcome:
        """The same, with one more count of a sentence in its notes."""
        self.notes[sentence] = self.notes.get(sentence, 0) + 1
        return self


def evolve(problem, mu, energy: float, tau: float, depth: int = 0) -> Outcome:
    """mu after τ, with energy ≤ the one before: two stages; implicit Euler; two halves; a shortened step."""
    settled = None
    for second_order in (True, False):
        outcome, settled = _attempt(problem, mu, energy, tau, second_order)
        if outcome is not None:
            return outcome if second_order else outcome.noted("implicit Euler")
        if settled is not None:
            return settled
    if depth < _DEEPEST and (problem.moving or depth < 2):
        first = evolve(problem, mu, energy, 0.5 * tau, depth + 1)
        second = evolve(problem, first.mu, first.energy, 0.5 * tau, depth + 1)
        return _joined(first, second).noted("step halved")
    return shortened(problem, mu, energy, tau)


def _joined(first, second):
    notes = dict(first.notes)
    for sentence, count in second.notes.items():
        notes[sentence] = notes.get(sentence, 0) + count
    return Outcome(second.mu, second.energy, first.iterations + second.iterations, notes)


def _attempt(problem, mu, energy, tau, second_order):
    """(an outcome that passes, None), (None, one that stays since only rounding is left), or (None, None)."""
    try:
        values, iterations, converged = self_consistent(problem, mu, tau, second_order)
    except NotSolved:
        return None, None
    least = values.min()
    if not converged or not np.isfinite(least) or least < 0.0 or np.any(values > problem.cap * (1 + 1e-12)):
        return None, None
    after = mu.with_values(values)
    if abs(after.mass - mu.mass) > _MASS_TOLERANCE * mu.mass:
        return None, None
    value = problem.F(after)
    if value <= energy:
        return Outcome(after, value, iterations), None
    if value - energy <= problem.rounding(mu):
        return None, Outcome(mu, energy, iterations).noted("stationary to rounding")
    return None, None


def self_consistent(problem, mu, tau, second_order):
    """(values, iterations, converged): sweeps with the moving part of Ψ at (ρ + ρ′)/2, by iteration.

    The midpoint makes the change of an interaction energy exactly Σ (W∗(ρ+ρ′)/2)(ρ′ − ρ), whatever the sign
    of W: what the sweeps take off the frozen energy, they take off F [BailoCarrilloHu2020].
    """
    if not problem.moving:
        return problem.sweep(mu.values, None, tau, second_order), 1, True
    moving = problem.moving_potential(mu)
    before, change = None, np.inf
    for count in range(1, _ROUNDS + 1):
        values = problem.sweep(mu.values, moving, tau, second_order)
        if before is not None:
            last, change = change, np.max(np.abs(values - before))
            if change <= 1e-7 * np.max(values):
                return values, count, True
            if not change <= _SLOWEST * last:
                break
        before = values
        middle = np.maximum(0.5 * (mu.values + values), 0.0)
        if not middle.sum() > 0 or not np.all(np.isfinite(middle)):
            break
        moving = problem.moving_potential(mu.with_values(middle))
    return values, _ROUNDS, False


def shortened(problem, mu, energy, tau) -> Outcome:
    """ρ + s(ρ′ − ρ), ρ′ the implicit Euler step with Ψ at ρ, with s = 1, ½, … until the energy falls.

    It does: ρ′ − ρ goes down the frozen energy, which is convex along it and touches F at ρ. The segment
    keeps mass, sign and cap; it is a step with the mobility multiplied by s.
    """
    moving = problem.moving_potential(mu) if problem.moving else None
    try:
        target = np.maximum(problem.sweep(mu.values, moving, tau, False), 0.0)
    except NotSolved:
        return Outcome(mu, energy).noted("not solved")
    for halvings in range(60):
        after = mu.with_values(mu.values + 0.5**halvings * (target - mu.values))
        value = problem.F(after)
        if value <= energy:
            return Outcome(after, value, halvings + 1).noted(f"step shortened {2**halvings} times")
    return Outcome(mu, energy).noted("stationary to rounding")
