"""What a step has to show: the rates that the first variation asks for, and where other engines went."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix, diags

from jko.catalogue.cells import LENGTH, WIDTH, Balance, Cell, Place, bell, law, parts
from jko.catalogue.registry import example
from jko.catalogue.tolerances import TOLERANCES
from jko.loops.elliptic.factors import factored
from jko.measures import Density, Gaussian, Grid, Measure


class Expected(NamedTuple):
    """The rates d/dt ∫φ dρ, and by how much each could be at most, by Cauchy's and Schwarz's inequality."""

    rates: np.ndarray
    sizes: np.ndarray


class Probe(NamedTuple):
    """φ of points `[n, d]`: a wave, in a `part` of the room alone where one is named."""

    wave: Callable[[np.ndarray], np.ndarray]
    part: int | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        values = self.wave(x)
        return values if self.part is None else np.where(parts(x)[self.part], values, 0.0)


def probes(cell: Cell) -> list[Probe]:
    """Functions φ: cosines that are level at the box's walls, waves on a torus; 1 where mass changes."""
    if cell.place is Place.TORUS:
        found = [Probe(wave) for wave in _waves(cell.dimension, 2.0 * np.pi / WIDTH)]
        return [*found, Probe(_one)] if cell.balance is Balance.CHANGING else found
    rooms = range(2) if cell.place is Place.ROOM else (None,)
    found = [Probe(wave, room) for room in rooms for wave in _cosines(cell.dimension, np.pi / WIDTH)]
    return found + [Probe(_one, room) for room in rooms if cell.balance is Balance.CHANGING]


def _one(x: np.ndarray) -> np.ndarray:
    return np.ones(len(x))


def _waves(dimension: int, k: float) -> list[Callable]:
    last = dimension - 1
    along = [lambda x: np.sin(k * x[:, 0]), lambda x: np.cos(k * x[:, 0])]
    return [*along, lambda x: np.cos(2.0 * k * x[:, last]), lambda x: np.sin(k * x.sum(-1))][: 2 + dimension]


def _cosines(dimension: int, k: float) -> list[Callable]:
    start = -0.5 * WIDTH
    first = [lambda x: np.cos(k * (x[:, 0] - start)), lambda x: np.cos(2.0 * k * (x[:, 0] - start))]
    others = [lambda x: np.cos(k * (x[:, -1] - start)), lambda x: np.cos(k * (x - start)).prod(-1)]
    return first if dimension == 1 else first + others


class Faces:
    """The faces between cells inside of a grid: the cells on both sides, and their distance."""

    def __init__(self, grid: Grid):
        index = np.arange(grid.size).reshape(grid.cells)
        inside = np.asarray(grid.inside).reshape(-1)
        low, up, apart = [], [], []
        for axis, (turns, h) in enumerate(zip(grid.periodic, grid.spacing, strict=True)):
            starts, ends = (np.moveaxis(cells, axis, 0) for cells in (index, np.roll(index, -1, axis)))
            starts, ends = (starts, ends) if turns else (starts[:-1], ends[:-1])
            joined = inside[starts] & inside[ends]
            low.append(starts[joined])
            up.append(ends[joined])
            apart.append(np.full(joined.sum(), h))
        self.low, self.up, self.apart = (np.concatenate(part) for part in (low, up, apart))

    def slope(self, field: np.ndarray) -> np.ndarray:
        """The difference quotient across each face of a field `[cells]`."""
        return (field[self.up] - field[self.low]) / self.apart


class Slopes:
    """ξ of F and ∇ξ at a law, in the inner products of the law."""

    def __init__(self, F, rho: Density):
        self.rho, self.faces = rho, Faces(rho.grid)
        values, inside = np.asarray(rho.values).reshape(-1), np.asarray(rho.grid.inside).reshape(-1)
        self.xi = np.where(inside, np.asarray(F.first_variation(rho)).reshape(-1), 0.0)
        self.carried = 0.5 * (values[self.faces.low] + values[self.faces.up]) * rho.grid.cell_volume
        self.masses, self.slope = np.asarray(rho.masses).reshape(-1), self.faces.slope(self.xi)

    @property
    def speed(self) -> float:
        """The root mean square of ∇ξ."""
        return float(np.sqrt(self.carried @ self.slope**2 / self.masses.sum()))


