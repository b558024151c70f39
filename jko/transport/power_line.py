"""Transport of a density on the line to points: intervals between quantiles."""

from __future__ import annotations

import numpy as np


def on_the_line(mu, points, target):
    """Prices, masses, first `[n, 1]` and second moments of the intervals that go to each point."""
    order = np.argsort(points, kind="stable")
    edges = mu.grid.edges[0]
    levels = np.concatenate([[0.0], np.cumsum(mu.masses)]) / mu.mass
    wanted = np.cumsum(target[order])[:-1]
    cuts = np.interp(wanted, levels, edges)
    breaks = np.union1d(edges, cuts)
    density = np.asarray(mu.values) / mu.mass
    cell = np.clip(np.searchsorted(edges, 0.5 * (breaks[1:] + breaks[:-1])) - 1, 0, len(density) - 1)
    owner = np.searchsorted(cuts, 0.5 * (breaks[1:] + breaks[:-1]))
    moments = [
        np.bincount(owner, density[cell] * (breaks[1:] ** k - breaks[:-1] ** k) / k, minlength=len(points))
        for k in (1, 2, 3)
    ]
    y = points[order]
    steps = (cuts - y[1:]) ** 2 - (cuts - y[:-1]) ** 2
    back = np.argsort(order, kind="stable")
    prices = np.concatenate([[0.0], np.cumsum(steps)])[back]
    masses, first, second = (m[back] for m in moments)
    return prices, masses, first[:, None], second
