"""Which way to sum a radial kernel over a cloud: the cheapest that meets a tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from functionals.programs import kept_with_first
from jko.loops.forces import fourier, mesh_resolution, regularised, tree_resolution
from jko.loops.forces.cells import NOTHING
from jko.loops.forces.terms import Terms
from jko.loops.forces.tolerances import TOLERANCES


@dataclass(frozen=True)
class Plan:
    """`method`, the near field's `cutoff` (0 where there is none), the far field's `resolution` for a box, or
    the `detail` of a tree.

    `seconds` is what an evaluation was expected to cost, `reason` a phrase that says why this method.
    """

    method: str
    cutoff: float = 0.0
    lengths: tuple[float, ...] = ()
    resolution: mesh_resolution.Resolution | None = None
    seconds: float = math.nan
    reason: str = ""
    detail: tree_resolution.Detail | None = None


def plan(terms: Terms, x: np.ndarray, tolerance: float, method: str = "auto") -> Plan:
    """The first of `plans`."""
    return plans(terms, x, tolerance, method)[0]


def plans(terms: Terms, x: np.ndarray, tolerance: float, method: str = "auto") -> list[Plan]:
    """Plans for positions `[d, n]`, the cheapest first: a function of them alone, so that a resumed run makes
    the same. Those after the first are for where it misses the tolerance.

    Of "auto" the best of each method up to all pairs, which are left out where they would take minutes; of
    one method its own, and all pairs where particles are few. Raises ValueError where the method asked for
    does not carry the kernel.
    """
    if terms.empty:
        return [Plan("direct", reason="moments give a quadratic kernel", seconds=0.0)]
    n = x.shape[1]
    direct = Plan("direct", seconds=TOLERANCES.pair_cost * n * n, reason="all pairs are the cheapest")
    if method == "direct":
        return [direct]
    if not np.ptp(x, axis=1).max() > TOLERANCES.no_extent:
        return [Plan("direct", seconds=direct.seconds, reason="the particles coincide")]
    lengths = box(x)
    choices = []
    if method in ("auto", "cells") and terms.cutoff is not None:
        choices.append(_cells(terms, x))
    if method in ("auto", "fourier"):
        choices += _with_mesh(terms, x, lengths, tolerance, (0.0,))
    if method in ("auto", "split") and (method == "split" or not choices):
        steps = max(lengths) * 2.0 ** (-0.5 * np.arange(2, 27))
        choices += _with_mesh(terms, x, lengths, tolerance, steps)
    if method in ("auto", "tree"):
        choices += _with_tree(terms, x, lengths, tolerance)
    if method != "auto" and not choices:
        raise ValueError(_refusal(method, terms))
    best = {}
    for choice in sorted(choices, key=lambda choice: choice.seconds):
        best.setdefault(choice.method, choice)
    if method != "auto":
        return [*best.values()] + [direct] * (n < TOLERANCES.few)
    cheaper = [choice for choice in best.values() if choice.seconds < direct.seconds]
    return cheaper + [direct] * (direct.seconds < TOLERANCES.patience or not cheaper)


def box(x: np.ndarray) -> tuple[float, ...]:
    """Lengths that hold a cloud and clouds a little larger, so that a cloud that moves keeps its mesh."""
    extent = np.asarray(x.max(axis=1) - x.min(axis=1), dtype=float)
    least = max(float(extent.max()) * 1e-3, 1e-290)
    return tuple(2.0 ** (math.ceil(4.0 * math.log2(1.001 * max(e, least))) / 4.0) for e in extent)


@lru_cache(maxsize=4)
def mesh_of(terms: Terms, chosen: Plan) -> fourier.Mesh:
    """The far field's mesh; kept, since a cloud that moves seldom needs another."""
    return fourier.radial_mesh(terms, chosen.cutoff, near_of(terms, chosen.cutoff), chosen.lengths,
                               chosen.resolution)  # fmt: skip


@kept_with_first
def near_of(terms: Terms, cutoff: float) -> np.ndarray:
    """The polynomials that stand for the kernel within the cutoff."""
    return regularised.taylor(terms, cutoff, TOLERANCES.taylor_terms) if cutoff > 0.0 else NOTHING