def slopes(cell: Cell) -> Slopes:
    """Those of the cell's functional, at the law that its engine starts from."""
    return _slopes(cell.functional, cell.place, cell.dimension, Gaussian in cell.cls.measures)


@cache
def _slopes(functional: str, place: Place, dimension: int, gaussian: bool) -> Slopes:
    rho = _as_density(bell(dimension)) if gaussian else law(place, dimension, TOLERANCES.finer)
    return Slopes(example(functional, dimension), rho)


def _as_density(mu: Gaussian) -> Density:
    """A Gaussian on a grid that is as fine as the laws, and wider than the Gaussian."""
    d = mu.dimension
    return mu.on(Grid.uniform((-WIDTH,) * d, (WIDTH,) * d, {1: 768, 2: 256}[d]))


def duration(cell: Cell) -> float:
    """The time over which mass moves by `moved`, or grows by `grown` where that is sooner."""
    found = slopes(cell)
    tau = TOLERANCES.moved[cell.dimension] / max(found.speed, TOLERANCES.slowest)
    if cell.balance is Balance.CHANGING or not cell.cls.transports:
        tau = min(tau, TOLERANCES.grown * LENGTH**2 / np.abs(found.xi).max(initial=TOLERANCES.slowest))
    return float(tau) / cell.shorter


def expected(cell: Cell) -> Expected:
    """−∫∇φ·∇ξ dρ − ∫φ ξ dρ/δ², as far as the engine transports and mass changes."""
    found, transports = slopes(cell), cell.cls.transports
    masses, growth = found.masses, found.xi / LENGTH**2
    if cell.balance is Balance.KEPT:
        growth = np.zeros_like(growth) if transports else growth - masses @ growth / masses.sum()
    rates, sizes = [], []
    for phi in probes(cell):
        values = phi(found.rho.grid.points)
        slope = transports * found.faces.slope(values)
        rates.append(-found.carried @ (slope * found.slope) - masses @ (values * growth))
        moving = (found.carried @ slope**2) * (found.carried @ found.slope**2)
        sizes.append(np.sqrt(moving) + np.sqrt((masses @ values**2) * (masses @ growth**2)))
    return Expected(np.array(rates), np.array(sizes))


def averages(mu: Measure, cell: Cell) -> np.ndarray:
    """∫φ dμ of every probe."""
    mu = _as_density(mu) if isinstance(mu, Gaussian) else mu
    x, masses = np.asarray(mu.points, dtype=float), np.asarray(mu.masses, dtype=float).reshape(-1)
    return np.array([masses @ phi(x) for phi in probes(cell)])


def steepness(cell: Cell) -> np.ndarray:
    """max |∇φ| of every probe."""
    found = slopes(cell)
    fields = (phi(found.rho.grid.points) for phi in probes(cell))
    return np.array([np.abs(found.faces.slope(field)).max() for field in fields])


def noise(cell: Cell, tau: float) -> np.ndarray:
    """The standard deviation of a rate ∫φ of a cloud with noise, √(2θ∫|∇φ|²dρ/nτ)."""
    found, theta = slopes(cell), cell.F.parts.temperature
    fields = (phi(found.rho.grid.points) for phi in probes(cell))
    bends = [found.carried @ found.faces.slope(field) ** 2 for field in fields]
    return np.sqrt(2.0 * theta * np.array(bends) / (cell.points * tau))


def distance(mu: Density, nu: Density) -> float:
    """∫|∇u| + ∫|u|/δ with u/δ² − Δu = μ − ν: what a flow costs that carries μ to ν, one unit of mass and
    length each, where mass may be made at δ; on the line, of one mass and a large δ, W₁."""
    grid = mu.grid
    faces, volume = _faces(grid), grid.cell_volume
    weights = volume / faces.apart**2
    ends = np.concatenate([faces.low, faces.up])
    shape = (grid.size, grid.size)
    off = coo_matrix((np.tile(weights, 2), (ends, np.concatenate([faces.up, faces.low]))), shape)
    loss = volume / LENGTH**2 + np.bincount(ends, np.tile(weights, 2), grid.size)
    between = (np.asarray(mu.values) - np.asarray(nu.values)).reshape(-1) * volume
    u = factored(diags(loss) - off).solve(between)
    return float(np.abs(faces.slope(u)).sum() * volume + np.abs(u).sum() * volume / LENGTH)


@cache
def _faces(grid: Grid) -> Faces:
    return Faces(grid)
