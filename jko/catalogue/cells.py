"""A cell of the matrix: a functional, an engine, a place, whether mass is kept, and a dimension."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np

from functionals import Functional
from jko.catalogue.registry import engine_classes, example
from jko.measures import ConfinedParticles, Density, Gaussian, Grid, Measure, Particles, Population
from jko.scheme import Scheme

DIMENSIONS = (1, 2)
CELLS = {1: 96, 2: 32}  # of a side, by dimension: errors of h are then a few per cent of a step
POINTS = {False: 200, True: 4000}  # of a cloud, with noise more: a rate's noise is then a part of the rate
LENGTH = 1.0  # δ of Hellinger and Kantorovich: moving and growing are then of one size on this law
WIDTH = 6.0  # of a side of the box and the torus, in the unit of the law: six of its widths
_WALLS = (-2.75, 0.75, 1.0, 2.75)  # the room's two parts, from the first to the second and third to fourth
PARTICLE_STEPS = 4  # for each step of a density: what is late by half a step is then late by an eighth
OWN_METRIC = {  # engines that move mass otherwise than down ∇ξ, and what they do
    "descent.NoiseInjection": "reads forces beside the particles",
    "descent.SVGD": "goes down F in the geometry of a kernel",
    "descent.UnderdampedLangevin": "has inertia",
}


class Place(StrEnum):
    """Where the mass is: between walls, in a room of two parts within, on a torus."""

    BOX = "box"
    ROOM = "room"
    TORUS = "torus"


class Balance(StrEnum):
    """Whether mass is kept, or made and lost down the same functional."""

    KEPT = "balanced"
    CHANGING = "Hellinger–Kantorovich"


@dataclass(frozen=True)
class Cell:
    """What is asked: an `engine` by name to take a functional by name, in a place, with a balance; in a step
    on the line or in the plane by `dimension`, in a step that is so many times `shorter`."""

    functional: str
    engine: str
    place: Place
    balance: Balance
    dimension: int = 1
    shorter: int = 1

    @property
    def cls(self) -> Any:
        """The class of the engine."""
        return engine_classes()[self.engine]

    @property
    def F(self) -> Functional:
        """The functional's example."""
        return example(self.functional, self.dimension)

    @property
    def moves_particles(self) -> bool:
        """Whether the engine moves clouds."""
        return any(issubclass(kind, Particles) for kind in self.cls.measures)

    @property
    def is_random(self) -> bool:
        """Whether the engine draws noise, whose temperature F gives."""
        from jko.descent.schemes.stochastic import StochasticDescent

        return issubclass(self.cls, StochasticDescent) and self.F.parts.temperature > 0.0

    @property
    def points(self) -> int:
        """The number of points of a cloud: without noise in the plane as many times more as a step is
        shorter, since a law that is missed may be so by either."""
        more = self.shorter if self.dimension == 2 and not self.is_random else 1
        return POINTS[self.is_random] * more

    @property
    def steps(self) -> int:
        """How many steps the time is cut into."""
        return PARTICLE_STEPS if self.moves_particles else 1

    def scheme(self) -> Scheme:
        """The engine in its default settings, with a reaction of its own, or split, where mass changes."""
        from jko.descent import BirthDeath
        from jko.steps import HellingerKantorovich

        settings = {field.name for field in fields(self.cls)}
        changing = self.balance is Balance.CHANGING
        if "conserving" in settings:  # a reaction alone
            return self.cls(length=LENGTH, conserving=not changing)
        if not changing:
            return self.cls()
        if "reaction" in settings:
            return self.cls(reaction=self.F, length=LENGTH)
        if "length" in settings:
            return self.cls(length=LENGTH)
        reaction = BirthDeath() if self.moves_particles else None
        return HellingerKantorovich(self.cls(), length=LENGTH, reaction=reaction)

    def start(self) -> Measure:
        """The law of the place as what the engine moves: a box is all of space to clouds and Gaussians."""
        if Gaussian in self.cls.measures and self.place is Place.BOX:
            return bell(self.dimension)
        if not self.moves_particles:
            return law(self.place, self.dimension)
        cloud = Particles(quantiles(self.place, self.dimension, self.points))
        if self.place is not Place.BOX:
            cloud = ConfinedParticles.of(cloud, grid(self.place, self.dimension))
        grows = Population in self.cls.measures or self.balance is Balance.CHANGING
        return Population.of(cloud) if grows else cloud


