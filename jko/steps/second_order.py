"""Second order in τ from an exact step: the reflected half-step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from functionals import Functional
from jko.bounds import Space
from jko.errors import positive_number, whole_number
from jko.measures import Density, Measure
from jko.records import joined
from jko.scheme import Problem, Scheme, State, StepInfo, Wrapper
from jko.steps.reflection import require
from jko.steps.tolerances import TOLERANCES


@dataclass(frozen=True)
class SecondOrder(Wrapper):
    """ρ′ = (2T − id)_#ρ with T the map of the half step J_{τ/2}: order 2 in τ, at the cost of one solve.

    In coordinates in which W₂ is flat it is X′ = 2X₁ − X with X₁ = X − (τ/2)∇F(X₁), the implicit midpoint
    rule (X′ − X)/τ = −∇F((X + X′)/2) [HairerLubichWanner2006]: F falls by W₂²/τ + O(τ³), twice what a JKO
    step guarantees. `scheme` solves JKO steps exactly and can reflect them: Quantile, Gaussian, and on
    grids those that know the potential of a step, where ρ′ = (id + (τ/2)∇φ)_#J_{τ/2}(ρ).

    2T − id is a transport as long as DT ≥ ½. Where it is not one, from rough or far data, or where F(ρ′) +
    W₂²/2τ ≤ F(ρ) fails, the step is J_{τ/2} twice: first order, F falls in any case, and the note says why.
    On the line it is J_τ where F of the densities, not of the edges that Quantile holds, would rise.
    The first `plain_steps` are J_{τ/3} three times, which damps the fast modes of rough data, where a
    reflection turns their sign and keeps them [Rannacher1984]; None is none of them, or two on a grid where
    the support is full.

    The record is that of the half step (of plain ones, their sums and the worst relative gap), with the mass
    error, least density and dissipation F(ρ) − F(ρ′) − W₂²/2τ of the whole. TypeError for a scheme that
    cannot be reflected.
    """

    scheme: Scheme
    plain_steps: int | None = None

    order: ClassVar[int] = 2
    first: ClassVar = {"taken": 0}

    def __post_init__(self):
        require(self.scheme, "reflect", "steps.SecondOrder")
        if self.plain_steps is not None:
            whole_number("plain_steps", self.plain_steps, least=0)

    def check(self, F: Functional, mu: Measure) -> None:
        self.require_one(mu)
        self.scheme.check(F, mu)

    def moving_step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau = positive_number("tau", tau)
        inner, taken = self.inner(state), state["taken"]
        if taken < (self.plain_steps or 0):
            new, inner, info = _thirds(self.scheme, problem, mu, t, tau, inner, "as asked")
        else:
            starting = self.plain_steps is None and taken < TOLERANCES.starting_steps
            new, inner, info, _ = reflect_or_halve(self.scheme, problem, mu, t, tau, inner, starting)
        return new, state.having(taken=taken + 1, inner=inner), info


def reflect_or_halve(
    scheme: Scheme, problem: Problem, mu: Density, t: float, tau: float, state: State, starting: bool = True
):
    """(ρ′, state, record, past) of a reflected half-step where it may be taken, of two half steps
    elsewhere, of three thirds at the start from what may be rough; the past is empty after those.

    A scheme that holds edges sees their F: where that of the densities would rise, the step is J_τ itself.
    """
    taken = _reflect_or_halve(scheme, problem, mu, t, tau, state, starting)
    if scheme.space_of_steps(problem, mu) is not Space.FLAT:
        return taken
    rise = risen(problem.F.at(t + 0.5 * tau), mu, taken[0])
    if not rise:
        return taken
    new, after, info = scheme.step(problem, mu, t, tau, state)
    told = {**info.details, "plain_steps": 1}
    return new, after, replace(info, note=joined(f"a plain step: {rise}", info.note), details=told), {}


def risen(F: Functional, mu: Density, new: Density) -> str:
    """What F of the measures themselves would rise by, beyond rounding, or nothing."""
    before, after = float(F(mu)), float(F(new))
    if after > before + TOLERANCES.rounding * abs(before):
        return f"F would rise by {after - before:.1e}"
    return ""


def _reflect_or_halve(
    scheme: Scheme, problem: Problem, mu: Density, t: float, tau: float, state: State, starting: bool
):
    reflected = scheme.reflect(problem, mu, t, tau, state)
    half, half_state, half_info = reflected.half
    if not half_info.converged:
        return half, half_state, half_info, {}
    if starting and reflected.wary:
        return *_thirds(scheme, problem, mu, t, tau, state, "the first steps from given data"), {}
    if reflected.refusal:
        note = f"two plain half steps: {reflected.refusal}"
        return *_plain(scheme, problem, mu, t + 0.5 * tau, 0.5 * tau, 1, note, reflected.half), {}
    new = reflected.measure
    info = replace(
        half_info,
        mass_error=abs(new.mass - mu.mass),
        min_density=_least(new, half_info),
        dissipation=reflected.dissipation,
        transport_cost=2.0 * half_info.transport_cost,
        note=joined(half_info.note, reflected.note),
    )
    return new, reflected.state, info, reflected.past


def _thirds(scheme: Scheme, problem, mu: Measure, t, tau: float, state: State, why):
    note = f"three plain third steps: {why}"
    return _plain(
        scheme,
        problem,
        mu,
        t,
        tau / TOLERANCES.plain_pieces,
        TOLERANCES.plain_pieces,
        note,
        (mu, state, None),
    )


def _plain(
    scheme: Scheme, problem: Problem, mu: Density, t: float, tau: float, number: int, note: str, taken: tuple
):
    """(ρ′, state, record) of so many plain steps of τ from t on after what was `taken` from μ.

    W₂²(ρ, ρ″)/2Στ is no more than the sum of the steps' own costs, by Cauchy: dissipations add.
    """
    exact = scheme.sharpened() if hasattr(scheme, "sharpened") else scheme
    new, state, info = taken
    records = [] if info is None else [info]
    for k in range(number):
        new, state, info = exact.step(problem, new, t + k * tau, tau, state)
        records.append(info)
        if not info.converged:
            break
    told = {"note": joined(note, info.note), "details": {"plain_steps": len(records)}}
    return new, state, StepInfo.summed(records, mass_error=abs(new.mass - mu.mass), **told)


def _least(measure: Density, info: StepInfo):
    return float(measure.values.min()) if hasattr(measure, "values") else info.min_density
