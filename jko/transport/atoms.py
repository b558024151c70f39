"""Measures as atoms, where an exact plan between them is wanted, and what turning them into atoms costs."""

import math
from typing import NamedTuple

import numpy as np

from jko.measures import Density, Gaussian, Grid, Particles

ATOMS = 1200
_REACH = 6.0
_NEGLIGIBLE = 1e-12  # of the largest cell: left out of a plan, where it would cost atoms and weigh nothing


class Atoms(NamedTuple):
    """Positions `[n, d]`, masses `[n]` of sum 1, and `error`, a bound on W₂ between the atoms and the
    measure they stand for."""

    positions: np.ndarray
    masses: np.ndarray
    error: float


def atoms_of(mu, limit=ATOMS):
    """The atoms of a measure: a cloud is its own atoms, a Density is gathered block by block to at most
    `limit` atoms.

    A block of cells becomes one atom at its barycentre; the error reported is the exact distance of that
    gathering, (sum_blocks ∫ |x - barycentre|² drho)^½, with the density constant on each cell. A Gaussian
    goes through a grid of six standard deviations.
    """
    if isinstance(mu, Particles):
        weights = np.asarray(mu.weights, dtype=np.float64)
        held = weights > 0.0
        return Atoms(
            np.asarray(mu.positions, dtype=np.float64)[held], weights[held] / weights[held].sum(), 0.0
        )
    if isinstance(mu, Density):
        return _gather(mu, limit)
    if isinstance(mu, Gaussian):
        return _gather(mu.on(_grid_around(mu, limit)), limit)
    raise TypeError(
        f"mu: expected a Density, Particles or a Gaussian, got {type(mu).__name__}; convert it to one of "
        "these"
    )


def atoms_of_pair(mu, nu, limit=ATOMS):
    """The atoms of two measures; two densities on one grid are gathered in the same blocks, whose errors
    then mostly cancel."""
    if isinstance(mu, Density) and isinstance(nu, Density) and mu.grid == nu.grid:
        block = max(_block(_masses(mu), limit), _block(_masses(nu), limit))
        return _gather(mu, limit, block), _gather(nu, limit, block)
    return atoms_of(mu, limit), atoms_of(nu, limit)


def _masses(mu):
    masses = np.asarray(mu.masses, dtype=np.float64).reshape(mu.grid.cells)
    masses = np.where(masses > _NEGLIGIBLE * masses.max(), masses, 0.0)
    return masses / masses.sum()


def _block(masses, limit):
    block = 1
    while _occupied(masses, block) > limit:
        block += 1
    return block


def _gather(mu, limit, block=None):
    grid, masses = mu.grid, _masses(mu)
    block = _block(masses, limit) if block is None else block
    positions, weights, spread = _block_moments(masses, np.asarray(grid.centers, dtype=np.float64), block)
    within = sum(h * h for h in grid.spacing) / 12.0
    return Atoms(positions, weights, math.sqrt(spread + within))


def _labels(shape, block):
    counts = [-(-n // block) for n in shape]
    index = [np.arange(n) // block for n in shape]
    return np.ravel_multi_index(np.meshgrid(*index, indexing="ij"), counts).ravel(), math.prod(counts)


def _occupied(masses, block):
    if block == 1:
        return np.count_nonzero(masses)
    labels, count = _labels(masses.shape, block)
    return np.count_nonzero(np.bincount(labels, weights=masses.ravel(), minlength=count))


def _block_moments(masses, centers, block):
    labels, count = _labels(masses.shape, block)
    flat, points = masses.ravel(), centers.reshape(-1, centers.shape[-1])
    weights = np.bincount(labels, weights=flat, minlength=count)
    first = np.stack([np.bincount(labels, weights=flat * x, minlength=count) for x in points.T], axis=1)
    held = weights > 0.0
    positions = first / np.where(held, weights, 1.0)[:, None]
    spread = np.sum(flat * np.sum((points - positions[labels]) ** 2, axis=1))
    return positions[held], weights[held], float(spread)


def _grid_around(mu, limit):
    mean, std = np.asarray(mu.mean()), np.sqrt(np.diag(np.asarray(mu.covariance())))
    cells = max(8, 2 * round(limit ** (1.0 / mu.dimension)))
    return Grid.uniform(
        lower=tuple(float(x) for x in mean - _REACH * std),
        upper=tuple(float(x) for x in mean + _REACH * std),
        cells=(cells,) * mu.dimension,
    )
