"""Potentials of an entropic plan from coarse to fine: by grids, and by temperature where there is none."""

from __future__ import annotations

import math

import numpy as np

from jko.transport.scaling import Scaling, scale, scale_symmetric
from jko.transport.scaling_newton import newton

_COARSEST = 16  # cells along the longest axis
_CELLS = 1.0  # the temperature is at least this many h² on the coarse grids
_FALL = 4.0  # of the temperature, from one to the next for clouds
_ROUGH = 1e-2  # the L1 error that is good enough to start the next temperature

_FEW_PAIRS = 3e6  # for which Newton's method has the memory and time
_BEFORE_NEWTON = 40


class GridKernel:
    """exp(−|x − y|²/ε) between the cells of a grid and itself."""

    def __init__(self, cells, spacing, epsilon, periodic=None):
        from jko.loops.log_gaussian import LogGaussian

        self.forth = self.back = LogGaussian(cells, [h * h / epsilon for h in spacing], periodic)
        self.swapped = self.alone = self


class CloudKernel:
    """exp(−|x − y|²/ε) between the points x `[n, d]` and y `[m, d]`."""

    def __init__(self, x, y, epsilon):
        self.x, self.y, self.epsilon = x, y, epsilon

    @property
    def swapped(self):
        """From y to x."""
        return CloudKernel(self.y, self.x, self.epsilon)

    @property
    def alone(self):
        """Between x and itself."""
        return CloudKernel(self.x, self.x, self.epsilon)

    def costs(self):
        """|x − y|²/ε, `[n, m]`."""
        return (
            sum((self.x[:, None, a] - self.y[None, :, a]) ** 2 for a in range(self.x.shape[1])) / self.epsilon
        )

    def forth(self, logs):
        """log Σⱼ exp(−|xᵢ − yⱼ|²/ε + bⱼ) `[n]` for logs b `[m]`."""
        from jko.loops.log_cloud import log_sums

        return log_sums(self.x, self.y, self.epsilon, logs)

    def back(self, logs):
        """log Σᵢ exp(−|xᵢ − yⱼ|²/ε + aᵢ) `[m]` for logs a `[n]`."""
        from jko.loops.log_cloud import log_sums

        return log_sums(self.y, self.x, self.epsilon, logs)


def scale_on_grid(mu, nu, spacing, epsilon, tolerance, max_iterations) -> Scaling:
    """Between masses mu and nu `[*cells]` of sum 1; nu None is mu with itself. Halved grids, whose
    temperatures are no less than their h², start the finer ones."""
    from jko.loops.resample import average, interpolate

    potential = None
    extent = [n * h for n, h in zip(mu.shape, spacing, strict=True)]
    for cells in _levels(mu.shape):
        sides = [e / n for e, n in zip(extent, cells, strict=True)]
        last = cells == mu.shape
        temperature = epsilon if last else max(epsilon, _CELLS * max(sides) ** 2)
        kernel = GridKernel(cells, sides, temperature)
        first, second = (m if m is None or last else _unit(average(m, cells)) for m in (mu, nu))
        if potential is None:
            start = np.zeros(cells)
        elif potential.shape == cells:
            start = potential / temperature
        else:
            ratios = [o / n for o, n in zip(potential.shape, cells, strict=True)]
            start = interpolate(potential, cells, (0.0,) * len(cells), ratios) / temperature
        found = _scale(kernel, first, second, start, tolerance, max_iterations)
        potential = temperature * found.second
    return found


def scale_clouds(x, y, mu, nu, epsilon, tolerance, max_iterations) -> Scaling:
    """Between weights mu at x `[n, d]` and nu at y `[m, d]`; nu None is mu with itself. The temperature falls
    from the square of the clouds' extent."""
    both = np.concatenate([x, y])
    temperature = max(epsilon, float(np.sum(np.ptp(both, axis=0) ** 2)))
    potential = np.zeros(len(y))
    while True:
        last = temperature == epsilon
        kernel, enough = CloudKernel(x, y, temperature), tolerance if last else max(tolerance, _ROUGH)
        small = nu is not None and len(x) * len(y) <= _FEW_PAIRS
        rounds = min(_BEFORE_NEWTON, max_iterations) if small else max_iterations
        found = _scale(kernel, mu, nu, potential / temperature, enough, rounds)
        if small and found.error > enough and max_iterations > rounds:
            left = max_iterations - rounds
            better = newton(kernel.costs(), np.log(mu), np.log(nu), found.second, enough, left)
            found = better._replace(iterations=rounds + better.iterations)
        if last:
            return found
        potential, temperature = temperature * found.second, max(epsilon, temperature / _FALL)


def _scale(kernel, mu, nu, start, tolerance, max_iterations):
    with np.errstate(divide="ignore"):
        if nu is None:
            return scale_symmetric(kernel, np.log(mu), start, tolerance, max_iterations)
        return scale(kernel, np.log(mu), np.log(nu), start, tolerance, max_iterations)


def _levels(cells):
    levels = [tuple(cells)]
    while max(levels[0]) > _COARSEST:
        levels.insert(0, tuple(math.ceil(n / 2) if n > 2 else n for n in levels[0]))
    return levels


def _unit(masses):
    return masses / masses.sum()