def _with_mesh(terms: Terms, x: np.ndarray, lengths: tuple, tolerance: float, cutoffs: tuple | np.ndarray):
    finest = _finest(lengths)
    found, best = [], math.inf
    for cutoff in cutoffs:
        near = TOLERANCES.near_cost * _near_pairs(x, cutoff) if cutoff > 0.0 else 0.0
        # the probe sees no finer than the near field lets through
        least = max(finest, cutoff / TOLERANCES.finer if cutoff > 0.0 else max(lengths) / TOLERANCES.longest)
        slack = TOLERANCES.split_slack if cutoff > 0.0 else TOLERANCES.mesh_slack
        step = _step(terms, float(cutoff), max(lengths), tolerance * slack, least)
        if step is None:
            continue
        fine = mesh_resolution.resolution(step, tolerance, lengths, x.shape[1])
        seconds = mesh_resolution.evaluation_cost(fine, lengths, x.shape[1]) + near
        method = "split" if cutoff > 0.0 else "fourier"
        reason = f"a Fourier series of {math.pi / step * max(lengths) / math.pi:.0f} waves across the cloud"
        if cutoff > 0.0:
            reason += f", pairs nearer than {cutoff:.3g} one by one"
        found.append(Plan(method, float(cutoff), lengths, fine, seconds, reason))
        if seconds > 4.0 * best:
            break
        best = min(best, seconds)
    return found


@kept_with_first
def _step(terms: Terms, cutoff: float, length: float, tolerance: float, finest: float):
    return mesh_resolution.needed_step(
        terms, cutoff, near_of(terms, cutoff), length, min(tolerance, 1e-2), finest
    )


def _finest(lengths: tuple):
    # the step at which a mesh of half again as many points, twice the box, is as large as it may be
    longest = max(lengths)
    share = math.prod(3.0 * length / longest for length in lengths)
    return longest * (share / TOLERANCES.largest_mesh) ** (1.0 / len(lengths))


def _with_tree(terms: Terms, x: np.ndarray, lengths: tuple, tolerance: float):
    d = x.shape[0]
    points = tree_resolution.needed_points(terms, d, max(lengths), tolerance)
    if points is None:
        return []
    fine = tree_resolution.Detail(points, tree_resolution.leaf_of(points, d))
    seconds, reason = (
        tree_resolution.evaluation_cost(fine, x),
        f"boxes of {points}{'²³'[d - 2 : d - 1]} points",
    )
    return [Plan("tree", lengths=lengths, detail=fine, seconds=seconds, reason=reason)]


def _cells(terms, x):
    seconds = TOLERANCES.near_cost * _near_pairs(x, terms.cutoff)
    return Plan("cells", terms.cutoff, seconds=seconds, reason=f"the kernel ends at {terms.cutoff:.3g}")


def _near_pairs(x: np.ndarray, cutoff: float):
    # pairs in neighbouring cells of the cutoff's size, from a sample of the cloud, and what a cell itself
    # costs
    n = x.shape[1]
    sample = x[:, :: max(1, n // TOLERANCES.sample)].astype(float)
    index = np.floor((sample - sample.min(axis=1, keepdims=True)) / cutoff).astype(np.int64)
    key = index[0]
    for row in index[1:]:
        key = key * (int(row.max()) + 3) + row
    counts = np.unique(key, return_counts=True)[1].astype(float)
    share = n / sample.shape[1]
    neighbours = 3.0 ** x.shape[0]
    # the sample's own pairs with itself are no measure of the cloud's
    pairs = max(float(np.sum(counts * (counts - 1.0))) * share**2, n)
    return neighbours * pairs + 40.0 * n


def _refusal(method: str, terms: Terms):
    if method == "cells":
        return (
            "method: 'cells' needs a kernel that is 0 beyond some distance: declare it with cutoff=, or "
            "use method='auto'"
        )
    if method == "fourier":
        return (
            "method: 'fourier' needs a kernel smooth on the scale of the cloud, and this one asks for a "
            "larger mesh than there is room for: use method='split' or 'auto'"
        )
    what = "mesh fine enough" if method == "split" else "boxes of enough points"
    return f"method: {method!r} finds no {what} for this kernel and cloud: use method='auto'"
