"""What an entropic transport problem answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class EntropicTransport:
    """Transport of mu to nu with entropy, min ∫|x − y|²dπ + ε KL(π | μ⊗ν), for |x − y|² without ½.

    `cost` is that minimum, by its dual; `value` the Sinkhorn divergence where it was asked for, else the
    cost. `potentials` (f, g), `[*cells]` or `[n]` and `[m]`, make the plan
    π = exp((f + g − |x − y|²)/ε) μ⊗ν, whose first marginal is exact; `marginal_error` is the L1 error of the
    second over the mass. `gap` is a feasible plan's objective less the dual: what `cost` may be too low by.
    Between Gaussians all of it is in closed form, and potentials are None.
    """

    epsilon: float
    cost: float
    value: float
    gap: float
    marginal_error: float
    iterations: int
    method: str
    potentials: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)
    problem: Any = field(default=None, repr=False)
    centred: Any = field(default=None, repr=False)

    @property
    def plan(self) -> np.ndarray:
        """The masses of the pairs, `[n, m]`; refused where they do not fit in memory."""
        return self._discrete("plan").plan(*self.centred)

    @cached_property
    def map(self) -> np.ndarray:
        """The barycentric projection ∫y π(dy | x) at the cells `[*cells, d]` or points `[n, d]` of mu."""
        return self._discrete("map").barycentres(self.centred[1])

    @cached_property
    def transport_cost(self) -> float:
        """∫|x − y|²dπ, without the entropy."""
        return self._discrete("transport_cost").transport_cost(*self.centred)

    def _discrete(self, name):
        if self.problem is None:
            raise ValueError(f"{name}: Gaussians have no cells or points: put them on a grid, or sample them")
        return self.problem
