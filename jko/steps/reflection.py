"""What an exact step offers to the wrappers of second order, and what they hand on.

A step that can be reflected defines

    reflect(problem, mu, t, tau, state) -> Reflected       2 J_{τ/2} − id, with one solve and F at t + τ/2
    continued(problem, mu, past, t, tau, state) -> Continued | None
                                                           J_{2τ/3} from X_k + (X_k − X_{k−1})/3, F at t + τ

in the form in which it holds a transport: edges on the line, matrices between Gaussians, potentials on
grids. One that stops at a tolerance may define sharpened(), the same step solved so well that errors do not
add up. `past` is what such a step needs to know of the measure before the last one, as the last one handed
it on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jko.scheme import Scheme, State, StepInfo
from jko.steps.tolerances import TOLERANCES


class Reflected(NamedTuple):
    """The half step J_{τ/2}(ρ) with its record, and ρ′ = (2T − id)_#ρ.

    dissipation: F(ρ) − F(ρ′) − W₂²(ρ, ρ′)/2τ; energy: F(ρ), in the step's own quadrature; bent: by how much
    of its own length, in W₂, the reflection was changed to keep it a transport between densities. measure
    is None where there is none; `note` then says why. wary: whether ρ should come from plain steps, which
    smooth it.
    """

    half: tuple[Any, State, StepInfo]
    measure: Any
    state: State | None
    dissipation: float
    energy: float
    bent: float = 0.0
    note: str = ""
    past: dict = {}
    wary: bool = False

    @property
    def refusal(self) -> str:
        """Why ρ′ should not be taken, or nothing: it must obey the inequality of a JKO step."""
        if self.measure is None:
            return self.note
        if excess := _excess(self.dissipation, self.energy, self.half[2].transport_cost):
            return excess
        if self.bent > TOLERANCES.bent:
            return f"2T − id is no transport map: made one, it differs by {self.bent:.0%}"
        return ""


class Continued(NamedTuple):
    """A step from an extrapolation: ρ′, its state and record, and what the next one needs to know of ρ.

    The record's dissipation F(ρ) − F(ρ′) − W₂²(ρ, ρ′)/2τ and its transport cost are those of the whole τ, its
    gap is that of the step of 2τ/3.
    """

    measure: Any
    state: State
    info: StepInfo
    past: dict
    energy: float

    @property
    def refusal(self) -> str:
        """Why ρ′ should not be taken, or nothing."""
        if not self.info.converged:
            return f"the step from the extrapolation ended as '{self.info.status}'"
        return _excess(self.info.dissipation, self.energy, self.info.transport_cost)


def _excess(dissipation: float, energy: float, cost: float):
    if dissipation < -TOLERANCES.rounding * (abs(energy) + abs(cost)):
        return f"F(ρ′) + W₂²/2τ would exceed F(ρ) by {-dissipation:.1e}"
    return ""


def require(scheme: Scheme, method: str, wrapper: str) -> Scheme:
    """The scheme, refused unless it defines `method`."""
    if isinstance(scheme, Scheme) and callable(getattr(scheme, method, None)):
        return scheme
    able = [name for name, cls in sorted(Scheme.known.items()) if callable(getattr(cls, method, None))]
    got = f"the class {scheme.__name__}" if isinstance(scheme, type) else repr(scheme)
    raise TypeError(
        f"scheme: {wrapper} wraps {', '.join(able)}, got {got}; give one of them, such as {able[-1]}()"
    )
