"""Moreau envelope and proximal map of a functional in W₂: what a JKO step computes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from functionals import Functional
from jko.errors import StepFailed, positive_number
from jko.measures import Density
from jko.scheme import Scheme, StepInfo


@dataclass(frozen=True, eq=False)
class WassersteinEnvelope:
    """e_sF(μ) = min_ν W₂²(μ, ν)/2s + F(ν): its `value`, the `prox` that attains it, and the record `info` of
    the step, whose `gap` is what the value may be too high by."""

    value: float
    prox: Any
    info: StepInfo
    measure: Any
    s: float

    def gradient(self, x) -> np.ndarray:
        """∇_W e_sF(μ) = (id − T)/s at points `[n, d]`, T the optimal map from μ to the prox."""
        from jko.transport.maps.brenier import brenier_map

        T = brenier_map(self.measure, self.prox)
        images = T(x)
        return (np.asarray(x, dtype=float).reshape(images.shape) - images) / self.s


def wasserstein_envelope(F, s: float, mu: Density, scheme) -> WassersteinEnvelope:
    """e_sF(μ) = min_ν W₂²(μ, ν)/2s + F(ν), the envelope of a functional in W₂ [AmbrosioGigliSavare2008].

    The minimiser is the JKO step of size s: a `scheme` of `jko.steps` that takes F and mu finds it. As on
    a line, e_sF ≤ F, e_sF → F as s → 0 with (F − e_sF)/s → ½∫|∇_W F|²dμ, and ∇_W e_sF = (id − T)/s.

    The value is what the scheme minimised: `steps.Linearized` and `steps.Entropic` put their own distances in
    place of W₂.

    Raises TypeError for what is no functional or scheme, ValueError for one whose step minimises nothing,
    StepFailed where the step did not converge, and whatever the scheme refuses.
    """
    s = positive_number("s", s)
    if not isinstance(F, Functional):
        raise TypeError(f"F: expected a Functional, got {type(F).__name__}: try fn.Potential(V)")
    if not isinstance(scheme, Scheme):
        raise TypeError(
            f"scheme: expected one of jko.steps, such as jko.steps.Quantile(), got {scheme!r:.60}"
        )
    if scheme.order > 1:
        raise ValueError(
            f"scheme: a step of {scheme.scheme_name()} is of order {scheme.order} and no minimiser of "
            "W₂²/2s + F; take its first-order base"
        )
    problem = scheme.prepare(F, mu)
    nu, _, info = scheme.step(problem, mu, 0.0, s, problem.start)
    if not info.converged:
        raise StepFailed(f"s: the step of size {s:g} ended as '{info.status}'; {info.note}", info)
    if not math.isfinite(info.dissipation):
        raise ValueError(
            f"scheme: {scheme.scheme_name()} does not minimise W₂²/2s + F; take one of jko.steps"
        )
    return WassersteinEnvelope(
        scheme.energy(problem, mu, 0.0, problem.start)[0] - info.dissipation, nu, info, mu, s
    )
