"""What a scaled plan proves about the entropic step, and about the exact one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jko.steps.entropic.tolerances import TOLERANCES
from jko.steps.grid.dual_energy import DualEnergy


@dataclass(frozen=True)
class EntropicCertificate:
    """`gap` of the entropic problem; `plan_slack`, what to add for a bound on the exact step's; `cost`, what
    the entropic objective without F gains from ρ_k to ρ′; `debiased`, the same less (α/2)∫ρ log ρ between
    the two; `transport`, the Sinkhorn divergence of the two: both are W₂²/2τ + O(α²).
    """

    gap: float
    plan_slack: float
    cost: float
    debiased: float
    transport: float


def certify(scaled, staying: float, cell_volume: float, axes: list) -> EntropicCertificate:
    """Of a `Scaled` on the grid with these axes, `staying` being `self_cost`.

    The plan is optimal between its own marginals, and αKL − share·α∫ρ log ρ is convex with the derivative
    q = α(g − share·log ρ̂), so that the objective of ρ̂, its second marginal, exceeds the least by no more than
    ∫U(ρ̂) + U*(p) − pρ̂ with p = κ − q − V, for any κ. For the exact step −q is an admissible price too:
    ∫|x − y|²/2τ − q^c(x) − q(y) under the plan is the rest of its gap.

    From ρ_k to ρ′ the plan costs α(∫fρ_k + ∫gρ′), from ρ_k to itself `self_cost`; their difference less
    (α/2)∫ρ log ρ between the same is the cost without its bias, to first order. With half of what staying at
    ρ_k costs more than staying at ρ′ it is the Sinkhorn divergence, 0 of equal densities and else positive
    where the kernel is a Gaussian's [FeydyEtAl2019].
    """
    step, q = scaled.step, scaled.slope
    density = scaled.density if step.cap is None else np.minimum(scaled.density, step.cap)
    minus_pressure = q + step.potential
    gap = sum(_fenchel_young(step, at, minus_pressure[at], density[at]) for at in step.pieces)
    plan = step.plan_cost(scaled, axes)
    slack = plan - float(np.vdot(step.conjugate(q), step.rho)) - float(np.vdot(q, scaled.density))
    moved, entropy = _moved(scaled, staying), _gained(scaled)
    debiased = moved - 0.5 * entropy
    divergence = debiased + 0.5 * (staying - self_cost(replace(step, rho=scaled.wanted)))
    return EntropicCertificate(
        cell_volume * max(gap, 0.0),
        cell_volume * max(slack, 0.0),
        cell_volume * (moved - step.share * entropy),
        cell_volume * debiased,
        cell_volume * divergence,
    )


def entropic_cost(scaled, staying: float) -> float:
    """What the objective without F gains from ρ_k to the density that is wanted, over the cell volume."""
    return _moved(scaled, staying) - scaled.step.share * _gained(scaled)


def _moved(scaled, staying: float):
    step = scaled.step
    plan = np.vdot(scaled.f, step.rho) + np.vdot(scaled.g, scaled.wanted)
    return step.alpha * float(plan) - staying


def _gained(scaled):
    """α∫ρ log ρ of the wanted density less that of ρ_k."""
    return scaled.step.alpha * (float(np.vdot(scaled.wanted, scaled.log_wanted)) - _entropy(scaled.step.rho))


def _entropy(rho: np.ndarray):
    held = rho[rho > 0.0]
    return float(np.vdot(held, np.log(held)))


def _fenchel_young(step, at, minus_pressure: np.ndarray, density: np.ndarray):
    """min over κ, nearly, over a piece, of ∑U(ρ̂) + U*(κ − z) − (κ − z)ρ̂."""
    total, cap = float(density.sum()), None if step.cap is None else step.cap[at]
    if step.internal is not None:
        energy = DualEnergy(step.internal, cap)
        kappa, r = energy.normalise(minus_pressure, total, TOLERANCES.certificate_mass)
        p = kappa - minus_pressure
        return float(np.sum(step.internal.density(density) - p * density)) + energy.total_conjugate(p, r)
    if cap is None:
        return float(np.vdot(minus_pressure - minus_pressure.min(), density))
    order = np.argsort(minus_pressure, axis=None)
    filled = np.cumsum(cap.ravel()[order])
    last = order[min(int(np.searchsorted(filled, total)), len(order) - 1)]
    p = minus_pressure.ravel()[last] - minus_pressure
    return float(np.sum(cap * np.maximum(p, 0.0) - p * density))


def self_cost(step) -> float:
    """min over plans π of ρ_k with itself of ∑|x − y|²/2τ·π + αKL(π | ρ_k N), in units of a cell's volume.

    The plan is e^{f(x) + f(y)}ρ_k(x)ρ_k(y)N(x − y; ε), and f the mean of itself and −log N∗e^fρ_k until
    the dual value, which falls short of the cost by the square of what f misses, settles.
    """
    heat, rho, mass = step.heat(), step.rho, float(step.rho.sum())
    held = rho > 0.0
    with np.errstate(divide="ignore"):
        log_rho = np.log(rho)
    entropy = float(np.vdot(rho[held], log_rho[held]))
    f, best = -0.5 * heat(log_rho), -np.inf
    for _ in range(TOLERANCES.self_rounds):
        image = -heat(f + log_rho)
        # the value of (f, image), whose first marginal is right
        value = float(np.vdot(rho, f + image)) + entropy
        f = 0.5 * (f + image)
        if not value > best + TOLERANCES.self_settled * (mass + abs(value)):
            break
        best = value
    return step.alpha * max(best, value)
