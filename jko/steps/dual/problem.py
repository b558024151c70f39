"""What a dual grid solver needs of F on one grid: U, V, cap and obstacle as arrays, and the energy."""

from __future__ import annotations

import math

import numpy as np

from functionals import Power
from functionals.parts import GatheredInternal
from jko.errors import UnsupportedFunctional
from jko.measures import Density
from jko.steps.grid_energy import GridEnergy

_FLAT = 0.1  # of U″ at the largest density: less at a thousandth of it makes (U*)″ unbounded in vacuum


class DualProblem(GridEnergy):
    """F on a grid, with cells blocked by an obstacle."""

    def __init__(self, F, mu, obstacle, scheme):
        super().__init__(F, mu)
        self.blocked = _blocked(obstacle, self.grid)
        self.regularisation = 0.0
        self.internal = self.parts.internal_energy
        if self.internal is None:
            if self.cap is None:
                raise UnsupportedFunctional(
                    f"{scheme} needs an internal energy or a cap that holds the density together, got {F!r}; "
                    "move particles by descent.BackwardEuler"
                )
            self.internal = self._hold_together()
        with np.errstate(all="ignore"):
            self.full_support = not np.isfinite(self.internal.derivative(np.zeros(1))[0])
            thin, dense = self.internal.second_derivative(np.array([1e-3, 1.0]) * mu.values.max())
        self.stiff = self.cap is not None or bool(thin < _FLAT * dense)
        self._require_room(mu, self.blocked)

    def _hold_together(self):
        """(ε/2)ρ² with a slope that spreads a front of the cap over one cell; without it U*′ jumps."""
        steps = [np.abs(np.diff(self.potential, axis=a)).mean() for a in range(self.grid.dimension)]
        rise = max(float(np.sqrt(np.sum(np.square(steps)))), 1e-12)
        self.regularisation = rise / float(self.cap.max())
        return GatheredInternal(((0.5 * self.regularisation, Power(2.0)),))

    def least_tau(self, values, field, length) -> float:
        """The least τ at which mass spreads by √(2Dτ), D = ρU″(ρ) where ρ is largest, or under a cap
        is driven by τ|∇(V + W∗ρ)|, that far; 0 where the cap or the obstacle pushes it."""
        if not self.admits(values):
            return 0.0
        rates = []
        if self.parts.internal_energy is not None:
            top = np.array([values.max()])
            spread = 2.0 * float((top * self.parts.internal_energy.second_derivative(top))[0])
            rates.append(length**2 / spread)
        if self.cap is not None:
            drift = math.sqrt(self.squared_slope(values, self.outer(field)) / float(values.sum()))
            rates.append(length / drift if drift > 0.0 else 0.0)
        return min(rates)


def _blocked(obstacle, grid):
    if obstacle is None:
        return None
    blocked = np.asarray(obstacle.values > 0 if isinstance(obstacle, Density) else obstacle)
    if blocked.shape != grid.cells or blocked.dtype != bool:
        raise ValueError(
            f"obstacle: expected a boolean array of shape {grid.cells}, the grid's cells, "
            f"got {blocked.dtype} of shape {blocked.shape}"
        )
    if blocked.all():
        raise ValueError("obstacle: expected some free cells, got an obstacle that fills the grid")
    return blocked if blocked.any() else None
