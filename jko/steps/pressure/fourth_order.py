"""A step's density corrected from differences of second order to those of fourth."""

from __future__ import annotations

import numpy as np

from jko.loops.fourth_order import transported
from jko.loops.multigrid import Multigrid
from jko.steps.dual.energy import DualEnergy
from jko.steps.pressure.newton import LogEnergy

_DEEPEST = 650.0  # log ρ below its maximum, at most; underflow is no vacuum
_LIMIT = 1.0  # of ρU″ at the maximum, the residual that a correction answers
_DENSE, _FADE = 12.0, 8.0  # of log ρ below its maximum: where corrections are whole, and how far they fade
_REDUCTION = 1e-2
_EXACT = 1e-13


def corrected(problem, mu, values, tau):
    """The density of J_τ(μ) after one correction of the pressure p, given one that narrow differences made.

    The residual U′(ρ̂) + V − p is taken with ρ̂ of fourth order in h, Newton's equation with its matrix of
    second order: a defect correction. An explicit half step whose differences are of fourth order goes with
    such an implicit one; beside one of second order it would blow up waves of a few cells. The density is
    given back as it came where the residual would not fall. `problem` is a DualProblem.
    """
    energy, spacing = LogEnergy(problem.internal), mu.grid.spacing
    field = problem.interaction(values)
    potential = problem.potential if field is None else problem.potential + field
    with np.errstate(all="ignore"):
        log = np.log(mu.values)
        np.maximum(log, log.max() - _DEEPEST, out=log)
        own = np.maximum(np.log(values), log.max() - _DEEPEST)
        p = energy.slope(own, np.exp(own))[0] + potential
        residual, size, found, diagonal, stiffness = _defect(energy, log, p, tau, spacing, potential)
        mobility = [tau / h**2 * g for g, h in zip(diagonal, spacing, strict=True)]
        limit = _LIMIT * float(np.broadcast_to(stiffness, found.shape).flat[found.argmax()])
        right = np.clip(residual, -limit, limit)
        correction, _ = Multigrid(found, stiffness, mobility).solve(right, _REDUCTION)
        fade = np.clip((found - found.max() + _DENSE + _FADE) / _FADE, 0.0, 1.0)
        p += correction * fade
        if not _defect(energy, log, p, tau, spacing, potential)[1] < size:
            return values
        return DualEnergy(problem.internal).normalise(potential - p, float(mu.values.sum()), _EXACT)[1]


def _defect(energy, log, p, tau, spacing, potential):
    """(U′(ρ̂) + V − p, its mean square, log ρ̂, (DS)⁻¹'s diagonal, ρ̂U″(ρ̂))."""
    found, diagonal = transported(log, p, tau, spacing)
    density = np.exp(found)
    slope, stiffness = energy.slope(found, density)
    residual = slope + potential - p
    return residual, float(np.sum(residual**2 * density / stiffness)), found, diagonal, stiffness
