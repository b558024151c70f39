"""The entropic step in a room: |x − y| is the length of the shortest way round the walls.

The kernel u(x)u(y)e^{−d²/2ε}, d the geodesic distance and u such that a uniform density is blurred to itself,
stands in the place of the Gaussian. The heat kernel of the room is such a one, and ε log of either tends to
−d²/2 as ε → 0 [Varadhan1967]. It is not taken itself: on cells of √ε ≈ h a heat equation on the grid knows d
no further than a cell or two, since its walks are of whole cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from jko.measures import Density, Grid
from jko.steps.entropic.scaling import EntropicStep, Scaled
from jko.steps.entropic.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class RoomStep(EntropicStep):
    """The step on the n cells of a room, arrays `[n]`; `costs` are d² `[n, n]`, `walls` is log u `[n]`, and
    `parts` `[n]` tells cells apart between which there is no way."""

    costs: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    walls: np.ndarray = field(default_factory=lambda: np.zeros(0))
    parts: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    @property
    def pieces(self) -> tuple:
        return tuple(np.flatnonzero(self.parts == number) for number in np.unique(self.parts))

    def heat(self):
        from jko.loops.sums import log_dense

        return lambda logs: self.walls + log_dense.log_sums(self.costs, 0.5 / self.epsilon, self.walls + logs)

    def levels(self):
        """The same at larger ε: there is no coarser room."""
        longest = float(np.max(self.costs, where=np.isfinite(self.costs), initial=0.0))
        wider = []
        while not wider or wider[-1] < longest / TOLERANCES.turns**2:
            wider.append(4.0 * (wider[-1] if wider else self.epsilon))
        for epsilon in reversed(wider[:-1]):
            yield replace(self, epsilon=epsilon, walls=np.zeros_like(self.walls))
        yield self

    def conjugate(self, q: np.ndarray):
        from jko.loops.sums import log_dense

        return log_dense.least_differences(self.costs, 0.5 / self.tau, q)

    def plan_cost(self, scaled: Scaled, axes: list) -> float:
        from jko.loops.sums import log_dense

        means = log_dense.mean_costs(self.costs, 0.5 / self.epsilon, self.walls + scaled.g)
        return float(np.vdot(self.rho, means)) / (2.0 * self.tau)


class Room:
    """The cells that mass can come to, and the squared lengths of the ways between them."""

    def __init__(self, mu: Density):
        from scipy.ndimage import label

        self.cells = reached(mu)
        self.parts = label(self.cells)[0][self.cells]
        self.grid, self.key = mu.grid, self.cells.tobytes()
        self.costs = _costs(self.grid, self.key)

    def step(self, step: EntropicStep) -> RoomStep:
        """The step on these cells alone."""
        fields = step.rho[self.cells], step.potential[self.cells]
        cap = None if step.cap is None else step.cap[self.cells]
        numbers = step.tau, step.epsilon, step.share
        given = *fields, cap, step.internal, step.spacing, *numbers
        walls = _walls(self.grid, self.key, step.epsilon)
        return RoomStep(*given, costs=self.costs, walls=walls, parts=self.parts)

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


@lru_cache(maxsize=4)
def _walls(grid: Grid, cells: bytes, epsilon: float) -> np.ndarray:
    """log u with u(x)Σu(y)e^{−d²/2ε} = 1, by the symmetric fixed point: a constant far from walls."""
    from jko.loops.sums import log_dense

    costs = _costs(grid, cells)
    u = np.zeros(len(costs))
    for _ in range(TOLERANCES.wall_rounds):
        image = -log_dense.log_sums(costs, 0.5 / epsilon, u)
        change, u = float(np.abs(image - u).max()), 0.5 * (u + image)
        if change < TOLERANCES.wall_settled:
            break
    return u
