"""What the entropic step needs of F on one grid."""

from __future__ import annotations

import numpy as np

from jko.measures import Density
from jko.steps.scaling.ladder import EntropicStep


class ScalingProblem:
    """F = ∫U(ρ) + ∫Vρ + interaction + caps on a grid, for plans at temperature ε."""

    def __init__(self, F, mu, epsilon):
        grid, parts = mu.grid, F.parts
        self.grid, self.parts, self.epsilon = grid, parts, epsilon
        self.potential = parts.potential_values(grid.points).reshape(grid.cells)
        self.internal = parts.internal_energy
        caps = [atom.values(grid.points).reshape(grid.cells) for atom in parts.constraints]
        self.cap = np.minimum.reduce(caps) if caps else None
        if self.cap is not None and mu.mass >= self.cap.sum() * grid.cell_volume:
            raise ValueError(
                f"cap: the box holds a mass of {self.cap.sum() * grid.cell_volume:g} at most, the density "
                f"has {mu.mass:g}: widen the grid or raise the cap"
            )

    def step(self, values, interaction, tau, share) -> EntropicStep:
        """The step from these values, with the interaction's first variation in V."""
        potential = self.potential if interaction is None else self.potential + interaction
        return EntropicStep(
            values,
            potential,
            self.cap,
            self.internal,
            self.grid.spacing,
            tau,
            self.epsilon,
            share,
            self.grid.periodic,
        )

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
        if self.internal is not None:
            total += self.internal.density(values).sum()
        return float(total) * self.grid.cell_volume
