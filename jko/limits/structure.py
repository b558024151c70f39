"""A step that keeps the structure: the most accurate way that passes its checks, in substeps if need be."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from jko.limits.nonlinear_diffusion import NotSolved
from jko.limits.tolerances import TOLERANCES
from jko.measures import Density, Measure


class Way(StrEnum):
    """How a step was taken other than as planned; of each, a step counts how often."""

    HALVED = "step halved"
    IMPLICIT_EULER = "implicit Euler"
    FROZEN = "Ψ of the start"
    STATIONARY = "stationary to rounding"


@dataclass
class Outcome:
    """Where a step went, its energy, the iterations, the fallbacks with their number, and the share of the
    time that was done: less than 1 is a failure. `out` is the mass that left through doors."""

    mu: object
    energy: float
    iterations: int = 0
    ways: dict[Way, int] = field(default_factory=dict)
    done: float = 1.0
    out: float = 0.0

    def counted(self, way: Way) -> Outcome:
        """The same, with one more count of a way."""
        self.ways[way] = self.ways.get(way, 0) + 1
        return self


def evolve(problem, mu: Density, energy: float, tau: float) -> Outcome:
    """mu after τ, with energy ≤ the one before, in one step or in as many shorter ones as −∂ξ carries mass
    over cells where the drift outweighs the diffusion, and as the checks ask for.

    At rest ∂ξ is 0, so that the substeps of a long step grow as it comes to rest.
    """
    now, share, streak, tries, still = Outcome(mu, energy, done=0.0), 1.0, 0, 0, False
    while now.done < 1.0:
        rest = 1.0 - now.done
        crossed, changed = problem.crossed(now.mu, rest * tau)
        if problem.rests and max(crossed, changed) == 0.0 and _below(problem, now.mu.values):
            return _joined(now, Outcome(now.mu, now.energy).counted(Way.STATIONARY), rest)
        cell, change = rest / max(crossed, 1.0), rest if still else rest / max(changed, 1.0)
        share = min(share, cell if tries < TOLERANCES.line_substeps else max(cell, change))
        orders = share <= cell, share <= change
        after, tries = _checked(problem, now, share * tau, orders, share <= TOLERANCES.frozen), tries + 1
        if after is not None:
            now, streak, still = _joined(now, after, share), streak + 1, Way.STATIONARY in after.ways
            longer = still or streak % TOLERANCES.streak == 0
            share = max(2.0 * share if longer else share, rest / max(changed, 1.0) if problem.rests else 0.0)
            continue
        share, streak = min(0.5 * share, max(change, 2.0**-10 * share)), 0
        now.counted(Way.HALVED)
        if share < TOLERANCES.shortest or tries >= TOLERANCES.most_tries or _too_many(problem, now, tries):
            return now
    return now


def _too_many(problem, now: Outcome, tries: int):
    """Whether what was done of τ by so many tries foretells more than are taken, where none comes to rest."""
    needed = tries / max(now.done, TOLERANCES.shortest)
    return not problem.rests and tries >= TOLERANCES.foreseen_tries and needed > TOLERANCES.most_tries


def _checked(problem, now: Outcome, tau: float, orders: tuple[bool, bool], frozen: bool):
    """An outcome that passes the checks after `tau`, or None."""
    for second_order in [order for order, taken in zip((True, False), orders, strict=True) if taken]:
        outcome, settled = _attempt(problem, now.mu, now.energy, tau, second_order)
        if outcome is not None:
            return outcome if second_order else outcome.counted(Way.IMPLICIT_EULER)
        if settled is not None:
            return settled
    return _from_the_start(problem, now.mu, now.energy, tau) if frozen and problem.moving else None


def _joined(first: Outcome, second: Outcome, share: float):
    ways = dict(first.ways)
    for way, count in second.ways.items():
        ways[way] = ways.get(way, 0) + count
    iterations = first.iterations + second.iterations
    return Outcome(second.mu, second.energy, iterations, ways, first.done + share, first.out + second.out)


def _attempt(problem, mu: Density, energy: float, tau: float, second_order: bool):
    """(an outcome that passes, None), (None, one that stays since only rounding is left), or (None, None)."""
    try:
        values, iterations, converged = self_consistent(problem, mu, tau, second_order)
    except NotSolved:
        return None, None
    least = values.min()
    if not converged or not np.isfinite(least) or least < 0.0 or not _below(problem, values):
        return None, None
    after, out = _through_doors(problem, mu, values)
    if abs(after.mass + out - mu.mass) > TOLERANCES.mass * mu.mass:
        return None, None
    value = problem.F(after)
    if value <= energy or out > 0.0:
        return Outcome(after, value, iterations, out=out), None
    if value - energy <= problem.rounding(mu) and _stays(mu, values):
        return None, Outcome(mu, energy, iterations).counted(Way.STATIONARY)
    return None, None


def _below(problem, values: np.ndarray):
    """Whether ρ is below the cap, but for rounding."""
    return bool(np.all(values <= problem.cap * (1.0 + 1e-12)))


def _stays(mu: Density, values: np.ndarray):
    """Whether a step goes so little away that what F cannot tell need not be told."""
    return np.max(np.abs(values - mu.values)) <= TOLERANCES.stays * np.max(mu.values)


def _through_doors(problem, mu: Density, values: np.ndarray):
    """(the density inside, the mass that left through doors), of which an energy may rise."""
    inside, gone = problem.emptied(values)
    return mu.with_values(inside), float(np.sum(gone * mu.grid.cell_volume))


def self_consistent(problem, mu: Density, tau: float, second_order: bool):
    """(values, iterations, converged): sweeps with the moving part of Ψ at (ρ + ρ′)/2, by iteration.

    The midpoint makes the change of an interaction energy exactly Σ (W∗(ρ+ρ′)/2)(ρ′ − ρ), whatever the sign
    of W: what the sweeps take off the frozen energy, they take off F [BailoCarrilloHu2020].
    """
    if not problem.moving:
        return problem.sweep(mu.values, None, tau, second_order), 1, True
    moving = problem.moving_potential(mu)
    before, change = None, np.inf
    for count in range(1, TOLERANCES.fixed_point_rounds + 1):
        values = problem.sweep(mu.values, moving, tau, second_order)
        if before is not None:
            last, change = change, np.max(np.abs(values - before))
            if change <= TOLERANCES.fixed_point * np.max(values):
                return values, count, True
            if not change <= TOLERANCES.slowest * last:
                break
        before = values
        middle = np.maximum(0.5 * (mu.values + problem.emptied(values)[0]), 0.0)
        if not middle.sum() > 0 or not np.all(np.isfinite(middle)):
            break
        moving = problem.moving_potential(mu.with_values(middle))
    return values, TOLERANCES.fixed_point_rounds, False


def _from_the_start(problem, mu: Measure, energy, tau: float):
    """A step with Ψ of `mu`, if the energy falls.

    It does for small τ: the step goes down the frozen energy, which is convex along it and touches F at mu.
    """
    moving = problem.moving_potential(mu)
    for second_order in (True, False):
        try:
            values = np.maximum(problem.sweep(mu.values, moving, tau, second_order), 0.0)
        except NotSolved:
            continue
        if not np.all(np.isfinite(values)):
            continue
        after, out = _through_doors(problem, mu, values)
        value = problem.F(after)
        if value <= energy or out > 0.0:
            return Outcome(after, value, 1, out=out).counted(Way.FROZEN)
        if value - energy <= problem.rounding(mu) and _stays(mu, values):
            return Outcome(mu, energy, 1).counted(Way.STATIONARY)
    return None
