"""A cap c(x) on the line, seen through its integral C: cells hold their mass where C grows by it."""

from __future__ import annotations

import numpy as np

from jko.errors import UnsupportedFunctional
from jko.steps.line.displacement import kept_apart

_TINY = 1e-6  # of the largest cap: less is an obstacle


class VariedCap:
    """ρ ≤ c(x): c piecewise linear between the faces and centres of a grid, its mean over every cell the
    value at the centre, positive.

    `integral(x)` is C(x) = ∫c from the lower wall, `position(y)` its inverse: the constraint w ≤ C(X′) − C(X)
    on the mass of a cell is linear in C(X).
    """

    def __init__(self, values, grid):
        if not (np.all(np.isfinite(values)) and values.min() > _TINY * values.max()):
            raise UnsupportedFunctional(
                f"steps.Quantile takes a cap that is positive on the grid, got {values.min():g} somewhere; "
                "steps.PrimalDual takes obstacles"
            )
        self.cells, self.faces = values, np.asarray(grid.edges[0])
        h = grid.spacing[0]
        least = np.minimum(values[1:], values[:-1])
        inner = np.minimum(0.5 * (values[1:] + values[:-1]), 1.5 * least)
        at_faces = np.concatenate([values[:1], inner, values[-1:]])
        nodes, caps = np.empty(2 * values.size + 1), np.empty(2 * values.size + 1)
        nodes[::2], nodes[1::2] = self.faces, grid.axes[0]
        caps[::2], caps[1::2] = at_faces, 2.0 * values - 0.5 * (at_faces[1:] + at_faces[:-1])
        self.nodes, self.caps, self.half = nodes, caps, 0.5 * h
        self.slopes = np.diff(caps) / np.diff(nodes)
        pieces = 0.5 * (caps[1:] + caps[:-1]) * np.diff(nodes)
        self.integrals = np.append(0.0, np.cumsum(pieces))
        self.total = float(self.integrals[-1])

    def _piece(self, x):
        return np.clip(((x - self.nodes[0]) / self.half).astype(int), 0, self.slopes.size - 1)

    def at(self, x):
        """(c, c′) at positions."""
        i = self._piece(x)
        return self.caps[i] + self.slopes[i] * (x - self.nodes[i]), self.slopes[i]

    def integral(self, x):
        """C(x)."""
        i = self._piece(x)
        t = x - self.nodes[i]
        return self.integrals[i] + t * (self.caps[i] + 0.5 * self.slopes[i] * t)

    def position(self, y):
        """x with C(x) = y."""
        i = np.clip(np.searchsorted(self.integrals, y, side="right") - 1, 0, self.slopes.size - 1)
        rest, cap, slope = np.maximum(y - self.integrals[i], 0.0), self.caps[i], self.slopes[i]
        root = np.sqrt(np.maximum(cap * cap + 2.0 * slope * rest, 0.0))
        return np.minimum(self.nodes[i] + 2.0 * rest / (cap + root), self.nodes[-1])

    def room(self, edges):
        """What each cell can hold, `[n]`."""
        return np.diff(self.integral(edges))

    def entered(self, edges, masses):
        """(edges, widths) that keep to the cap, nearest in C to the given ones."""
        y = self.integral(edges)
        y, _ = kept_apart(y, np.diff(y), masses, masses, (0.0, self.total))
        edges = np.where(y == self.integral(edges), edges, self.position(y))
        return edges, np.diff(edges)