def bell(dimension: int) -> Gaussian:
    """The Gaussian that closed forms start from."""
    return Gaussian.of(0.2, 0.8, dimension=dimension)


@cache
def grid(place: Place, dimension: int, finer: int = 1) -> Grid:
    """The grid of a place, each side of a cell cut into `finer`."""
    lower, upper, n = (-0.5 * WIDTH,) * dimension, (0.5 * WIDTH,) * dimension, CELLS[dimension] * finer
    box = Grid.uniform(lower, upper, n)
    inside = np.any(parts(box.points), axis=0).reshape(box.cells) if place is Place.ROOM else None
    return Grid.uniform(lower, upper, n, periodic=place is Place.TORUS, inside=inside)


def parts(x: np.ndarray) -> list[np.ndarray]:
    """Which of the points `[n, d]` lie in each part of the room: on the line two stretches, in the plane a
    room with a corner cut off and one beside it."""
    a, b, c, d = _WALLS
    left, right = (a < x[:, 0]) & (x[:, 0] < b), (c < x[:, 0]) & (x[:, 0] < d)
    if x.shape[1] == 1:
        return [left, right]
    between = (a < x[:, 1]) & (x[:, 1] < d)
    cut = (x[:, 0] < -1.0) & (x[:, 1] > 1.0)
    return [left & between & ~cut, right & between]


@cache
def law(place: Place, dimension: int, finer: int = 1) -> Density:
    """ρ ∝ exp(2 cos π(x − 1/5)/3) inside, positive, smooth on the torus, level near the box's walls; in the
    plane ρ ∝ exp(cos π(x − 1/5)/3 + cos π(y + 2/5)/3 + ½ cos π(x − y)/3), of which no factor stands alone."""
    cells = grid(place, dimension, finer)
    waves: list = [(2.0, (1.0,), 0.2)]  # height, direction, place of the crest
    if dimension == 2:
        waves = [(1.0, (1.0, 0.0), 0.2), (1.0, (0.0, 1.0), -0.4), (0.5, (1.0, -1.0), 0.0)]
    exponents = [height * np.cos(2.0 * np.pi * (cells.points @ k - at) / WIDTH) for height, k, at in waves]
    values = np.exp(np.sum(exponents, axis=0)).reshape(cells.cells)
    return Density(cells, np.where(cells.inside, values, 0.0)).normalized()


def quantiles(place: Place, dimension: int, count: int) -> np.ndarray:
    """Points `[count, d]` at the law's levels (i + ½)/n along the first axis, and at multiples of the golden
    section modulo 1 along the second, at the levels of the column that they are in: their averages err by
    log n/n [Niederreiter1992]."""
    rho = law(place, dimension, 8 if dimension == 1 else 4)
    columns = np.asarray(rho.masses).reshape(rho.grid.cells[0], -1)
    number = np.arange(count)
    first, x = _inverted(columns.sum(axis=1), (number + 0.5) / count)
    found = [x]
    if dimension == 2:
        levels = number * (0.5 * np.sqrt(5.0) - 0.5) % 1.0
        found.append(
            np.array([_inverted(columns[k], level)[1] for k, level in zip(first, levels, strict=True)])
        )
    return np.stack(
        [lower + h * x for lower, h, x in zip(rho.grid.lower, rho.grid.spacing, found, strict=True)], axis=1
    )


def _inverted(masses: np.ndarray, levels):
    """The cells in which a law on a line passes levels in (0, 1), and the places, in cells from the start."""
    ends = np.concatenate([[0.0], np.cumsum(masses)]) / masses.sum()
    at = np.clip(np.searchsorted(ends, levels, side="right") - 1, 0, masses.size - 1)
    return at, at + (levels - ends[at]) / (ends[at + 1] - ends[at])
