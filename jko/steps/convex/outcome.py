"""The record of a convex step: its certificate, and whether it counts."""

from __future__ import annotations

import math

from jko.scheme import Status, StepInfo

_FLOOR = 0.1
_NEGLIGIBLE = 3e-3


def rounding(*terms) -> float:
    """What float64 may hide in a difference of sums of these sizes; a gap is an upper bound with it."""
    return 1e-14 * max(map(abs, terms))


def closed(settings, gap, earlier, cost, scale, *, final: bool) -> bool:
    """Whether solving may stop: the gap is below the tolerance where the program is final, far below it or
    stalled where its models can be renewed. `scale` is the size of F at the start."""
    target = settings.tolerance * max(cost, _NEGLIGIBLE * scale)
    return gap <= 0.01 * target or (gap <= target and (final or gap > 0.5 * earlier))


def record(
    settings, solution, gap, cost, energy, before, scale, iterations, *, remedy, note="", **measured
) -> StepInfo:
    """The StepInfo of a step of W₂²/2τ = cost from energy `before` to `energy`, judged by its gap alone.

    A gap counts as closed within `tolerance` of W₂²/2τ, plus a tenth of `scale`, the size of F at the start,
    for steps that hardly move.
    """
    said = f"{settings.solver} said {solution.status}"
    status = Status.CONVERGED
    if solution.values is None or not math.isfinite(gap):
        status, note = Status.NOT_CONVERGED, f"{said} and returned nothing that can be certified; {remedy}"
    elif gap > settings.tolerance * (cost + _FLOOR * scale):
        status = Status.INACCURATE
        note = f"{said}, but the gap is {gap:.2g} where W2^2/2tau is {cost:.2g}; {remedy}"
    elif solution.status != "optimal":
        note = "; ".join(filter(None, (f"{said}, and the certificate closed", note)))
    relative = gap / cost if cost > 0.0 else math.inf
    return StepInfo(
        status=status,
        gap=gap,
        relative_gap=0.0 if gap == 0.0 else relative,
        iterations=iterations,
        dissipation=before - energy - cost,
        transport_cost=cost,
        note=note,
        **measured,
    )
