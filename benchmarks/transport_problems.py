"""Pairs of measures with W₂² in closed form."""

import numpy as np
from rows import sized

import jko
from jko import Density, Gaussian, Grid

TILTED = Gaussian([-1.0, 0.0], [[0.3, 0.1], [0.1, 0.2]]), Gaussian([1.0, 0.5], [[0.3, -0.1], [-0.1, 0.5]])


def unit_square(cells):
    return Grid.uniform((0.0, 0.0), (1.0, 1.0), (cells, cells))


def bump(grid, centre, radius):
    away = grid.centers - np.asarray(centre)
    return Density(grid, np.maximum(radius**2 - np.sum(away**2, axis=-1), 0.0)).normalized()


def translated_and_dilated(cells):
    """Parabola bumps; W₂² = |shift|² + (change of radius)²/3."""
    grid = unit_square(cells)
    return bump(grid, (0.3, 0.3), 0.15), bump(grid, (0.65, 0.7), 0.25), 0.35**2 + 0.4**2 + 0.1**2 / 3.0


def from_the_line(cells):
    """Products of marginals, a parabola to two bumps with a gap between; W₂² by quantile functions."""
    fine, line = Grid.uniform(0.0, 1.0, sized(2**17, 2**12)), Grid.uniform(0.0, 1.0, cells)

    def one(x):
        return np.maximum(0.04 - (x - 0.35) ** 2, 0.0)

    def two(x):
        return np.maximum(0.01 - (x - 0.3) ** 2, 0.0) + 0.5 * np.maximum(0.0225 - (x - 0.7) ** 2, 0.0)

    along = jko.wasserstein(*(Density(fine, f(fine.axes[0])).normalized() for f in (one, two)))
    x, plane = line.axes[0], unit_square(cells)
    return *(Density(plane, np.outer(f(x), f(x))).normalized() for f in (one, two)), 2.0 * float(along) ** 2


def tilted_gaussians(cells):
    grid = Grid.uniform((-6.0, -6.0), (6.0, 6.0), (cells, cells))
    return *(m.on(grid) for m in TILTED), float(jko.wasserstein(*TILTED)) ** 2


def waves(cells, dimension):
    """1 + .8 cos 2πx to 1.5 + sin 6x along every axis of the unit cube, mass everywhere; W₂² by quantiles."""

    def one(x):
        return 1.0 + 0.8 * np.cos(2.0 * np.pi * x)

    def two(x):
        return 1.5 + np.sin(6.0 * x)

    fine = Grid.uniform(0.0, 1.0, sized(2**15, 2**11))
    along = jko.wasserstein(*(Density(fine, f(fine.axes[0])).normalized() for f in (one, two)))
    grid = Grid.uniform((0.0,) * dimension, (1.0,) * dimension, (cells,) * dimension)
    pair = (np.prod(np.meshgrid(*[f(x) for x in grid.axes], indexing="ij"), axis=0) for f in (one, two))
    return *(Density(grid, values).normalized() for values in pair), dimension * float(along) ** 2
