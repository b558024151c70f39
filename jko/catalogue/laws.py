"""What a step has to show: the rates that the first variation asks for, and where other engines went."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from jko.catalogue.cells import LENGTH, POINTS, WIDTH, Balance, Cell, Place, bell, law, parts
from jko.catalogue.registry import example
from jko.catalogue.tolerances import TOLERANCES
from jko.measures import Density, Gaussian, Grid, Measure


class Expected(NamedTuple):
    """The rates d/dt ∫φ dρ, and by how much each could be at most, by Cauchy's and Schwarz's inequality."""

    rates: np.ndarray
    sizes: np.ndarray


class Probe(NamedTuple):
    """φ = cos kπ(x − a)/(b − a) on a stretch [a, b] between walls, `wave` on a circle, or 1; 0 beyond."""

    wave: Callable[[np.ndarray], np.ndarray]
    between: tuple[float, float] | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.between is None:
            return self.wave(x)
        return np.where((self.between[0] < x) & (x < self.between[1]), self.wave(x), 0.0)


def probes(place: Place, balance: Balance) -> list[Probe]:
    """Functions φ of points `[n]`, whose slope is 0 at the walls; 1 where mass changes."""
    if place is Place.TORUS:
        turn = 2.0 * np.pi / WIDTH
        waves = (lambda x: np.sin(turn * x), lambda x: np.cos(turn * x), lambda x: np.cos(2.0 * turn * x))
        found = [Probe(wave) for wave in waves]
    else:
        found = [_cosine(a, b, k, place) for a, b in parts(place) for k in (1, 2)]
    if balance is Balance.CHANGING:
        found += [_cosine(a, b, 0, place) for a, b in parts(place)]
    return found


def _cosine(a: float, b: float, k: int, place: Place) -> Probe:
    return Probe(lambda x: np.cos(k * np.pi * (x - a) / (b - a)), (a, b) if place is Place.ROOM else None)


class Slopes:
    """ξ of F and ∇ξ at a law, in the inner products of the law."""

    def __init__(self, functional: str, rho: Density):
        self.rho, self.h = rho, rho.grid.spacing[0]
        turns, inside = rho.grid.periodic[0], rho.grid.inside
        self.xi = np.where(inside, np.asarray(example(functional).first_variation(rho)), 0.0)
        up = np.roll(np.arange(rho.grid.size), -1)
        joined = inside & inside[up]
        joined[-1] &= turns
        self.low, self.up = np.flatnonzero(joined), up[joined]
        self.carried = 0.5 * (rho.values[self.low] + rho.values[self.up]) * self.h
        self.masses, self.slope = np.asarray(rho.masses), self.difference(self.xi)

    def difference(self, field: np.ndarray) -> np.ndarray:
        """The slope on the faces."""
        return (field[self.up] - field[self.low]) / self.h

    @property
    def speed(self) -> float:
        """The root mean square of ∇ξ."""
        return float(np.sqrt(self.carried @ self.slope**2 / self.masses.sum()))


def slopes(cell: Cell) -> Slopes:
    """Those of the cell's functional, at the law that its engine starts from."""
    return _slopes(cell.functional, cell.place, Gaussian in cell.cls.measures)


@cache
def _slopes(functional: str, place: Place, gaussian: bool) -> Slopes:
    return Slopes(functional, _as_density(bell()) if gaussian else law(place, TOLERANCES.finer))


def _as_density(mu: Gaussian) -> Density:
    return mu.on(Grid.uniform(-WIDTH, WIDTH, 768))  # as fine as the laws, and wider than the Gaussian


def duration(cell: Cell) -> float:
    """The time over which mass moves by `moved`, or grows by `grown` where that is sooner."""
    found = slopes(cell)
    tau = TOLERANCES.moved / max(found.speed, TOLERANCES.slowest)
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
    for phi in probes(cell.place, cell.balance):
        values = phi(found.rho.grid.axes[0])
        slope = transports * found.difference(values)
        rates.append(-found.carried @ (slope * found.slope) - masses @ (values * growth))
        moving = (found.carried @ slope**2) * (found.carried @ found.slope**2)
        sizes.append(np.sqrt(moving) + np.sqrt((masses @ values**2) * (masses @ growth**2)))
    return Expected(np.array(rates), np.array(sizes))


def averages(mu: Measure, cell: Cell) -> np.ndarray:
    """∫φ dμ of every probe."""
    mu = _as_density(mu) if isinstance(mu, Gaussian) else mu
    x, masses = np.asarray(mu.points, dtype=float)[:, 0], np.asarray(mu.masses, dtype=float)
    return np.array([masses @ phi(x) for phi in probes(cell.place, cell.balance)])


def steepness(cell: Cell) -> np.ndarray:
    """max |∇φ| of every probe."""
    found = slopes(cell)
    fields = (phi(found.rho.grid.axes[0]) for phi in probes(cell.place, cell.balance))
    return np.array([np.abs(found.difference(field)).max() for field in fields])


def noise(cell: Cell, tau: float) -> np.ndarray:
    """The standard deviation of a rate ∫φ of a cloud with noise, √(2θ∫|∇φ|²dρ/nτ)."""
    found, theta = slopes(cell), cell.F.parts.temperature
    fields = (phi(found.rho.grid.axes[0]) for phi in probes(cell.place, cell.balance))
    bends = [found.carried @ found.difference(field) ** 2 for field in fields]
    return np.sqrt(2.0 * theta * np.array(bends) / (POINTS[cell.is_random] * tau))
