"""What the film shows, computed: the plan, the map, the dynamic problem, and the energies of three paths."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from jko.errors import seed_number, whole_number
from jko.films.theorem.galaxies import FIRST, SECOND
from jko.films.theorem.tolerances import TOLERANCES
from jko.measures import Density, Grid, Particles
from jko.transport import DynamicTransport, OptimalMap, benamou_brenier, brenier_map


@dataclass(frozen=True)
class Theorem:
    """Two clouds of n stars, the optimal map between them, and the dynamic problem between their densities.

    `matched` `[n, 2]` is where the exact plan sends each star; `pairs` `[m, 2]` are indices of stars that the
    product coupling pairs, drawn independently. `dynamic` is the solution of Benamou and Brenier's problem
    on a grid, which knows no plan, between the kernel estimates of the clouds; `grid_map` the optimal map
    between those by their Kantorovich potentials.
    """

    first: Particles
    second: Particles
    matched: np.ndarray = field(repr=False)
    pairs: np.ndarray = field(repr=False)
    dynamic: DynamicTransport = field(repr=False)
    grid_map: OptimalMap = field(repr=False)
    support: Density = field(repr=False)

    @classmethod
    def of(
        cls, stars: int = 4000, cells: int = 128, times: int = 32, tolerance: float = 1e-4, seed: int = 0
    ) -> Theorem:
        """All that is computed: `stars` a galaxy, `cells` along the grid's longer side, `times` steps."""
        stars, cells = whole_number("stars", stars, 10), whole_number("cells", cells, 16)
        times, seed = whole_number("times", times, 2), seed_number("seed", seed)
        first, second = FIRST.stars(stars), SECOND.stars(stars)
        box = TOLERANCES.half_width, TOLERANCES.half_height
        grid = Grid.uniform(tuple(-b for b in box), box, (cells, round(cells * box[1] / box[0])))
        width = TOLERANCES.kernel * grid.spacing[0]
        mu, nu = (Density.kernel_estimate(cloud, grid, bandwidth=width) for cloud in (first, second))
        generator = np.random.default_rng(seed)
        return cls(
            first,
            second,
            brenier_map(first, second)(first.positions),
            generator.integers(0, stars, (2 * stars, 2)),
            benamou_brenier(mu, nu, n_times=times, tolerance=tolerance),
            brenier_map(mu, nu),
            mu,
        )

    @cached_property
    def static(self) -> float:
        """W₂² = ∫|x − T(x)|² dα₀, T from the exact plan."""
        return self.paid(1.0)

    @property
    def dynamic_value(self) -> float:
        """min ∫₀¹∫|v|² dα_t dt under the continuity equation, on the grid."""
        return float(self.dynamic.value)

    @cached_property
    def product(self) -> float:
        """∫∫|x − y|² dα₀ dα₁ = |m₀ − m₁|² + tr Σ₀ + tr Σ₁, what the product coupling pays."""
        apart = self.first.mean() - self.second.mean()
        return float(apart @ apart + np.trace(self.first.covariance()) + np.trace(self.second.covariance()))

    @cached_property
    def decimals(self) -> int:
        """How many decimals the static and the dynamic value share when rounded, at most three."""
        shared = [
            d
            for d in range(TOLERANCES.decimals + 1)
            if f"{self.static:.{d}f}" == f"{self.dynamic_value:.{d}f}"
        ]
        return max(shared, default=0)

    def shown(self, value: float) -> str:
        """A number as it stands on the screen."""
        return f"{value:.{self.decimals}f}"

    def displaced(self, t: float) -> np.ndarray:
        """The stars at t along the optimal map: (1 − t)x + tT(x)."""
        return (1.0 - t) * self.first.positions + t * self.matched

    def mixed(self, t: float) -> np.ndarray:
        """The drawn pairs at t: (1 − t)x + ty, x and y independent."""
        i, j = self.pairs.T
        return (1.0 - t) * self.first.positions[i] + t * self.second.positions[j]

    def swung(self, t: float) -> np.ndarray:
        """The stars at t on the detour: (1 − t)x + tT(x) + a sin πt, a across the way."""
        return self.displaced(t) + self._across * np.sin(np.pi * t)

    @cached_property
    def _across(self) -> np.ndarray:
        way = self.second.mean() - self.first.mean()
        return TOLERANCES.detour * np.array([-way[1], way[0]]) / np.hypot(*way)

    def paid(self, s: float) -> float:
        """∫|x − T_s(x)|² dα₀ with T_s = (1 − s) id + sT: what has been paid when the map is made to s."""
        moved = self.displaced(s) - self.first.positions
        return float(np.mean(np.sum(moved**2, axis=1)))

    def detour_energy(self, t: np.ndarray) -> np.ndarray:
        """∫|ẋ_t|² dα₀ of the detour at times `[k]`."""
        straight = self.matched - self.first.positions
        swing = np.pi * np.cos(np.pi * np.asarray(t))[:, None] * self._across
        return self.static + 2.0 * swing @ straight.mean(axis=0) + np.sum(swing**2, axis=1)

    @property
    def detour(self) -> float:
        """∫₀¹∫|ẋ_t|² dα₀ dt of the detour."""
        return self.detour_action(1.0)

    def detour_action(self, t: float) -> float:
        """∫₀ᵗ∫|ẋ_s|² dα₀ ds of the detour, by the midpoint rule, exact for its cosines at t = 1."""
        return t * float(self.detour_energy(t * (np.arange(64) + 0.5) / 64).mean())

    def river_action(self, t: float) -> float:
        """∫₀ᵗ∫|v_s|² dα_s ds of the dynamic problem's solution, whose steps are the dynamic value's."""
        steps = np.diff(self.dynamic.times) * self.dynamic.kinetic_energy
        return float(np.interp(t, self.dynamic.times, np.append(0.0, np.cumsum(steps))))

    def river_energy(self, t: np.ndarray) -> np.ndarray:
        """∫|v_t|² dα_t of the dynamic problem's solution at times `[k]`, between its steps linear."""
        middles = self.dynamic.times[:-1] + 0.5 * np.diff(self.dynamic.times)
        return np.interp(t, middles, self.dynamic.kinetic_energy)

    def velocity(self, x: np.ndarray, t: float) -> np.ndarray:
        """The dynamic problem's velocity `[n, 2]` at points and a time, linear between cells and steps."""
        from scipy.ndimage import map_coordinates

        steps, grid = len(self.dynamic.velocity), self.support.grid
        place = float(np.clip(t * steps - 0.5, 0.0, steps - 1.0))
        k = min(int(place), max(steps - 2, 0))
        later = self.dynamic.velocity[min(k + 1, steps - 1)]
        field = self.dynamic.velocity[k] + (place - k) * (later - self.dynamic.velocity[k])
        index = ((x - np.asarray(grid.lower)) / np.asarray(grid.spacing) - 0.5).T
        return np.stack(
            [map_coordinates(field[..., a], index, order=1, mode="nearest") for a in (0, 1)], axis=1
        )
