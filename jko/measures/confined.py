"""Particles in a box whose sides are joined, or reflect."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import jax.numpy as jnp
import numpy as np

from functionals import Functional
from functionals.time_dependence import AtTime, TimeDependent
from jko.errors import UnsupportedFunctional
from jko.measures.grid import Grid
from jko.measures.particles import Particles


class ConfinedParticles(Particles):
    """α = Σ wᵢ δ_{xᵢ} in the box of a `Grid`: round its periodic axes positions come in again at the other
    end, at its walls they are reflected.

    The `domain` is the grid, of which the sides count and no cells. Distances and differences in a kernel
    W(x − y) are those to the nearest image; a potential is read in the box. `reads(F)` is F so understood
    for points anywhere in space, of which those in the box are images: a scheme moves the points freely by
    it, and what it stores is folded back. By reflection that is a law with no flux through the walls
    [Gardiner2009].

    Raises TypeError for what is no grid, ValueError for a room, and as `Particles` does.
    """

    def __init__(self, positions: np.ndarray, domain: Grid, weights: np.ndarray | None = None):
        if not isinstance(domain, Grid):
            raise TypeError(
                f"domain: expected a Grid, got {type(domain).__name__}: make one with Grid.uniform"
            )
        if domain.is_room:
            raise ValueError(
                f"domain: particles reflect at the sides of a box, got {domain!r}: leave inside out"
            )
        super().__init__(positions, weights)
        if self.dimension != domain.dimension:
            raise ValueError(
                f"domain: expected {self.dimension} dimensions, the positions', got {domain.dimension}"
            )
        self.domain = domain
        self.positions = self._folded(self.positions)

    @classmethod
    def of(cls, particles: Particles, domain: Grid) -> ConfinedParticles:
        """A cloud in free space, folded into the box."""
        return cls(particles.positions, domain, particles.weights)

    def with_positions(self, positions: np.ndarray):
        moved = super().with_positions(positions)
        if isinstance(moved.positions, np.ndarray):
            moved.positions = self._folded(moved.positions)
        return moved

    def _folded(self, positions: np.ndarray):
        return np.asarray(Folding.into(self.domain)(positions, np), dtype=positions.dtype)

    def reads(self, F: Functional) -> Functional:
        """F for points anywhere in space: potentials at their images in the box, kernels of x − y at the
        nearest image, those of two points at both images. Raises UnsupportedFunctional for other parts but
        the entropy."""
        fold, kinds = (
            Folding.into(self.domain),
            ("internal", "constraints", "potential", "interaction", "rest"),
        )
        terms = [
            (c, kind, atom) for kind in (*kinds, "gradient", "local") for c, atom in getattr(F.parts, kind)
        ]
        return reduce(add, (float(c) * self._read(atom, kind, fold) for c, kind, atom in terms))

    def _read(self, atom, kind: str, fold: Folding):
        if kind == "internal":
            return atom
        here = copy.copy(atom)
        if kind == "potential":
            here.V = _composed(atom.V, lambda f: AtImages(f, fold))
            return here
        if kind != "interaction":
            raise UnsupportedFunctional(
                f"particles in a box take the entropy, potentials and interactions, got {atom!r}: "
                "take Particles in free space, or a Density"
            )
        here.__dict__.pop("symmetric_kernel", None)
        here._even_in = set()
        nearest = Nearest(fold.sides, fold.periodic)
        if all(fold.periodic) and not atom.general:
            here.W = _composed(atom.W, lambda f: OfNearest(f, nearest))
        elif atom.general:
            here.W = _composed(atom.W, lambda f: AtImages(f, fold))
        else:
            here.W, here.general = _composed(atom.W, lambda f: AtImages(OfDifference(f, nearest), fold)), True
        return here

    def difference_integrate(self, W: Callable, summation=None):
        return super().difference_integrate(self._nearest(W), summation)

    def convolve(self, W: Callable, summation=None):
        return super().convolve(self._nearest(W), summation)

    def convolve_gradient(self, W: Callable, summation=None):
        return super().convolve_gradient(self._nearest(W), summation)

    def convolve_product(self, W, v, summation=None):
        return super().convolve_product(self._nearest(W), v, summation)

    def _nearest(self, W: Callable):
        fold = Folding.into(self.domain)
        return OfNearest(W, Nearest(fold.sides, fold.periodic)) if self.domain.is_periodic else W

    @classmethod
    def fields_of(cls, measures: list):
        fields, axes, _ = super().fields_of(measures)
        grid = measures[0].domain
        sides = {"grid_lower": np.array(grid.lower), "grid_upper": np.array(grid.upper)}
        sides["grid_periodic"] = np.array(grid.periodic, dtype=int)
        return {**fields, "grid_cells": ("axis", np.array(grid.cells))}, axes, sides

    @classmethod
    def from_fields(cls, dataset):
        sides = (tuple(np.atleast_1d(dataset.attrs[name])) for name in ("grid_lower", "grid_upper"))
        turns = tuple(np.atleast_1d(dataset.attrs["grid_periodic"]).astype(bool).tolist())
        domain = Grid.uniform(*sides, tuple(dataset["grid_cells"].values.tolist()), turns)
        free = Particles.from_fields(dataset.drop_vars("grid_cells"))
        return [cls(mu.positions, domain, mu.weights) for mu in free]

    @property
    def layout(self):
        return (*super().layout, self.domain)

    @property
    def is_periodic(self):
        return self.domain.is_periodic

    def subsample(self, n: int, seed: int) -> ConfinedParticles:
        drawn = super().subsample(n, seed)
        return drawn if drawn is self else ConfinedParticles.of(drawn, self.domain)

    def __repr__(self) -> str:
        return f"{self.n} particles in the box of {self.domain!r}"


@dataclass(frozen=True)
class Folding:
    """x ↦ its image in a box: wrapped along periodic axes, reflected between walls."""

    lower: tuple[float, ...]
    sides: tuple[float, ...]
    periodic: tuple[bool, ...]

    @classmethod
    def into(cls, grid: Grid) -> Folding:
        """The box of a grid."""
        return cls(grid.lower, tuple(float(s) for s in np.subtract(grid.upper, grid.lower)), grid.periodic)

    def __call__(self, x, xp=jnp):
        lower, sides = (xp.asarray(a, x.dtype) for a in (self.lower, self.sides))
        turns = np.array(self.periodic)
        away = xp.mod(x - lower, xp.where(turns, sides, 2 * sides))
        return lower + xp.where(turns, away, xp.minimum(away, 2 * sides - away))


@dataclass(frozen=True)
class Nearest:
    """z ↦ the difference to the nearest image along periodic axes."""

    sides: tuple[float, ...]
    periodic: tuple[bool, ...]

    def __call__(self, z):
        sides = jnp.asarray(self.sides, z.dtype)
        return z - jnp.where(np.array(self.periodic), sides * jnp.round(z / sides), 0)


@dataclass(frozen=True)
class AtImages:
    """A function of points read at their images in a box."""

    function: Callable
    fold: Folding

    def __call__(self, *arguments):
        return self.function(*(self.fold(a) if jnp.ndim(a) else a for a in arguments))


@dataclass(frozen=True)
class OfNearest:
    """A kernel of a difference read at the nearest image."""

    function: Callable
    nearest: Nearest

    def __call__(self, z, *time):
        return self.function(self.nearest(z), *time)


@dataclass(frozen=True)
class OfDifference:
    """The kernel of two points that W(x − y) is, x − y to the nearest image."""

    function: Callable
    nearest: Nearest

    def __call__(self, x, y, *time):
        return self.function(self.nearest(x - y), *time)


def _composed(f: Callable, around: Callable):
    """The function with another around it; one that depends on time stays one."""
    if isinstance(f, TimeDependent):
        return replace(f, function=around(f.function))
    return AtTime(around(f.function), f.t) if isinstance(f, AtTime) else around(f)
