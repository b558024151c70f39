"""What a dual grid solver needs of F on one grid: U, V, cap and obstacle as arrays, and the energy."""

from __future__ import annotations

import numpy as np

from functionals import Power
from functionals.parts import GatheredInternal
from jko.errors import UnsupportedFunctional
from jko.measures import Density

_FLAT = 0.1  # of U″ at the largest density: less at a thousandth of it makes (U*)″ unbounded in vacuum


class DualProblem:
    """F = ∫U(ρ) + ∫Vρ + interaction + caps on a grid, with cells blocked by an obstacle."""

    def __init__(self, F, mu, obstacle, scheme):
        grid, parts = mu.grid, F.parts
        self.grid, self.parts = grid, parts
        self.potential = parts.potential_values(grid.points).reshape(grid.cells)
        self.blocked = _blocked(obstacle, grid)
        self.cap = _least_cap(parts.constraints, grid)
        self.regularisation = 0.0
        self.internal = parts.internal_energy
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
        self._check_room(mu)

    def _hold_together(self):
        """(ε/2)ρ² with a slope that spreads a front of the cap over one cell; without it U*′ jumps."""
        steps = [np.abs(np.diff(self.potential, axis=a)).mean() for a in range(self.grid.dimension)]
        rise = max(float(np.sqrt(np.sum(np.square(steps)))), 1e-12)
        self.regularisation = rise / float(self.cap.max())
        return GatheredInternal(((0.5 * self.regularisation, Power(2.0)),))

    def _check_room(self, mu):
        if self.cap is None:
            return
        room = self.cap if self.blocked is None else np.where(self.blocked, 0.0, self.cap)
        if mu.mass >= room.sum() * self.grid.cell_volume:
            raise ValueError(
                f"cap: the box holds a mass of {room.sum() * self.grid.cell_volume:g} at most, the density "
                f"has {mu.mass:g}: widen the grid or raise the cap"
            )

    def spread(self, values, tau) -> float:
        """√(2Dτ) with the diffusivity D = ρU″(ρ) where ρ is largest; ∞ under a cap, which has none."""
        if self.cap is not None:
            return float("inf")
        top = np.array([values.max()])
        return float(np.sqrt(2.0 * tau * top * self.internal.second_derivative(top))[0])

    def interaction(self, values) -> np.ndarray | None:
        """The first variation of the interaction energy, W∗ρ, or None."""
        if not self.parts.interaction:
            return None
        rho = Density(self.grid, values)
        return sum(c * np.asarray(atom.first_variation(rho)) for c, atom in self.parts.interaction)

    def energy(self, values, interaction=None) -> float:
        """F(ρ) without the constraints."""
        density = self.potential if interaction is None else self.potential + 0.5 * interaction
        total = np.vdot(density, values)
        if self.parts.internal_energy is not None:
            total += self.internal.density(values).sum()
        return float(total) * self.grid.cell_volume


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


def _least_cap(constraints, grid):
    caps = [atom.values(grid.points).reshape(grid.cells) for atom in constraints]
    return np.minimum.reduce(caps) if caps else None
