"""The potential of a linearised step from coarse grids to fine."""

from __future__ import annotations

import numpy as np

from jko.errors import UnsupportedFunctional
from jko.loops.resample import interpolate
from jko.steps.dual.energy import DualEnergy
from jko.steps.dual.problem import DualProblem
from jko.steps.pressure.levels import Levels
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
        self.levels = Levels(mu.grid, _COARSEST[mu.grid.dimension])
        self.potentials = self.levels.coarsened(self.problem.potential)

    def climb(self, mu, tau, field, floor, nested, tolerance, most, bend=1.0):
        """(the Pair on the finest grid with U′(ρ) as φ gives it, iterations)."""
        potentials, spent, now, was = self.potentials, 0, None, None
        if field is not None:
            potentials = [v + w for v, w in zip(potentials, self.levels.coarsened(field), strict=True)]
        rho = np.maximum(mu.values, floor * mu.values.max())
        turns = self.grid.periodic
        newton = LinearizedNewton(
            self.problem.internal, tau, self.grid.spacing, rho, potentials[0], bend, turns
        )
        found = newton.eliminated(tolerance, most) if newton.direct else None
        if found is not None and found.gap <= tolerance * found.transport + newton.floor:
            return found, newton.iterations
        densities = self.levels.coarsened(rho)
        sizes = self.levels.sizes
        for depth in reversed(range(len(sizes) if nested else 1)):
            size = sizes[depth]
            spacing = self.levels.spacing(size)
            newton = LinearizedNewton(
                self.problem.internal, tau, spacing, densities[depth], potentials[depth], bend, turns
            )
            now = newton.start() if now is None else newton.at(*(_finer(f, was, size, turns) for f in now))
            found = newton.solve(now, tolerance, most)
            now, was, spent = (found.phi, found.pressure), size, spent + newton.iterations
            if not np.isfinite(found.gap):
                return found, spent
        return newton.at(found.phi), spent

    def normalise(self, found, mu):
        """ρ = U*′(p + c) of the mass of ρ_k."""
        pressure = found.pressure.reshape(self.grid.cells)
        return self.dual.normalise(-pressure, float(mu.values.sum()), _EXACT)[1]


def _finer(field, cells, size, periodic):
    ratios = [m / n for m, n in zip(cells, size, strict=True)]
    return interpolate(field.reshape(cells), size, (0.0,) * len(size), ratios, periodic)
