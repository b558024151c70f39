"""A potential on an interval as a twice differentiable spline with a known modulus."""

from __future__ import annotations

import numpy as np

from jko.steps.grid_energy import finite_potential

_NODES_PER_CELL = 4


class LinePotential:
    """V less its minimum on [lower, upper] as a cubic B-spline with four coefficients a cell, without jax.

    The coefficients are c = V − δ²V/6, which is fourth-order accurate, with the correction limited to the
    smallest of three neighbours: a convex V stays convex at a kink. V″ is linear between the knots, so
    `modulus` = min V″ is exact.
    """

    def __init__(self, values_of, lower: float, upper: float, cells: int):
        from scipy.interpolate import BSpline

        n = _NODES_PER_CELL * cells
        x = np.linspace(lower, upper, n + 1)
        values = finite_potential(np.asarray(values_of(x[:, None]), dtype=float))
        rounding = 1e-14 * float(np.abs(values).max())
        values = values - values.min()
        bend = _extended(values[2:] - 2.0 * values[1:-1] + values[:-2])
        coefficients = values - _least_of_three(bend) / 6.0
        ends = [3.0 * (c[0] - c[1]) + c[2] for c in (coefficients[:3], coefficients[-1:-4:-1])]
        coefficients = np.concatenate([ends[:1], coefficients, ends[1:]])
        h = (upper - lower) / n
        knots = lower + h * (np.arange(n + 7) - 3)
        self._spline = BSpline(knots, coefficients, 3)
        self._slope, self._bend = self._spline.derivative(1), self._spline.derivative(2)
        curvature = np.diff(coefficients, 2) / h**2
        self.modulus, self.greatest = float(curvature.min()), float(curvature.max())
        self.is_quadratic = self.greatest - self.modulus <= 1e-9 * abs(self.greatest) + 10.0 * rounding / h**2

    def value(self, x):
        """V(x)."""
        return self._spline(x)

    def derivative(self, x):
        """V′(x)."""
        return self._slope(x)

    def second_derivative(self, x):
        """V″(x)."""
        return self._bend(x)


def _extended(inner):
    return np.concatenate([inner[:1], inner, inner[-1:]])


def _least_of_three(bend):
    """The entry of smallest size among three neighbours of one sign, else 0."""
    stack = np.stack([bend, np.append(bend[1:], bend[-1]), np.append(bend[0], bend[:-1])])
    least = np.abs(stack).min(axis=0)
    return np.where(np.all(stack > 0.0, axis=0), least, np.where(np.all(stack < 0.0, axis=0), -least, 0.0))
