"""The record of a convex step: its certificate, and whether it counts."""

from __future__ import annotations

import math

from jko.scheme import StepInfo

_FLOOR = 0.1


def closed(settings, gap, earlier, cost) -> bool:
    """Whether renewing models may stop: the gap is far below the tolerance, or below it and no longer falling."""
    target = settings.tolerance * cost
    return gap <= 0.01 * target or (gap <= target and gap > 0.5 * earlier)


def record(
    settings, solution, gap, cost, energy, before, iterations, *, mass_error, min_density, remedy, note=""
) -> StepInfo:
    """The StepInfo of a step of W₂²/2τ = cost from energy `before` to `energy`, judged by its gap alone."""
    if solution.values is None or not math.isfinite(gap):
        status = "not converged"
        note = f"{settings.solver} returned {solution.status} and nothing usable; try another solver or a smaller tau"
    elif gap > settings.tolerance * (cost + _FLOOR * max(1.0, abs(energy))):
        status = "inaccurate"
        note = f"{settings.solver} said {solution.status}, but the gap is {gap:.2g} where W2^2/2tau is {cost:.2g}; {remedy}"
    else:
        status = "converged"
        if solution.status != "optimal":
            note = f"{settings.solver} said {solution.status}, and the certificate closed" + (
                f"; {note}" if note else ""
            )
    return StepInfo(
        status=status,
        gap=gap,
        relative_gap=gap / cost if cost > 0.0 else (0.0 if gap == 0.0 else math.inf),
        iterations=iterations,
        mass_error=mass_error,
        min_density=min_density,
        dissipation=before - energy - cost,
        note=note,
    )
