"""Bounds in W₂ for a whole run, from the records of its steps; derived in docs/error_bounds.md."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

import numpy as np


class Space(StrEnum):
    """Where the steps of a scheme are proximal maps of F, up to the gap on record.

    FLAT: a Hilbert space, in which energies and distances are exact (quantiles on the line, positions of
    particles, commuting covariances). WASSERSTEIN: W₂ and F, exact. GRID: W₂ and F up to what a grid adds to
    gap, cost and energy. SLICES: the cost of a few inner slices in the place of W₂, whose error does not fall
    with h. NONE: the steps are no proximal maps of W₂, or their gaps are not known.
    """

    FLAT = "flat"
    WASSERSTEIN = "wasserstein"
    GRID = "grid"
    SLICES = "slices"
    NONE = ""


class Kind(StrEnum):
    """What a bound is: proven for the discrete problem in space, proven but for the error of the grid in its
    numbers, an estimate by the same formula where no theorem holds, or nothing (NaN)."""

    PROVEN = "proven"
    GRID = "up to the grid"
    ESTIMATE = "estimate"
    NONE = "none"


class Bound(NamedTuple):
    """Bounds in W₂ `[k]`, NaN where nothing is known, and their kind."""

    values: np.ndarray
    kind: Kind


class Steps(NamedTuple):
    """What bounds read of n steps: gap, cost W₂²/2τ and dissipation F(ρ) − F(ρ′) − cost, each `[n]`; τ."""

    gap: np.ndarray
    cost: np.ndarray
    dissipation: np.ndarray
    tau: float


def gap_from_residual(residual: float, tau: float, modulus: float | None) -> float:
    """r²/2(1/τ + λ) ≥ Φ − min Φ where ∇Φ has the norm r and Φ is (1/τ + λ)-convex; NaN where it is not."""
    convexity = 1.0 / tau + modulus if modulus is not None else -1.0
    return 0.5 * residual * residual / convexity if convexity > 0.0 else math.nan


def error_bound(steps: Steps, modulus: float) -> np.ndarray:
    """W₂ from the exact iterates `[n + 1]` by e_k = δ_k + e_{k−1}/(1 + λτ), δ = √(2 gap/(1/τ + λ)).

    Proven where proximal maps contract by 1/(1 + λτ), as in a Hilbert space. NaN where 1/τ + λ ≤ 0.
    """
    found = np.zeros(steps.gap.size + 1)
    contraction = 1.0 + modulus * steps.tau
    if contraction <= 0.0:
        found[1:] = math.nan
        return found
    apart = np.sqrt(2.0 * steps.tau * np.maximum(steps.gap, 0.0) / contraction)
    for k, delta in enumerate(apart):
        found[k + 1] = delta + found[k] / contraction
    return found


def flow_error_bound(steps: Steps, modulus: float) -> np.ndarray:
    """W₂ from the gradient flow `[n + 1]`, both started from the same measure; proven in any dimension.

    The a-posteriori estimate [NochettoSavareVerdi2000] with the gap as a perturbation of the discrete
    evolution variational inequality. A λ > 0 also offers the rates 0 and λ/2, whose sources are smaller: the
    least of the three is kept, step by step. NaN where 1/τ + λ ≤ 0.
    """
    found = np.zeros(steps.gap.size + 1)
    if 1.0 + modulus * steps.tau <= 0.0:
        found[1:] = math.nan
        return found
    offers = [_Rate(modulus, modulus, steps.tau)]
    if modulus > 0.0:
        offers += [_Rate(0.0, 0.0, steps.tau), _Rate(0.5 * modulus, 0.0, steps.tau)]
    columns = np.stack([np.maximum(steps.gap, 0.0), np.maximum(steps.cost, 0.0), steps.dissipation], axis=1)
    for k, (gap, cost, dissipation) in enumerate(columns.tolist()):
        found[k + 1] = math.sqrt(min(rate.after(found[k] ** 2, gap, cost, dissipation) for rate in offers))
    return found


class _Rate:
    """One step of the differential inequality (with d² the interpolated square of the distance to the flow,
    ℓ ∈ [0, 1] the part of the step that is over, w = W₂(ρ, ρ′))

    ½(d²)′ + rate·d² ≤ ½R + |λ|(1 − ℓ)w d + c|λ|w² + η(d + (1 − ℓ)w) + gap,  R = 2(1 − ℓ)(F − F′) − w²/τ,

    c = ½ℓ(1 − ℓ) for λ ≥ 0 and ½(1 − ℓ)² for λ < 0, η = √(2 gap (1/τ + λ)): [Equation 8] of
    docs/error_bounds.md. `crossing` is the λ of the terms in w: 0 where W₂²(ρ′, u) ≥ 0 was dropped.
    """

    def __init__(self, rate: float, crossing: float, tau: float):
        self.tau, self.crossing = tau, abs(crossing)
        self.stiffness = 1.0 / tau + (2.0 * rate if crossing == 0.0 else rate)  # 1/τ + λ
        self.decay = math.exp(-2.0 * rate * tau)
        self.most = max(1.0, self.decay)  # of the weight e^{−2 rate (t_k − t)} within the step
        self.whole, self.left = _weights(-2.0 * rate * tau)
        self.square = 1.0 / 6.0 if crossing >= 0.0 else 1.0 / 3.0  # 2∫c dℓ

    def after(self, squared: float, gap: float, cost: float, dissipation: float) -> float:
        """The square of the bound after a step, from that before it."""
        tau, fall = self.tau, dissipation + cost
        if math.isnan(fall + gap) or fall == math.inf:
            return fall + gap
        w, eta = math.sqrt(2.0 * tau * cost), math.sqrt(2.0 * gap * self.stiffness)
        # ∫R over the step; at least 0, so that the space's error in F and W₂ takes nothing away
        source = max(2.0 * tau * (fall * self.left - cost * self.whole), 0.0)
        rise = tau * max(dissipation, 0.0) ** 2 / fall if fall > 0.0 else 0.0  # ∫R⁺
        constant = tau * (self.square * self.crossing * w * w + eta * w + 2.0 * gap)
        linear = tau * (0.5 * self.crossing * w + eta)
        half = self.most * linear
        widest = half + math.sqrt(half * half + self.most * (squared + rise + constant))  # of d in the step
        return self.decay * squared + source + self.most * (constant + 2.0 * linear * widest)


def _weights(b: float) -> tuple[float, float]:
    """∫₀¹ e^{bm} dm and ∫₀¹ m e^{bm} dm."""
    if abs(b) < 1e-3:  # where the closed forms lose half their digits, and four terms of the series do not
        return 1.0 + b / 2.0 + b * b / 6.0 + b**3 / 24.0, 0.5 + b / 3.0 + b * b / 8.0 + b**3 / 30.0
    whole = math.expm1(b) / b
    return whole, (math.exp(b) - whole) / b


def bounds_of(run) -> tuple[Bound, Bound]:
    """Bounds of a Trajectory at its stored times: to the exact iterates, and to the flow."""
    number = _steps_done(run)
    if run.space is Space.NONE or number[-1] > run.info.n_steps:
        nothing = Bound(np.full(number.size, math.nan), Kind.NONE)
        return nothing, nothing
    steps, modulus = _steps_of(run, number[-1]), _modulus_of(run)
    kind = Kind.GRID if run.space is Space.GRID else Kind.PROVEN
    if run.displacement_modulus is None or run.space is Space.SLICES:
        kind = Kind.ESTIMATE
    contracts = run.space is Space.FLAT or run.measures[0].dimension == 1
    return (
        _bound(error_bound(steps, modulus)[number], kind if contracts else Kind.ESTIMATE),
        _bound(flow_error_bound(steps, modulus)[number], kind),
    )


def has_bound_at(tau: float, run) -> bool:
    """Whether 1/τ + λ > 0, at a λ that is known or stands in for one that is not."""
    return 1.0 + tau * _modulus_of(run) > 0.0


def flow_bound_of_tau(run) -> np.ndarray:
    """`flow_error_bound` as it would be with gaps of 0: what is τ's."""
    number = _steps_done(run)
    steps = _steps_of(run, number[-1])
    return flow_error_bound(steps._replace(gap=0.0 * steps.gap), _modulus_of(run))[number]


def _steps_done(run) -> np.ndarray:
    """How many steps lead to each stored time."""
    return np.rint(run.times / run.tau).astype(int)


def _steps_of(run, n: int) -> Steps:
    return Steps(*(run.info[name][:n] for name in ("gap", "transport_cost", "dissipation")), run.tau)


def _modulus_of(run) -> float:
    """λ as declared, else as observed, else 0, at which errors neither grow nor fall."""
    known = (run.displacement_modulus, run.observed_modulus, 0.0)
    return next(modulus for modulus in known if modulus is not None)


def _bound(values: np.ndarray, kind: Kind) -> Bound:
    """Bounds at the stored times, and their kind; none where only the start has one."""
    return Bound(values, kind if np.isfinite(values[1:]).any() or values.size == 1 else Kind.NONE)
