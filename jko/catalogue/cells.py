"""A cell of the matrix: a functional, an engine, a place and whether mass is kept; what is asked of whom."""

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

CELLS = 96  # of the grid: a step moves the mass by about one of them, so that errors of h are a few per cent
POINTS = {False: 200, True: 4000}  # of a cloud, with noise more: a rate's noise is then a part of the rate
LENGTH = 1.0  # δ of Hellinger and Kantorovich: moving and growing are then of one size on this law
WIDTH = 6.0  # of the box and the circle, in the unit of the law: six of its widths
_WALLS = (-2.75, 0.75, 1.0, 2.75)  # the room's two parts, from the first to the second and third to fourth
PARTICLE_STEPS = 4  # for each step of a density: what is late by half a step is then late by an eighth
OWN_METRIC = {  # engines that move mass otherwise than down ∇ξ, and what they do
    "descent.NoiseInjection": "reads forces beside the particles",
    "descent.SVGD": "goes down F in the geometry of a kernel",
    "descent.UnderdampedLangevin": "has inertia",
}


class Place(StrEnum):
    """Where the mass is: between two walls, in a room of two parts within, on a circle."""

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
    that is so many times `shorter`."""

    functional: str
    engine: str
    place: Place
    balance: Balance
    shorter: int = 1

    @property
    def cls(self) -> Any:
        """The class of the engine."""
        return engine_classes()[self.engine]

    @property
    def F(self) -> Functional:
        """The functional's example."""
        return example(self.functional)

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
        if Gaussian in self.cls.measures:
            return bell() if self.place is Place.BOX else law(self.place)
        if not self.moves_particles:
            return law(self.place)
        cloud = Particles(quantiles(self.place, POINTS[self.is_random]))
        if self.place is not Place.BOX:
            cloud = ConfinedParticles.of(cloud, grid(self.place))
        grows = Population in self.cls.measures or self.balance is Balance.CHANGING
        return Population.of(cloud) if grows else cloud


def bell() -> Gaussian:
    """The Gaussian that closed forms start from."""
    return Gaussian.of(0.2, 0.8, dimension=1)


@cache
def grid(place: Place, finer: int = 1) -> Grid:
    """The grid of a place, each cell cut into `finer`."""
    n = CELLS * finer
    x = Grid.uniform(-0.5 * WIDTH, 0.5 * WIDTH, n).axes[0]
    a, b, c, d = _WALLS
    inside = ((a < x) & (x < b)) | ((c < x) & (x < d)) if place is Place.ROOM else None
    return Grid.uniform(-0.5 * WIDTH, 0.5 * WIDTH, n, periodic=place is Place.TORUS, inside=inside)


@cache
def law(place: Place, finer: int = 1) -> Density:
    """ρ ∝ e^{2 cos π(x − 1/5)/3} inside: positive, smooth on the circle, level near the box's walls."""
    cells = grid(place, finer)
    values = np.exp(2.0 * np.cos(2.0 * np.pi * (cells.axes[0] - 0.2) / WIDTH))
    return Density(cells, np.where(cells.inside, values, 0.0)).normalized()


def quantiles(place: Place, count: int) -> np.ndarray:
    """Points `[count, 1]` at the law's levels (i + ½)/n."""
    rho = law(place, 8)
    levels = np.concatenate([[0.0], np.cumsum(rho.masses)])
    wanted = (np.arange(count) + 0.5) / count
    return np.interp(wanted, levels, rho.grid.edges[0])[:, None]


def parts(place: Place) -> list[tuple[float, float]]:
    """The stretches between walls."""
    a, b, c, d = _WALLS
    return [(a, b), (c, d)] if place is Place.ROOM else [(-0.5 * WIDTH, 0.5 * WIDTH)]
