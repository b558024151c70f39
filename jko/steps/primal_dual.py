"""The dynamic JKO step by alternating directions: caps, obstacles and any convex internal energy."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar
from zlib import crc32

import numpy as np

from jko.errors import positive_number, whole_number
from jko.measures import Density
from jko.scheme import Scheme, State, StepInfo


@dataclass(frozen=True, eq=False, repr=False)
class PrimalDual(Scheme):
    """draft"""

    slices: int = 1
    tolerance: float = 1e-4
    obstacle: Any = None
    max_iterations: int = 2000
    interaction_passes: int = 20

    takes: ClassVar[frozenset[str]] = frozenset(
        {"entropy", "internal", "potential", "interaction", "constraint"}
    )
    measures: ClassVar[tuple[type, ...]] = (Density,)
    order: ClassVar[int] = 1

    def __post_init__(self):
        whole_number("slices", self.slices)
        positive_number("tolerance", self.tolerance)
        whole_number("max_iterations", self.max_iterations)
        whole_number("interaction_passes", self.interaction_passes)

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.obstacle is not None:
            mask = np.asarray(getattr(self.obstacle, "values", self.obstacle)) > 0
            shown["obstacle"] = f"<{mask.sum()} cells, {crc32(np.packbits(mask)):08x}>"
        return f"PrimalDual({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def init(self, F, mu) -> State:
        from jko.steps.dynamic.problem import DynamicProblem

        self.check(F, mu)
        return State({}, DynamicProblem(F, mu, self.obstacle, self.slices, self.scheme_name()))

    def step(self, F, mu, tau, state):
        from jko.steps.dynamic.solver import DynamicSolver

        problem = state.workspace
        outcome = DynamicSolver(problem, self, mu.values, problem.checked(tau)).solve(state.data)
        path = outcome.path
        values = path.end.reshape(mu.grid.cells)
        info = StepInfo(
            status="converged" if outcome.closed else "not converged",
            gap=outcome.gap,
            relative_gap=outcome.gap / path.cost if path.cost > 0.0 else (0.0 if outcome.gap == 0.0 else math.inf),
            iterations=outcome.iterations,
            mass_error=abs(float(values.sum() - mu.values.sum())) * mu.grid.cell_volume,
            min_density=float(values.min()),
            dissipation=outcome.before - path.value,
        )
        return Density(mu.grid, values), state.with_data(**outcome.data), info
