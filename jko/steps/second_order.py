"""Second order in τ from an exact step: the reflected half-step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from jko.errors import positive_number, whole_number
from jko.scheme import Scheme, State, StepInfo
from jko.steps.reflection import require


@dataclass(frozen=True)
class SecondOrder(Scheme):
    """ρ′ = (2T − id)_#ρ with T the map of the half step J_{τ/2}: order 2 in τ, at the cost of one solve.

    In coordinates in which W₂ is flat it is X′ = 2X₁ − X with X₁ = X − (τ/2)∇F(X₁), the implicit midpoint
    rule (X′ − X)/τ = −∇F((X + X′)/2) [HairerLubichWanner2006]: F falls by W₂²/τ + O(τ³), twice what a JKO
    step guarantees. `scheme` solves JKO steps exactly and can reflect them: Quantile, Gaussian, and on
    grids those that know the potential of a step, where ρ′ = (id + (τ/2)∇φ)_#J_{τ/2}(ρ).

    2T − id is a transport as long as DT ≥ ½. Where it is not one, from rough or far data, or where F(ρ′) +
    W₂²/2τ ≤ F(ρ) fails, the step is J_{τ/2} twice: first order, F falls in any case, and the note says why.
    So are the first `plain_steps`, which smooth rough data [Rannacher1984]; None is none of them, or one on
    a grid where the support is full.

    The record is that of the half step (of two, their sums and the worse relative gap), with the mass
    error, least density and dissipation F(ρ) − F(ρ′) − W₂²/2τ of the whole. TypeError for a scheme that
    cannot be reflected.
    """

    scheme: Scheme
    plain_steps: int | None = None

    order: ClassVar[int] = 2

    def __post_init__(self):
        require(self.scheme, "reflect", "steps.SecondOrder")
        if self.plain_steps is not None:
            whole_number("plain_steps", self.plain_steps, least=0)

    def check(self, F, mu) -> None:
        self.scheme.check(F, mu)

    def init(self, F, mu) -> State:
        inner = self.scheme.init(F, mu)
        return State({"taken": 0, "inner": inner.data}, inner.workspace)

    def step(self, F, mu, tau, state):
        tau = positive_number("tau", tau)
        inner, taken = State(state.data["inner"], state.workspace), state.data["taken"]
        plain = None if self.plain_steps is None and taken == 0 else taken < (self.plain_steps or 0)
        new, inner, info, _ = reflect_or_halve(self.scheme, F, mu, tau, inner, plain)
        return new, state.with_data(taken=taken + 1, inner=inner.data), info

    def energy(self, F, mu, state):
        return self.scheme.energy(F, mu, State(state.data["inner"], state.workspace))


def reflect_or_halve(scheme, F, mu, tau, state, plain=None):
    """(ρ′, state, record, past) of a reflected half-step where it may be taken, of two half steps
    elsewhere; the past is empty after those."""
    reflected = scheme.reflect(F, mu, tau, state)
    half, half_state, half_info = reflected.half
    if not half_info.converged:
        return half, half_state, half_info, {}
    refusal = "as asked" if plain else reflected.refusal
    if plain is None and reflected.wary:
        refusal = refusal or "the first step from given data"
    if refusal:
        exact = scheme.sharpened() if hasattr(scheme, "sharpened") else scheme
        new, state, info = exact.step(F, half, 0.5 * tau, half_state)
        return new, state, _of_two(half_info, info, mu, new, f"two plain half steps: {refusal}"), {}
    new = reflected.measure
    info = replace(
        half_info,
        mass_error=abs(new.mass - mu.mass),
        min_density=_least(new, half_info),
        dissipation=reflected.dissipation,
        note=joined(half_info.note, reflected.note),
    )
    return new, reflected.state, info, reflected.past


def _of_two(first, second, mu, new, note):
    """By the triangle inequality W₂²(ρ, ρ″)/2τ ≤ the sum of the two steps' own costs: dissipations add."""
    return StepInfo(
        status=second.status,
        gap=first.gap + second.gap,
        relative_gap=max(first.relative_gap, second.relative_gap),
        iterations=first.iterations + second.iterations,
        mass_error=abs(new.mass - mu.mass),
        min_density=second.min_density,
        dissipation=first.dissipation + second.dissipation,
        note=joined(note, second.note),
    )


def _least(measure, info):
    return float(measure.values.min()) if hasattr(measure, "values") else info.min_density


def joined(*notes):
    """One sentence after the other."""
    return "; ".join(filter(None, notes))
