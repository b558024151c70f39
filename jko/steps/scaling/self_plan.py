"""The entropic cost of staying, ρ_k to itself, which is no 0."""

from __future__ import annotations

import numpy as np

_ROUNDS = 30
_SETTLED = 1e-8  # of the cost: what a further round would still add


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
    for _ in range(_ROUNDS):
        image = -heat(f + log_rho)
        # the value of (f, image), whose first marginal is right
        value = float(np.vdot(rho, f + image)) + entropy
        f = 0.5 * (f + image)
        if not value > best + _SETTLED * (mass + abs(value)):
            break
        best = value
    return step.alpha * max(best, value)
