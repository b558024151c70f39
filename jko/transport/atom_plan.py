"""The cost of an exact plan between atoms."""

from __future__ import annotations

import numpy as np

from jko.measures import Density, Particles
from jko.transport.distance import Certificate
from jko.transport.plan import plan_between_atoms

_BLOCK = 4e6  # pairs at a time


def atom_plan(mu, nu, first, second):
    """(W₂² between the atoms `first` of mu and `second` of nu, the function that gives its certificate).

    Raises ValueError where the plan would not fit in memory, RuntimeError where it does not converge.
    """
    found = plan_between_atoms(first.positions, first.masses, second.positions, second.masses)

    def certify():
        u, v = 0.5 * found.first, 0.5 * found.second
        middle = 0.5 * (first.masses @ first.positions + second.masses @ second.positions)
        x, y = first.positions - middle, second.positions - middle
        psi, phi = _at_points(mu, u, y, v, middle), _at_points(nu, v, x, u, middle)
        return Certificate((psi, phi), found.squared - found.dual)

    return found.squared, certify


def torus_plan(first, second, grid):
    """The `AtomPlan` for the distance to the nearest image along the periodic axes of a grid."""
    sides = np.subtract(grid.upper, grid.lower)
    periods = np.where(grid.periodic, sides, np.inf)
    return plan_between_atoms(first.positions, first.masses, second.positions, second.masses, periods)


def _at_points(mu, own, others, values, middle):
    """The potential of a cloud at its points; of anything else, the conjugate of the other's."""
    if isinstance(mu, Particles) and len(own) == mu.n:
        return own
    return conjugate_from(mu, others, values, middle)


def conjugate_from(mu, atoms, values, middle=0.0):
    """min_j |x − y_j|²/2 − v_j over atoms y + middle `[n, d]`, at the cells or points of a measure; of a
    Gaussian, as a function of points."""
    if isinstance(mu, Density):
        return _conjugate(mu.grid.points - middle, atoms, values).reshape(mu.grid.cells)
    if isinstance(mu, Particles):
        return _conjugate(np.asarray(mu.positions, dtype=float) - middle, atoms, values)
    return lambda x: _conjugate(np.atleast_2d(np.asarray(x, dtype=float)) - middle, atoms, values)


def _conjugate(x, y, values):
    """min_j |x − y_j|²/2 − v_j."""
    low = 0.5 * np.sum(y**2, axis=1) - values
    step = max(1, int(_BLOCK / len(y)))
    blocks = [np.min(low - x[i : i + step] @ y.T, axis=1) for i in range(0, len(x), step)]
    return np.concatenate(blocks) + 0.5 * np.sum(x**2, axis=1)
