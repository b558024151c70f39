"""Second order in τ from an exact step: the variational two-step backward differentiation formula."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from functionals import Functional
from jko.errors import positive_number
from jko.measures import Measure
from jko.records import joined
from jko.scheme import Problem, Scheme, State, Wrapper
from jko.steps.reflection import require
from jko.steps.second_order import reflect_or_halve, risen


@dataclass(frozen=True)
class VariationalBDF2(Wrapper):
    """ρ_{k+1} = J_{2τ/3} of the extrapolation (4X_k − X_{k−1})/3 along the transport from ρ_{k−1} to ρ_k:
    order 2 in τ, one solve a step [GallouetNataleTodeschi2024].

    In coordinates in which W₂ is flat it is (3X_{k+1} − 4X_k + X_{k−1})/2τ = −∇F(X_{k+1}), the backward
    differentiation formula of order 2: L-stable, so that it smooths rough data where a reflection keeps
    them. `scheme` is an exact step that can be continued, such as Quantile and Gaussian. The first step,
    and any after a change of τ, is a reflected half-step, itself of second order; so is one whose
    extrapolation is no transport, or in which F would rise; where it would still, the
    step is J_τ itself. The note says so.

    The record's gap is that of the step of 2τ/3 from the extrapolation, its dissipation F(ρ_k) − F(ρ_{k+1})
    − W₂²/2τ that of the whole step: the scheme is bound to F falling, and so to nothing that W₂² adds.
    TypeError for a scheme that cannot be continued: on grids the map from ρ_k to ρ_{k−1} is not at hand,
    since a step from an extrapolation knows only its own.
    """

    scheme: Scheme

    order: ClassVar[int] = 2
    first: ClassVar = {"past": {}, "tau": 0.0}

    def __post_init__(self):
        if hasattr(self.scheme, "reflect") and not hasattr(self.scheme, "continued"):
            name = self.scheme.scheme_name()
            raise TypeError(
                "scheme: steps.VariationalBDF2 extrapolates along the map from a density to the one before, "
                f"which {name} does not know (it would take a transport problem more a step): take "
                f"steps.SecondOrder({name}())"
            )
        require(self.scheme, "continued", "steps.VariationalBDF2")

    def check(self, F: Functional, mu: Measure) -> None:
        self.require_one(mu)
        self.scheme.check(F, mu)

    def moved(self, problem, mu: Measure, t, state: State):
        problem, state = super().moved(problem, mu, t, state)
        return problem, state.having(past={}, tau=0.0)

    def moving_step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        tau = positive_number("tau", tau)
        inner = self.inner(state)
        refusal = ""
        if state["past"] and state["tau"] == tau:
            found = self.scheme.continued(problem, mu, state["past"], t, tau, inner)
            refusal = "the extrapolation is no transport" if found is None else found.refusal
            refusal = refusal or risen(problem.F.at(t + tau), mu, found.measure)
            if not refusal:
                return found.measure, state.having(inner=found.state, past=found.past), found.info
        new, inner, info, past = reflect_or_halve(self.scheme, problem, mu, t, tau, inner)
        if refusal:
            note = joined(f"no step from the extrapolation: {refusal}", info.note)
            info = replace(info, note=note, details={**info.details, "extrapolated": "refused"})
        return new, state.having(inner=inner, past=past, tau=tau), info
