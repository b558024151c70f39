"""Steps whose length follows an error target, between output times that stay fixed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from functionals import Functional
from jko.errors import positive_number, whole_number
from jko.measures import Density, Gaussian, Measure
from jko.records import joined
from jko.scheme import Problem, Scheme, State, Status, StepInfo, Wrapper
from jko.steps.tolerances import TOLERANCES
from jko.transport.distances.gaussian import bures_wasserstein


@dataclass(frozen=True)
class Adaptive(Wrapper):
    """One step of τ made of as many steps of `scheme` as an error target asks for, of lengths δ that follow
    the flow.

    Each δ is taken once whole and once in halves; the halves are kept. Their error is estimated as the
    distance of the two over 2ᵖ − 1, p the scheme's order [HairerNorsettWanner1993], and held to tolerance ·
    δ, the tolerance being that of a unit of time: where the flow contracts, the error of a run at time t is
    then about tolerance · t at most. The distance is W₂ between Gaussians and L1 between densities. Costs
    three solves for two steps of δ/2.

    The length goes over to the next τ and into checkpoints. A step that fails is tried shorter. Where the
    error does not fall with δ it is the grid's, and δ is accepted. `details`: steps, shortest, longest, the
    error estimated, rejected steps, and at_floor, steps accepted at the grid's error. Gaps, iterations and
    dissipations are sums over the steps kept; by Σ W²/2δ ≥ W²/2τ the sum of dissipations is a lower bound on
    that of the whole. More than `max_steps` solves: "not converged".
    """

    scheme: Scheme
    tolerance: float = 1e-2
    max_steps: int = 1000

    first: ClassVar = {"length": 0.0}

    def __post_init__(self):
        if not isinstance(self.scheme, Scheme):
            raise TypeError(f"scheme: expected a scheme such as steps.Quantile(), got {self.scheme!r}")
        positive_number("tolerance", self.tolerance)
        whole_number("max_steps", self.max_steps)

    def check(self, F: Functional, mu: Measure) -> None:
        self.require_one(mu)
        if not isinstance(mu, (Density, Gaussian)):
            raise TypeError(
                f"steps.Adaptive moves Density or Gaussian, got {type(mu).__name__}: put it on a grid first"
            )
        self.scheme.check(F, mu)

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau = positive_number("tau", tau)
        journey = _Journey(self, problem, state["length"] or tau)
        new, inner = journey.go(mu, self.inner(state), t, tau)
        info = journey.record(mu, new)
        return new, state.having(length=journey.length, inner=inner), info


class _Kept(NamedTuple):
    length: float
    error: float
    infos: tuple


class _Rejected(NamedTuple):
    length: float
    error: float
    stalls: int


class _Journey:
    """The way through one τ."""

    def __init__(self, settings, problem, length):
        self.settings, self.scheme, self.problem, self.length = settings, settings.scheme, problem, length
        self.kept, self.failed = [], None
        self.solves, self.rejected, self.at_floor, self.noise = 0, 0, 0, 0.0

    def go(self, mu: Measure, state: State, t, tau: float):
        left, longest, rejected = tau, tau, None
        while left > TOLERANCES.crumb * tau and self.failed is None:
            parts = np.ceil(left / min(self.length, longest) - 1e-9)  # equal ones, so that none is a crumb
            share, target = left / parts, self.settings.tolerance * left / parts
            tried = self._try(mu, state, t + (tau - left), share)
            if tried is None:
                self.rejected, self.length, rejected = self.rejected + 1, 0.5 * share, None
                longest = self.length
                continue
            *reached, error, infos = tried
            stalls = 0
            if rejected is not None and error > max(target, rejected.error / TOLERANCES.least_fall):
                stalls = rejected.stalls + 1
            if stalls == TOLERANCES.stalls:
                self.noise, self.length = max(self.noise, error), rejected.length
            elif error > max(target, TOLERANCES.least_fall * self.noise):
                rejected = _Rejected(share, error, stalls)
                self.rejected, self.length = self.rejected + 1, self._wanted(share, error)
                continue
            else:
                self.length = self._wanted(share, error) if error <= target else share
            self.at_floor += error > target
            self.kept.append(_Kept(share, error, infos))
            (mu, state), left, longest, rejected = reached, left - share, min(tau, 2.0 * longest), None
        return mu, state

    def _wanted(self, length, error):
        ratio = self.settings.tolerance * length / max(error, 1e-300)
        return length * float(
            np.clip(
                TOLERANCES.safety * ratio ** (1.0 / self.scheme.order), TOLERANCES.shrink, TOLERANCES.grow
            )
        )

    def _try(self, mu: Measure, state: State, t, length):
        """(measure, state, error, records) of two half steps, or None where one fails."""
        infos, measure, after = [], mu, state
        whole, _, info = self._solve(mu, state, t, length)
        for half in range(2):
            if self.failed is not None or not info.converged:
                return None
            measure, after, info = self._solve(measure, after, t + 0.5 * half * length, 0.5 * length)
            infos.append(info)
        if not info.converged:
            return None
        error = distance(whole, measure) / (2.0**self.scheme.order - 1.0)
        return measure, after, error, tuple(infos)

    def _solve(self, mu: Measure, state: State, t, length):
        found = self.scheme.step(self.problem, mu, t, length, state)
        self.solves += 1
        if self.solves >= self.settings.max_steps:
            self.failed = found[2]
        return found

    def record(self, old, new) -> StepInfo:
        infos = [info for kept in self.kept for info in kept.infos]
        if self.failed is not None or not infos:
            last = self.failed or StepInfo()
            few = f"{self.solves} solves were not enough for tolerance {self.settings.tolerance:g}"
            return replace(last, status=Status.NOT_CONVERGED, note=joined(few, last.note))
        lengths = [0.5 * kept.length for kept in self.kept]
        error = sum(kept.error for kept in self.kept)
        said = f"{len(infos)} steps of {min(lengths):.3g} to {max(lengths):.3g}, error about {error:.1e}"
        if self.rejected:
            said += f", {self.rejected} rejected"
        if self.at_floor:
            said += f", {self.at_floor} accepted where the error is the grid's and does not fall with tau"
        notes = dict.fromkeys(info.note for info in infos if info.note)
        return StepInfo.summed(
            infos,
            mass_error=abs(new.mass - old.mass),
            note="; ".join([said, *list(notes)[:2]]),
            details={
                "steps": len(infos),
                "shortest": min(lengths),
                "longest": max(lengths),
                "error": error,
                "rejected": self.rejected,
                "at_floor": self.at_floor,
            },
        )


def distance(first, second) -> float:
    """W₂ between Gaussians, the integral of |ρ − ρ′| between densities."""
    if isinstance(first, Density):
        return float(np.abs(first.values - second.values).sum()) * first.grid.cell_volume
    return bures_wasserstein(first.mean(), first.covariance(), second.mean(), second.covariance())
