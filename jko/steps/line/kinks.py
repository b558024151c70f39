"""Potentials with kinks or jumps on a line, averaged over a quarter of a cell so that Newton ends."""

from __future__ import annotations

import numpy as np

_A_CELL = 4  # nodes: averages reach half a cell, below what cells of constant density resolve
_ROUGH = 0.6  # of the second differences beside: V″ is further from them at a kink, a jump of V″ is nearer
_SMALL = 1e-6  # of the largest slope: a smaller change of slope is no kink


class AveragedPotential:
    """Σ V(x_i) B((x − x_i)/δ), B the cubic B-spline, over nodes δ apart: V averaged over 2δ to each side.

    Twice continuously differentiable, and as convex as V: its second derivative is an average of second
    differences of V, whose least is `modulus`. Differs from V by δ²V″/6, and by about a third of δ times
    the change of slope at a kink.
    """

    def __init__(self, nodes, values):
        from scipy.interpolate import BSpline

        spacing = nodes[1] - nodes[0]
        self.modulus = float(np.diff(values, 2).min() / spacing**2)
        ahead, behind = 2.0 * values[-1] - values[-2], 2.0 * values[0] - values[1]
        coefficients = np.concatenate([[behind], values, [ahead]])
        knots = nodes[0] + spacing * np.arange(-3.0, values.size + 3.0)
        spline = BSpline(knots, coefficients, 3)
        self._parts = spline, spline.derivative(1), spline.derivative(2)

    def __call__(self, x):
        """(V, V′, V″) at positions of any shape."""
        return tuple(part(x) for part in self._parts)


def without_kinks(potential, grid):
    """The potential, or an `AveragedPotential` where V″ at a node is not what the second differences round it
    say."""
    walls = grid.lower[0], grid.upper[0]
    nodes = np.linspace(*walls, _A_CELL * grid.size + 1)
    spacing = nodes[1] - nodes[0]
    value, _, bend = potential(nodes)
    if not np.all(np.isfinite(value)):
        return potential
    second = np.diff(value, 2) / spacing**2
    largest = np.abs(np.lib.stride_tricks.sliding_window_view(np.pad(second, 2), 5)).max(axis=1)
    missed = np.abs(second - bend[1:-1])
    steepest = np.abs(np.diff(value)).max() / spacing
    kinks = (missed > _ROUGH * largest) & (missed * spacing > _SMALL * steepest)
    return AveragedPotential(nodes, value) if np.any(kinks | ~np.isfinite(missed)) else potential
