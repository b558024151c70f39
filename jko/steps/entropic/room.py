"""The entropic step in a room: |x − y| is the length of the shortest way round the walls.

The kernel e^{−d²/2ε} of the geodesic distance stands in the place of the Gaussian. It is what the heat kernel
of the room tends to as ε → 0, ε log of it to −d²/2 [Varadhan1967], and is taken itself: on cells of √ε ≈ h a
heat equation on the grid has it no further than a cell or two, since its walks are of whole cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from jko.measures import Density, Grid
from jko.steps.entropic.scaling import EntropicStep, Scaled
from jko.steps.entropic.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class RoomStep(EntropicStep):
    """The step on the n cells of a room, arrays `[n]`; `costs` are d² `[n, n]`."""

    costs: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    def heat(self):
        from jko.loops.sums import log_dense

        scale = sum(math.log(h) - 0.5 * math.log(2.0 * math.pi * self.epsilon) for h in self.spacing)
        return lambda logs: log_dense.log_sums(self.costs, 0.5 / self.epsilon, logs) + scale

    def levels(self):
        """The same at larger ε: there is no coarser room."""
        longest = float(np.max(self.costs, where=np.isfinite(self.costs), initial=0.0))
        wider = []
        while not wider or wider[-1] < longest / TOLERANCES.turns**2:
            wider.append(4.0 * (wider[-1] if wider else self.epsilon))
        for epsilon in reversed(wider[:-1]):
            yield replace(self, epsilon=epsilon)
        yield self

    def conjugate(self, q: np.ndarray):
        from jko.loops.sums import log_dense

        return log_dense.least_differences(self.costs, 0.5 / self.tau, q)

    def plan_cost(self, scaled: Scaled, axes: list) -> float:
        from jko.loops.sums import log_dense

        means = log_dense.mean_costs(self.costs, 0.5 / self.epsilon, scaled.g)
        return float(np.vdot(self.rho, means)) / (2.0 * self.tau)


class Room:
    """The cells that mass can come to, and the squared lengths of the ways between them."""

    def __init__(self, mu: Density):
        self.cells = reached(mu)
        self.costs = _costs(mu.grid, self.cells.tobytes())

    def step(self, step: EntropicStep) -> RoomStep:
        """The step on these cells alone."""
        fields = step.rho[self.cells], step.potential[self.cells]
        cap = None if step.cap is None else step.cap[self.cells]
        numbers = step.tau, step.epsilon, step.share
        return RoomStep(*fields, cap, step.internal, step.spacing, *numbers, costs=self.costs)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values of these cells on the grid, 0 elsewhere."""
        out = np.zeros(self.cells.shape)
        out[self.cells] = values
        return out


def require(grid: Grid) -> None:
    """Raises ValueError for a room that the step does not take."""
    n = int(grid.inside.sum())
    if grid.is_periodic or grid.dimension > 2 or n > TOLERANCES.most_cells:
        raise ValueError(
            f"measure: steps.Entropic takes rooms of at most {TOLERANCES.most_cells} cells in a box of one "
            f"or two dimensions, got {n} cells of {grid!r}: take steps.PrimalDual"
        )


def reached(mu: Density) -> np.ndarray:
    """The cells of the room with a way, through faces, to where there is mass."""
    from scipy.ndimage import label

    parts, _ = label(mu.grid.inside)
    return mu.grid.inside & np.isin(parts, np.unique(parts[mu.values > 0.0]))


@lru_cache(maxsize=2)
def _costs(grid: Grid, cells: bytes) -> np.ndarray:
    from jko.loops.grids.geodesics import squared_distances

    mask = np.frombuffer(cells, bool).reshape(grid.cells)
    if grid.dimension == 1:
        return squared_distances(mask[:, None], (grid.spacing[0], 1.0))
    return squared_distances(mask, grid.spacing)
