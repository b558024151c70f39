"""What the entropic step needs of F on one grid."""

from __future__ import annotations

from jko.steps.grid_energy import GridEnergy
from jko.steps.scaling.ladder import EntropicStep


class ScalingProblem(GridEnergy):
    """F on a grid, for plans at temperature ε."""

    def __init__(self, F, mu, epsilon):
        super().__init__(F, mu)
        self.epsilon, self.internal = epsilon, self.parts.internal_energy
        self._require_room(mu)

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

    def local(self, values) -> float:
        """F without the interaction."""
        return self.energy(values)
