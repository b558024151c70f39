"""What a dual grid solver needs of F on one grid: U, V and obstacle as arrays, and the energy."""

from __future__ import annotations

import numpy as np

from jko.errors import UnsupportedFunctional
from jko.steps.grid_energy import GridEnergy, blocked_cells

_FLAT = 0.1  # of U″ at the largest density: less at a thousandth of it makes (U*)″ unbounded in vacuum


class DualProblem(GridEnergy):
    """F on a grid, with cells blocked by an obstacle."""

    def __init__(self, F, mu, obstacle, scheme):
        super().__init__(F, mu)
        self.blocked = blocked_cells(obstacle, self.grid)
        self.internal = self.parts.internal_energy
        if self.internal is None:
            raise UnsupportedFunctional(
                f"{scheme} needs an internal energy that holds the density together, got {F!r}; "
                "take steps.PrimalDual, or move particles by descent.BackwardEuler"
            )
        with np.errstate(all="ignore"):
            self.full_support = not np.isfinite(self.internal.derivative(np.zeros(1))[0])
            thin, dense = self.internal.second_derivative(np.array([1e-3, 1.0]) * mu.values.max())
        self.stiff = bool(thin < _FLAT * dense)

    def least_tau(self, values, length) -> float:
        """The least τ at which mass spreads by √(2Dτ), D = ρU″(ρ) where ρ is largest, that far; 0 where the
        obstacle pushes it."""
        if not self.admits(values):
            return 0.0
        top = np.array([values.max()])
        spread = 2.0 * float((top * self.internal.second_derivative(top))[0])
        return length**2 / spread
