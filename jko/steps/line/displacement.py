"""Edges on a line carried on past where a step took them: reflections and extrapolations."""

from __future__ import annotations

import numpy as np

_LEAST = 0.5  # of a width, below which a cell shrinks as 1/x instead of to nothing


def displaced(earlier, later, masses, factor, walls, cap=None):
    """(X + factor (X − X₀), its widths, by how much of |X − X₀| in W₂ it was bent) for X₀ `earlier`, X
    `later`.

    `earlier` and `later` are (edges `[n+1]`, widths `[n]`). The line through two transports is one only as
    long as no cell's width falls to zero: what comes back is the nearest in W₂ (lumped masses) whose cells
    keep half their width, or less where they were shrinking fast, and w/cap (`kept_apart`). It bends the
    light tails and fronts alone, or the figure says so.
    """
    from jko.loops import banded

    (edges0, widths0), (edges1, widths1) = earlier, later
    target = edges1 + factor * (edges1 - edges0)
    widths = widths1 + factor * (widths1 - widths0)
    least = _least_widths(widths0, widths1, factor)
    if isinstance(cap, float):
        least = np.maximum(least, masses / cap)
    edges, widths = kept_apart(target, widths, least, masses, walls)
    if cap is not None and not isinstance(cap, float):
        edges, widths = cap.entered(edges, masses)
    length = banded.transport_cost(masses, edges1, target)
    change = banded.transport_cost(masses, target, edges)
    return edges, widths, float(np.sqrt(change / length)) if length > 0.0 else 0.0


def kept_apart(target, widths, least, masses, walls):
    """(edges, widths) nearest to `target` in W₂ (lumped masses) that are no narrower than `least`, inside
    the walls: an isotonic regression of the edges less those widths [BarlowBartholomewBremnerBrunk1972].

    `widths` are the target's own, kept to the last bit where nothing had to give.
    """
    from scipy.optimize import isotonic_regression

    packed = np.append(0.0, np.cumsum(least))
    weights = np.append(masses, 0.0) + np.append(0.0, masses)
    wanted = target - packed
    free = isotonic_regression(wanted, weights=np.maximum(weights, 1e-300)).x
    free = np.clip(free, walls[0], max(walls[0], walls[1] - packed[-1]))
    same = free == wanted
    untouched = same[1:] & same[:-1]
    widths = np.where(untouched, np.maximum(widths, least), least + np.diff(free))
    return np.where(same, target, free + packed), widths


def _least_widths(widths0, widths1, factor):
    shrinking = factor * (widths0 - widths1)
    quick = _LEAST**2 * widths1**2 / np.maximum(shrinking, _LEAST * widths1 + 1e-300)
    return np.minimum(_LEAST * widths1, quick)
