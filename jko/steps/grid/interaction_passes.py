"""The interaction of a step with its own density, by passes that each hold the field W∗ρ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jko.loops.anderson import Anderson
from jko.steps.grid.energy import GridEnergy
from jko.steps.grid.tolerances import TOLERANCES


class InteractionPasses:
    """ρ ↦ ρ′ ↦ W∗ρ′ mixed to a fixed point [WalkerNi2011], beginning with W∗ρ_k.

    Iterating gives the field that each pass holds, or None once where there is no interaction; the body
    answers with the density ρ′ of its step, and leaves the loop when the lag is small enough:

        passes = InteractionPasses(problem, mu.values, tau, most=30)
        for field in passes:
            found = solve(field)
            if passes.answer(found.values) <= goal:
                break

    field, image: W∗ρ that was held, and W∗ρ′ of its answer, arrays over the cells. lag: what the step's gap
    may be off by since the two differ (`GridEnergy.lag`). number: of the pass, from 1.
    """

    def __init__(self, problem: GridEnergy, values: np.ndarray, tau: float, most: int):
        self.problem, self.tau, self.most = problem, tau, most
        self.weights, self.mixer = values, Anderson(values, TOLERANCES.mixed_fields)
        self.field = self.image = problem.interaction(values)
        self.lag, self.number, self._retreat = 0.0, 0, None

    def __iter__(self) -> Iterator[np.ndarray | None]:
        following = self.field
        for number in range(1, self.most + 1):
            self.number, self.field = number, following
            yield self.field
            if self.field is None:
                return
            following = self.mixer(self.field, self.image) if self._retreat is None else self._retreat
            self._retreat = None

    def answer(self, values: np.ndarray) -> float:
        """The lag of a pass that was answered by this density, 0 without an interaction."""
        if self.field is None:
            return 0.0
        self.image = self.problem.interaction(values)
        self.lag = self.problem.lag(values, self.image - self.field, self.tau)
        return self.lag

    def retreat(self, field: np.ndarray, image: np.ndarray, share: float) -> None:
        """Go on at `share` of the way from a field to its image, and forget what was mixed before."""
        self.mixer = Anderson(self.weights, TOLERANCES.mixed_fields)
        self._retreat = field + share * (image - field)

    @property
    def details(self) -> dict[str, float]:
        """The number of passes and the lag of the last; empty without an interaction."""
        return {} if self.field is None else {"passes": self.number, "lag": self.lag}

    @property
    def note(self) -> str:
        """How many passes there were, and what the last leaves; empty without an interaction."""
        if self.field is None:
            return ""
        return f"{self.number} passes of the interaction, the last {self.lag:.1e} of the gap"
