"""The potential of a linearised step from coarse grids to fine."""

from __future__ import annotations

import math

import numpy as np

from jko.errors import UnsupportedFunctional
from jko.kernels.resample import average, interpolate
from jko.steps.dual.energy import DualEnergy
from jko.steps.dual.problem import DualProblem
from jko.steps.pressure.linearized_newton import LinearizedNewton

_COARSEST = {1: 64, 2: 32, 3: 16}  # cells along the longest axis, by dimension
_EXACT = 1e-13


class LinearizedLadder:
    """The potential on all grids of a ladder, and Newton's method up along it."""

    def __init__(self, F, mu, scheme):
        self.problem = DualProblem(F, mu, None, scheme)
        if not self.problem.full_support:
            raise UnsupportedFunctional(
                f"{scheme} needs an internal energy with U′(0) = −∞, which keeps the density positive, "
                f"such as the entropy, got {F!r}; steps.BackAndForth moves densities with vacuum"
            )
        self.dual = DualEnergy(self.problem.internal)
        self.grid = mu.grid
        self.extent = tuple(n * h for n, h in zip(mu.grid.cells, mu.grid.spacing, strict=True))
        self.sizes = [mu.grid.cells]
        while max(self.sizes[-1]) > 1.5 * _COARSEST[mu.grid.dimension]:
            self.sizes.append(tuple(n if n <= 8 else math.ceil(n / 2) for n in self.sizes[-1]))
        self.potentials = self._coarsened(self.problem.potential)

    def _coarsened(self, field):
        fields = [field]
        for size in self.sizes[1:]:
            fields.append(average(fields[-1], size))
        return fields

    def climb(self, mu, tau, field, floor, nested, tolerance, most, bend=1.0):
        """(the Pair on the finest grid with U′(ρ) as φ gives it, iterations)."""
        potentials, spent, now, was = self.potentials, 0, None, None
        if field is not None:
            potentials = [v + w for v, w in zip(potentials, self._coarsened(field), strict=True)]
        rho = np.maximum(mu.values, floor * mu.values.max())
        newton = LinearizedNewton(self.problem.internal, tau, self.grid.spacing, rho, potentials[0], bend)
        found = newton.eliminated(tolerance, most) if newton.direct else None
        if found is not None and found.gap <= tolerance * found.transport + 1e-15:
            return found, newton.iterations
        densities = self._coarsened(rho)
        for depth in reversed(range(len(self.sizes) if nested else 1)):
            size = self.sizes[depth]
            spacing = tuple(e / n for e, n in zip(self.extent, size, strict=True))
            newton = LinearizedNewton(
                self.problem.internal, tau, spacing, densities[depth], potentials[depth], bend
            )
            now = newton.start() if now is None else newton.at(*(_finer(f, was, size) for f in now))
            found = newton.solve(now, tolerance, most)
            now, was, spent = (found.phi, found.pressure), size, spent + newton.iterations
            if not np.isfinite(found.gap):
                return found, spent
        return newton.at(found.phi), spent

    def normalise(self, found, mu):
        """ρ = U*′(p + c) of the mass of ρ_k."""
        pressure = found.pressure.reshape(self.grid.cells)
        return self.dual.normalise(-pressure, float(mu.values.sum()), _EXACT)[1]


def _finer(field, cells, size):
    ratios = [m / n for m, n in zip(cells, size, strict=True)]
    return interpolate(field.reshape(cells), size, (0.0,) * len(size), ratios)
