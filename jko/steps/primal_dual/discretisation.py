"""The discrete problem of a dynamic step: densities in cells, flows through faces, inner slices."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import numpy as np
import scipy.sparse as sparse

import functionals as fn
from functionals import Functional
from jko.errors import UnsupportedFunctional
from jko.loops.elliptic.cell_proxes import cell_proxes
from jko.loops.elliptic.cut_flows import cut_flows
from jko.measures import Density, Grid
from jko.mobility import Exclusion
from jko.steps.grid.energy import GridEnergy, blocked_cells, energy_size, fullest, require_below
from jko.steps.grid.full_fronts import front_shares
from jko.steps.grid.source import steepest
from jko.steps.primal_dual.exchange import Faces, Source
from jko.steps.primal_dual.tolerances import TOLERANCES


class DynamicProblem(GridEnergy):
    """min Σ_k Σ α v²/M(θ) + Σ_cells U(r^K) + f r^K over r^k = r^{k−1} − Dv^k, θ^k = S(r^{k−1} + r^k)/2, the
    first sum over all exchanges and their places; sources pay their own cost (jko.steps.grid.source).

    All per cell volume; α = K h²/2τ for the faces across an axis of spacing h, K δ²/2τ for sources of
    `length` δ, where there are any. M is θ or that of an exclusion, in whose cap all r^k keep. r^K keeps
    below the cap and all r^k ≥ 0; no mass passes the walls nor the faces of blocked cells. Fields have three
    axes, the missing ones of one cell; the last one is that of species where there are several.
    """

    species = 1
    room = np.inf  # below which the densities of all species together keep

    def __init__(
        self,
        F: Functional,
        mu: Density,
        obstacle,
        slices: int,
        length: float | None = None,
        mobility: Exclusion | None = None,
    ):
        super().__init__(F, mu, least=length is None and mu.grid.exits is None)
        self.slices, self.length = slices, length
        self.mobility, self.crowding = mobility, 0.0
        if mobility is not None:
            require_below(mobility, mu)
            self.crowding = 1.0 / mobility.cap
            self.cap = np.minimum(
                np.inf if self.cap is None else self.cap, np.full(mu.grid.cells, mobility.cap)
            )
        self.blocked = blocked_cells(obstacle, self.grid)
        self.doors = mu.grid.doors if mu.grid.exits is not None else None
        if self.doors is not None:
            self._open(F)
        elif length is None:
            self.require_room(mu, self.blocked)
        if self.blocked is not None and mu.values[self.blocked].any():
            inside = float(mu.values[self.blocked].sum()) * self.grid.cell_volume
            raise ValueError(
                f"obstacle: expected no mass in it, the density has {inside:.2g} there, which could never "
                "leave: start outside, or make the obstacle smaller"
            )
        self.cells: Any = CellEnergies(self.internal)
        self._set_grid(self.grid)
        self.most = self._most()

    def _set_grid(self, grid: Grid):
        """The grid, its cells, and what they exchange."""
        self.grid, self.spacing = grid, grid.spacing
        self.shape = (*grid.cells, *(1,) * (3 - grid.dimension))
        if self.species > 1:
            self.shape = (*self.shape[:2], self.species)
        self.axes = tuple(range(grid.dimension))
        blocked = None if self.blocked is None else self._whole(self.blocked)
        axes = enumerate(zip(grid.spacing, grid.periodic, strict=True))
        self.exchanges: list[Faces | Source] = [
            Faces(self.shape, axis, h, turns, blocked, self.crowding) for axis, (h, turns) in axes
        ]
        if self.length is not None:
            self.exchanges.append(Source(self.shape, self.length, blocked))

    def _open(self, F: Functional):
        """Doors hold any mass for a price; what has none is refused."""
        if self.length is not None or self.mobility is not None:
            raise UnsupportedFunctional(
                f"steps.PrimalDual takes doors without a length and without a mobility, got {self.grid!r}: "
                "leave one of them out, or take limits.FiniteVolume"
            )
        if not np.isfinite(self._empty_slope):
            raise UnsupportedFunctional(
                "steps.PrimalDual takes through doors what has a finite slope where there is no mass, as "
                f"fn.Power(2.0) and a cap have, got {F!r}: take limits.FiniteVolume, which takes the entropy"
            )
        if self.cap is not None:
            self.cap = np.where(self.grid.doors, np.inf, self.cap)

    def on(self, grid: Grid, most: np.ndarray, blocked, doors):
        """The same problem on another grid, but for the potential."""
        other = copy.copy(self)
        other.__dict__.pop("held", None)
        other.most, other.blocked = most, blocked
        other.doors = doors if doors is not None and doors.any() else None
        other._set_grid(grid)
        return other

    def within(self, box: list):
        """The same problem in a box of cells, as slices, whose sides are walls but along whole axes."""
        cut = tuple(box[: self.grid.dimension])
        lower = tuple(edges[b.start] for edges, b in zip(self.grid.edges, cut, strict=True))
        upper = tuple(edges[b.stop] for edges, b in zip(self.grid.edges, cut, strict=True))
        blocked = None if self.blocked is None else self.blocked[cut]
        cells = self.potential[cut].shape[: self.grid.dimension]
        grid = Grid.uniform(lower, upper, cells, self.grid.periodic)
        doors = None if self.doors is None else self.doors[cut]
        part = self.on(grid, self.most[tuple(box)], blocked, doors)
        part.potential = self.potential[cut]
        part.cap = None if self.cap is None else self.cap[cut]
        return part

    def _most(self):
        """The largest density that each cell may hold."""
        most = np.full(self.shape, np.inf) if self.cap is None else self.cap.reshape(self.shape).copy()
        if self.blocked is not None:
            most[self._whole(self.blocked)] = 0.0
        return most

    def _whole(self, cells: np.ndarray) -> np.ndarray:
        """A boolean array over the cells of the grid as one of `shape`."""
        return np.ascontiguousarray(
            np.broadcast_to(cells.reshape((*cells.shape, *(1,) * (3 - cells.ndim))), self.shape)
        )

    @property
    def layout(self) -> tuple:
        """The shape of values: the cells of the grid, and the species where there are several."""
        return self.grid.cells if self.species == 1 else (*self.grid.cells, self.species)

    def totals(self, r: np.ndarray) -> np.ndarray:
        """Σ over the cells for each species, with three axes."""
        return r.sum(axis=self.axes, keepdims=True)

    def each(self, field: np.ndarray) -> list:
        """A field of `shape` as one over the grid for each species."""
        if self.species == 1:
            return [field.reshape(self.grid.cells)]
        return [np.ascontiguousarray(field[..., i]).reshape(self.grid.cells) for i in range(self.species)]

    def together(self, fields: list) -> np.ndarray:
        """The reverse of `each`."""
        return np.stack([field.ravel() for field in fields], axis=-1).reshape(self.shape)

    def cut(self, before: np.ndarray, flows: list, most: np.ndarray, order: np.ndarray, room=np.inf):
        """Scale flows down, in place, until 0 ≤ before − Dv ≤ most and all species keep below the room, from
        the places of `shape` in `order` on."""
        d, species = self.grid.dimension, most.size // self.grid.size
        shape: tuple = (*self.grid.cells, *(1,) * (3 - d), species)
        r = before.copy()
        for faces, flow in zip(self.exchanges[:d], flows, strict=False):
            faces.move(flow, r)
        held, limits = r.reshape(-1, species), most.reshape(-1, species)
        right = np.all((held >= 0.0) & (held <= limits), axis=1) & (held.sum(axis=1) <= room)
        if self.species > 1:
            first = np.unique(order // self.species, return_index=True)[1]
            order = order[np.sort(first)] // self.species  # each cell once, in their order
        given = [*flows[:d], *(np.zeros(0) for _ in range(3 - d))]
        counts = [*(flow.shape[axis] for axis, flow in enumerate(flows[:d])), *(0 for _ in range(3 - d))]
        sides = enumerate(zip(given, counts, strict=True))
        axes = [flow.reshape(*shape[:axis], n, *shape[axis + 1 :]) for axis, (flow, n) in sides]
        fields = (before.reshape(shape), tuple(axes), most.reshape(shape))
        cut_flows(*fields, float(room), order, right, TOLERANCES.sweeps)

    def fits(self, r: np.ndarray, start: np.ndarray) -> bool:
        """Whether r exceeds the cap, or the density that it came from, by rounding alone."""
        return bool(np.all(r <= np.maximum(self.most, start) * (1.0 + TOLERANCES.path_excess)))

    def excess(self, r: np.ndarray) -> np.ndarray:
        """By how much a density exceeds its cap."""
        return np.maximum(r - self.most, 0.0)

    def fullness(self, r: np.ndarray) -> float:
        """The largest ratio of a density to its cap, 0 where there is none."""
        held = np.isfinite(self.most) & (self.most > 0.0)
        return float(np.max(r[held] / self.most[held], initial=0.0))

    def size_in(self, field: np.ndarray, r: np.ndarray) -> float:
        """The size of F in a field, in which no constant takes part."""
        return energy_size(self.internal, field, r, self.grid.cell_volume)

    @property
    def interacts(self) -> bool:
        """Whether F has an interaction, which enters by its tangent."""
        return bool(self.parts.interaction)

    def values_of(self, mu: Any) -> np.ndarray:
        """The density without what is in doors, `layout`."""
        return self.inside(mu.values)

    def measure(self, mu: Any, r: np.ndarray) -> Any:
        """The density r of `shape` without what is in doors."""
        return Density(self.grid, self.inside(r.reshape(self.grid.cells)))

    def first_slope(self, end: np.ndarray, pressure: np.ndarray) -> np.ndarray | float:
        """U′(0), what a particle pays for a vacuum of its kind beside a density and a pressure at the cap."""
        return self._empty_slope

    @property
    def limits(self) -> list:
        """The largest density that each cell may hold at the end of each slice."""
        inner = self.most if self.mobility is not None else np.full(self.shape, np.inf)
        return [inner] * (self.slices - 1) + [self.most]

    @functools.cached_property
    def held(self) -> np.ndarray:
        """Cells that may hold mass at the end and pay F for it, boolean `[*shape]`: not those of doors."""
        held = self.most > 0.0
        return held if self.doors is None else held & ~self.doors.reshape(self.shape)

    def inside(self, values: np.ndarray) -> np.ndarray:
        """A density without what is in doors."""
        return values if self.doors is None else np.where(self.doors, 0.0, values)

    def prices(self, pull: np.ndarray | None) -> np.ndarray:
        """What a unit of mass pays in a door, where it is gone: V + W∗ρ_k + U′(0), so that the pressure
        vanishes there."""
        return self.outer(pull)[self.doors] + self._empty_slope

    @functools.cached_property
    def _empty_slope(self) -> float:
        """U′(0)."""
        if self.internal is None:
            return 0.0
        with np.errstate(all="ignore"):
            return float(self.internal.derivative(np.zeros(1))[0])

    def least(
        self, field: np.ndarray, total: np.ndarray | None, end: np.ndarray
    ) -> tuple[float, np.ndarray, float | np.ndarray, np.ndarray]:
        """`CellEnergies.least` of all cells, with the pressure in each, the level, and the field that the
        level is to be compared with where there is no mass; doors take mass at their price."""
        ceiling = np.inf
        if self.doors is not None:
            ceiling = float(field[self.doors.reshape(self.shape)].min())
        held, pressure = self.held, np.zeros(self.shape)
        total = None if total is None else total.item()
        value, pressure[held], level = self.cells.least(field[held], self.most[held], total, ceiling)
        return value, pressure, level, field

    @property
    def fullest(self) -> float:
        """The density of each species at which its energy or its mobility ends."""
        return min(fullest(self.internal), np.inf if self.mobility is None else self.mobility.cap)

    @property
    def standard(self) -> bool:
        """Whether the metric is W₂."""
        return self.length is None and self.mobility is None

    def no_flows(self):
        """Flows of all slices and exchanges that carry nothing."""
        return [[exchange.zeros() for exchange in self.exchanges] for _ in range(self.slices)]

    def advance(self, r: np.ndarray, flows: list):
        """r − Dv."""
        r = r.copy()
        for exchange, flow in zip(self.exchanges, flows, strict=True):
            exchange.move(flow, r)
        return r

    def slope(self, values: np.ndarray, pull: np.ndarray | None) -> np.ndarray:
        """The first variation U′(ρ) + V + W∗ρ where there is mass, V + W∗ρ elsewhere."""
        held, slope = values > 0.0, self.outer(pull)
        if self.internal is None:
            return slope
        return slope + np.where(held, self.internal.derivative(np.where(held, values, 1.0)), 0.0)

    def gain(self, values: np.ndarray, pull: np.ndarray | None, tau: float) -> float:
        """What a step could gain if nothing held the forces in balance, in this metric, or what F has to give
        where that is less."""
        if self.length is None:
            return min(self.forces(values, pull, tau), self.range_on(values, pull))
        slope = self.slope(values, pull)
        reaction = 0.5 * tau * float(np.vdot(values, slope**2)) * self.grid.cell_volume / self.length**2
        growth = float(np.vdot(values, np.abs(slope))) * self.grid.cell_volume
        return min(self.forces(values, pull, tau) + reaction, growth)

    @property
    def tangents_are_bounds(self) -> bool:
        """As for every grid; a kernel is declared convex for masses that stay."""
        return super().tangents_are_bounds and not (self.length and self.parts.interaction)

    def actions(self, tau: float, start: np.ndarray) -> list:
        """α of each exchange: of sources a number, of faces an array, of which in one slice those beside full
        cells of `start` pay their share alone; no concave mobility moves what is full."""
        actions: list = []
        filled_by = self.fillings(start) if self.slices == 1 and self.mobility is None else []
        for exchange in self.exchanges:
            action = self.slices * exchange.length**2 / (2.0 * tau)
            if isinstance(exchange, Source):
                actions.append(action)
                continue
            shares = np.ones(exchange.shape)
            for filled in filled_by:
                sides = zip(*map(exchange.sides, filled), strict=True)
                shares = np.minimum(shares, front_shares(*sides))
            actions.append(action * np.where(exchange.closed, 1.0, shares))
        return actions

    def fillings(self, r: np.ndarray) -> list:
        """(densities, most) that fill cells, `shape` or one for all species."""
        return [] if self.cap is None else [(r, self.most)]

    def speed_term(self, potential: np.ndarray, actions: list, middle: np.ndarray):
        """½Sᵀ of the rates of all exchanges, (Dᵀp)²M′(θ)/4α of faces: what the kinetic energy adds to a
        potential in the cells, θ = S `middle`."""
        out = np.zeros(self.shape)
        for exchange, action in zip(self.exchanges, actions, strict=True):
            exchange.spread(0.5 * exchange.rate(exchange.drop(potential), action, exchange.mean(middle)), out)
        return out

    def tangent_loss(self, potential: np.ndarray, actions: list, middle: np.ndarray) -> float:
        """Σ (Dᵀp)²(M(θ) − θM′(θ))/4α: what the tangent of a concave M at θ = S `middle` adds at 0."""
        lost = 0.0
        for exchange, action in zip(self.exchanges, actions, strict=True):
            if exchange.crowding > 0.0:
                square = (exchange.drop(potential) * exchange.mean(middle)) ** 2
                lost += exchange.crowding * float((square / (4.0 * action)).sum())
        return lost


class CellEnergies:
    """U as the temperature T of T r log r, `holes` (S, c) of S (c − r) log(c − r) and factors cᵢ of
    r^{mᵢ}/(mᵢ − 1), or, `general`, by its derivatives."""

    def __init__(self, internal):
        terms = () if internal is None else internal.terms
        self.internal = internal
        crowded = [(c, atom.cap) for c, atom in terms if type(atom) is fn.FermiDirac]
        known = all(type(atom) in (fn.Entropy, fn.Power, fn.FermiDirac) for _, atom in terms)
        self.general = not known or len({cap for _, cap in crowded}) > 1
        self.holes = (float(sum(c for c, _ in crowded)), crowded[0][1] if crowded else np.inf)
        self.temperature = float(sum(c for c, a in terms if type(a) is fn.Entropy)) + self.holes[0]
        powers = [(atom.m, c) for c, atom in terms if type(atom) is fn.Power]
        self.powers = np.array([m for m, _ in powers], dtype=float)
        self.factors = np.array([c for _, c in powers], dtype=float)

    def prox(self, b, guess, most, weight):
        """argmin U(r) + weight (r − b)²/2 over 0 ≤ r ≤ most; a weight for all or for each cell."""
        if self.general:
            return self._general_prox(b, guess, most, weight)
        out, weights = np.empty_like(b), np.ascontiguousarray(np.broadcast_to(weight, b.shape))
        fields = (x.ravel() for x in (b, guess, most, weights))
        cell_proxes(*fields, *self.known, out.reshape(-1))
        return out

    @property
    def known(self) -> tuple:
        """(T, (S, c), mᵢ, cᵢ)."""
        return self.temperature, self.holes, self.powers, self.factors

    def density(self, r: np.ndarray) -> np.ndarray:
        """U(r)."""
        return np.zeros_like(r) if self.internal is None else self.internal.density(r)

    def softness(self, r: np.ndarray, most: np.ndarray, weight: np.ndarray):
        """The generalised derivative of `prox` by weight·b, sparse: 1/(U″ + weight) in free cells."""
        with np.errstate(all="ignore"):
            bend = 0.0 if self.internal is None else self.internal.second_derivative(r)
            soft = 1.0 / (bend + weight)
        return sparse.diags(np.where((r > 0.0) & (r < most), soft, 0.0).ravel(), format="csr")

    def _general_prox(self, b, guess, most, weight):
        """`prox` of any convex U by its derivatives: Newton's method in a shrinking bracket."""
        U = self.internal

        def slope(r):
            return U.derivative(r) + weight * (r - b)

        largest = np.where(np.isfinite(most), most, np.maximum(b, 0.0) + guess)
        with np.errstate(all="ignore"):
            high = np.where(np.isfinite(most), most, np.maximum(largest, np.finfo(float).tiny))
            growing = ~np.isfinite(most) & (slope(high) < 0.0)
            while growing.any():
                high = np.where(growing, 2.0 * high, high)
                growing = ~np.isfinite(most) & (slope(high) < 0.0)
            empty, full = slope(np.zeros_like(b)) >= 0.0, slope(high) <= 0.0
            low = np.zeros_like(b)
            r = np.where((guess > 0.0) & (guess < high), guess, 0.5 * high)
            for _ in range(TOLERANCES.prox_iterations):
                value = slope(r)
                low, high = np.where(value <= 0.0, r, low), np.where(value > 0.0, r, high)
                new = r - value / (U.second_derivative(r) + weight)
                inside = (new == r) | np.isfinite(new) & (new > low) & (new < high)
                new = np.where(inside, new, np.where(low > 0.0, np.sqrt(low * high), 0.1 * high))
                settled = np.abs(new - r) <= TOLERANCES.prox_settled * new
                r = new
                if np.all(settled | empty | full):
                    break
        return np.where(most <= 0.0, 0.0, np.where(empty, 0.0, np.where(full, np.minimum(most, high), r)))

    @property
    def curved(self) -> bool:
        """Whether there is an internal energy."""
        return self.internal is not None

    @property
    def steepest(self) -> float:
        """U′(∞), as far as known."""
        return steepest(self.internal)

    def least(
        self, field: np.ndarray, most: np.ndarray, total: float | None, ceiling: float = np.inf
    ) -> tuple[float, np.ndarray, float]:
        """A lower bound on the least Σ U(r) + f r over 0 ≤ r ≤ most with Σ r = total, max over λ of
        λ·total − Σ U*(λ − f), the pressure at the cap, and λ: any λ gives one, the best is found. Where no
        total is given λ = 0. With mass taken elsewhere for `ceiling`, λ is no more than that."""
        if total is None:
            level = 0.0
        elif self.internal is None:
            level = _level_without_energy(field, most, total)
        else:
            level = self._level(field, most, total)
        level = min(level, ceiling)
        p = level - field
        s = self._densities(p, most)
        value = level * (total or 0.0) - float(np.sum(self._conjugate(p, s, most, total)))
        slope = 0.0 if self.internal is None else self.internal.derivative(s)
        return value, np.where(s >= most, np.maximum(p - slope, 0.0), 0.0), level

    def _densities(self, p: np.ndarray, most: np.ndarray):
        if self.internal is None:
            return np.where(p > 0.0, np.where(np.isfinite(most), most, 0.0), 0.0)
        with np.errstate(over="ignore"):
            return np.minimum(self.internal.conjugate_derivative(p), most)

    def _conjugate(self, p: np.ndarray, s: np.ndarray, most: np.ndarray, total: float | np.ndarray | None):
        """U*(p) of densities up to `most`: s solves U′(s) = p to rounding only, and concavity turns what is
        left into a bound. With no total the best density is below 2s as U′(2s) > p."""
        if total is None:
            beyond = ~np.isfinite(s) | ((p > self.steepest) & ~np.isfinite(most))
            held = np.where(beyond, 0.0, s)
            return np.where(beyond, np.inf, self._conjugate(p, held, most, 2.0 * held))
        if self.internal is None:
            return p * s
        tiny = np.finfo(float).tiny
        s = np.where(s < tiny, 0.0, s)  # where p < U′(tiny) the supremum is less than tiny
        slack = np.abs(p - self.internal.derivative(np.maximum(s, tiny)))
        free = (s > 0.0) & (s < most) & np.isfinite(slack)  # where U′ is infinite s is full
        return p * s - self.internal.density(s) + np.where(free, slack * np.minimum(most, total), 0.0)

    def _level(self, field: np.ndarray, most: np.ndarray, total: float):
        from scipy.optimize import brentq

        def excess(level: float):
            with np.errstate(over="ignore", invalid="ignore"):
                mass = float(np.sum(self._densities(level - field, most)))
            return math.log(min(max(mass / total, 1e-300), 1e6)) + full  # as good as linear for an entropy

        full = 4.0 * np.finfo(float).eps  # what rounding may leave where all cells are
        mean = total / field.size
        first = self.internal.derivative(np.full(field.size, mean))
        if not np.isfinite(first).all():  # at half of what is full it is
            first = self.internal.derivative(np.full(field.size, 0.5 * mean))
        low = high = float((field + first).min())
        step = max(1e-3 * float(np.ptp(field)), 1e-6 * abs(low), np.finfo(float).tiny)
        width = step
        while excess(low) > 0.0:
            low, width = low - width, 8.0 * width
        width = step
        while excess(high) < 0.0:
            high, width = high + width, 8.0 * width
        if low == high:
            return low
        size = max(abs(low), abs(high))
        return brentq(excess, low, high, xtol=1e-15 * size, rtol=1e-14, maxiter=100)


def _level_without_energy(field: np.ndarray, most: np.ndarray, total: float):
    """The field in the last cell that fills when cells fill in the order of their field, by halving at the
    median of a few cells."""
    while field.size > 1:
        some = field[:: 1 + field.size // TOLERANCES.sample]
        middle = np.partition(some, some.size // 2)[some.size // 2]
        below = field < middle
        if not below.any():  # the least value, perhaps of many cells
            below = field == middle
            if below.all() or float(most[below].sum()) >= total:
                return float(middle)
        held = float(most[below].sum())
        kept = below if held >= total else ~below
        total -= 0.0 if held >= total else held
        field, most = field[kept], most[kept]
    return float(field[0])
