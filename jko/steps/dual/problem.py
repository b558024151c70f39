"""What a dual grid solver needs of F on one grid: U, V, cap and obstacle as arrays, and the energy."""

from __future__ import annotations

import copy
import math

import numpy as np

from functionals import Power
from functionals.parts import GatheredInternal
from jko.errors import UnsupportedFunctional
from jko.measures import Density
from jko.steps.grid_energy import GridEnergy

_FLAT = 0.1  # of U″ at the largest density: less at a thousandth of it makes (U*)″ unbounded in vacuum
_PUSHED = 0.25  # of the rise of the pressure in a cell that an excess over the cap, pushed out, could have


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
            self.internal = _square(1.0)
        with np.errstate(all="ignore"):
            self.full_support = not np.isfinite(self.internal.derivative(np.zeros(1))[0])
            thin, dense = self.internal.second_derivative(np.array([1e-3, 1.0]) * mu.values.max())
        self.stiff = self.cap is not None or bool(thin < _FLAT * dense)
        self._require_room(mu, self.blocked)

    def held(self, values, field, tau) -> DualProblem:
        """This, or under a cap alone the same with (ε/2)ρ², whose slope spreads a front of the cap over one
        cell; without it U*′ jumps. The pressure rises in a cell by h|∇(V + W∗ρ)|, or by a quarter of h/τ
        times the distance that the excess over the cap has to go."""
        if self.parts.internal_energy is not None:
            return self
        outer, most, d = self.outer(field), float(self.cap.max()), self.grid.dimension
        steps = [np.abs(np.diff(outer, axis=a)).mean() for a in range(d)]
        excess = float(np.maximum(values - self.cap, 0.0).sum()) * self.grid.cell_volume / most
        pushed = _PUSHED * max(self.grid.spacing) * excess ** (1.0 / d) / tau
        rise = max(float(np.sqrt(np.sum(np.square(steps)))), pushed, 1e-12)
        other = copy.copy(self)
        other.regularisation = rise / most
        other.internal = _square(other.regularisation)
        return other

    def at_rest(self, values) -> bool:
        """Whether F = 0 here, a cap that holds with no force to press against it: the exact step stays."""
        free = self.parts.internal_energy is None and not self.parts.interaction
        return free and float(np.ptp(self.potential)) == 0.0 and self.admits(values)

    def held_gap(self, values, found, tau) -> float:
        """What (ε/2)∫ρ² adds to the gap of `values` against the dual value at the potential of `found`, once
        ε times that density is taken off it: to second order in ε, (τ/2)∫|ε∇ρ|²dρ where the two are one."""
        if not self.regularisation:
            return 0.0
        square = self.regularisation * (np.vdot(found, found) - np.vdot(values, values))
        slope = tau * self.squared_slope(found, self.regularisation * found)
        return 0.5 * float(square + slope) * self.grid.cell_volume

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


def _square(epsilon):
    return GatheredInternal(((0.5 * epsilon, Power(2.0)),))


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
