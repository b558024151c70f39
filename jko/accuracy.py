"""Steps and tolerances chosen so that a run's bound reaches the accuracy asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from functionals import Functional
from jko.bounds import flow_bound_of_tau, has_bound_at
from jko.scheme import Scheme
from jko.trajectory import Trajectory

FRAMES = 10  # stored times of a run of which only the end time is given
_SHARE = 0.8  # of the accuracy for τ's own error, the rest for the solver's
_AIM = 0.9  # of that share: so the bound predicted from coarser steps is mostly met at the first try
_ORDERS = (0.5, 1.5)  # between which a measured order of the bound in τ is believed; 1 where F is smooth
_MOST_FINER = 32  # times as many steps as the last try: beyond, an order is not to be trusted
_LEAST_TOLERANCE = 1e-15  # relative gaps below are rounding


class Try(NamedTuple):
    """A run with steps of τ/parts by a scheme, its largest bound, and what of it is left at gaps of 0."""

    parts: int
    scheme: Scheme
    run: Trajectory
    bound: float
    of_tau: float


def refusal(scheme: Scheme, F: Functional) -> str:
    """Why an accuracy cannot be asked of a scheme: it has no bounds; or nothing."""
    if F.depends_on_time:
        return f"no bound is known for a functional that depends on time, got {F!r}: give tau and n_steps"
    if type(scheme).space_of_steps is not Scheme.space_of_steps:
        return ""
    bounded = [n for n, c in sorted(Scheme.known.items()) if c.space_of_steps is not Scheme.space_of_steps]
    return (
        f"{scheme.scheme_name()} has no bound in W2 that could be held to an accuracy; "
        f"{', '.join(bounded)} have"
    )


def reach(accuracy: float, solve: Callable, scheme: Scheme, n_steps: int, most_steps: int) -> Trajectory:
    """The first run whose `flow_error_bound` is no larger than the accuracy at all stored times.

    `solve(parts, scheme)` is a try of n_steps · parts steps of τ/parts. From the bound of a try and the order
    seen so far follow the parts of the next, from what the gaps add its tolerance. Where the next try would
    take more than `most_steps`, or nothing is left to be changed, the run of the least bound is returned;
    `attributes` say whether the accuracy was met.
    """
    tried: list[Try] = []
    wanted: tuple[int, Scheme] | None = (1, scheme)
    why = ""
    while wanted is not None:
        tried.append(_tried(*wanted, solve(*wanted), n_steps))
        if tried[-1].bound <= accuracy:
            break
        wanted, why = _next(tried, accuracy)
        if wanted is not None and wanted[0] * n_steps > most_steps:
            wanted, why = (
                None,
                f"the next try would take {wanted[0] * n_steps} steps, most_steps is {most_steps}",
            )
    best = min(tried, key=lambda attempt: attempt.bound)
    return _told(best, accuracy, len(tried), why)


def _tried(parts, scheme: Scheme, run, n_steps: int) -> Try:
    """The bound of a run; ∞ where it has none, or failed on the way."""
    bound, of_tau = float(np.max(run.flow_error_bound)), math.inf
    if math.isnan(bound) or run.info.n_steps != n_steps * parts or not run.info.row(-1).converged:
        bound = math.inf
    if bound < math.inf:
        of_tau = float(np.max(flow_bound_of_tau(run)))
    return Try(parts, scheme, run, bound, of_tau)


def _next(tried, accuracy):
    """((parts, scheme) of the next try, ""), or (None, why there is nothing to change)."""
    last = tried[-1]
    if not last.bound < math.inf:
        grid = getattr(last.run.measures[0], "grid", None)
        if grid is not None and grid.is_periodic:
            return None, "no bound is proven on a circle or a torus, where W₂² is less convex"
        if not last.run.info.row(-1).converged or not has_bound_at(last.run.tau, last.run):
            return (2 * last.parts, last.scheme), ""
        return None, "there is no finite bound: F is infinite at the start, or its steps have no gap"
    finer, sharper = last.parts, last.scheme
    if last.of_tau > _SHARE * accuracy:
        ratio = (last.of_tau / (_AIM * _SHARE * accuracy)) ** (1.0 / _order(tried))
        finer = max(last.parts + 1, math.ceil(last.parts * min(ratio, _MOST_FINER)))
    added, room = last.bound - last.of_tau, (1.0 - _SHARE) * accuracy
    if added > room:
        sharper = _sharpened(last.scheme, _AIM * room / added)
    if finer == last.parts and sharper is last.scheme:
        # gaps relative to a step's own W₂²/2τ do not add less with more steps, those of rounding add more
        return None, "what the gaps of the steps add does not fall with the tolerance"
    return (finer, sharper), ""


def _order(tried) -> float:
    """The order of τ's part between the last two tries of unlike τ."""
    last = tried[-1]
    other = next((t for t in reversed(tried) if t.parts != last.parts and t.of_tau < math.inf), None)
    if other is None or not (last.of_tau > 0.0 and other.of_tau > 0.0):
        return 1.0
    order = math.log(other.of_tau / last.of_tau) / math.log(last.parts / other.parts)
    return min(max(order, _ORDERS[0]), _ORDERS[1])


def _sharpened(scheme: Any, factor: float) -> Scheme:
    """The scheme with a tolerance by which √gap falls by the factor; itself where it can take none."""
    tolerance = getattr(scheme, "tolerance", None)
    if tolerance is None or tolerance <= _LEAST_TOLERANCE:
        return scheme
    return replace(scheme, tolerance=max(tolerance * factor**2, _LEAST_TOLERANCE))


def _told(best: Try, accuracy, number, why) -> Trajectory:
    """The run with what came of it among its attributes."""
    met = best.bound <= accuracy
    kind = best.run.flow_error_bound_kind
    said = f"W2 to the flow is at most {best.bound:.3g} ({kind}), {accuracy:g} was asked for"
    said += f", after {number} {'try' if number == 1 else 'tries'}, by {best.run.info.n_steps} steps"
    best.run.attributes.update(
        accuracy=accuracy, accuracy_met=met, accuracy_note=said if met else f"{said}: not met, {why}"
    )
    return best.run
