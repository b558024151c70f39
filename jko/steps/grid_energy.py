"""A functional on one grid, as arrays over its cells: what the grid solvers of a JKO step share."""

from __future__ import annotations

import numpy as np

from jko.measures import Density


class GridEnergy:
    """F = ∫U(ρ) + ∫Vρ + interaction, with ρ ≤ cap, on a grid."""

    def __init__(self, F, mu):
        self.grid, self.parts = mu.grid, F.parts
        self.potential = self.parts.potential_values(self.grid.points).reshape(self.grid.cells)
        self.cap = _least_cap(self.parts.constraints, self.grid)

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
            total += self.parts.internal_energy.density(values).sum()
        return float(total) * self.grid.cell_volume

    def _require_room(self, mu, blocked=None):
        if self.cap is None:
            return
        room = self.cap if blocked is None else np.where(blocked, 0.0, self.cap)
        most = room.sum() * self.grid.cell_volume
        if mu.mass >= most:
            raise ValueError(
                f"cap: the box holds a mass of {most:g} at most, the density has {mu.mass:g}: widen the grid "
                "or raise the cap"
            )


def _least_cap(constraints, grid):
    caps = [atom.values(grid.points).reshape(grid.cells) for atom in constraints]
    return np.minimum.reduce(caps) if caps else None
