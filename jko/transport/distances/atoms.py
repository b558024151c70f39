"""Exact plans between atoms, and what turning measures into atoms costs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from jko.errors import finite_array
from jko.measures import Density, Gaussian, Grid, Measure, Particles
from jko.transport.distances.distance import Certificate
from jko.transport.distances.tolerances import TOLERANCES


class Plan(NamedTuple):
    """The pairs that carry mass: rows `[k]`, columns `[k]`, weights `[k]` of sum 1; `potential` `[m]` is the
    dual variable of the second cloud, None on the line."""

    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    potential: np.ndarray | None


class AtomPlan(NamedTuple):
    """An optimal plan between atoms, for |x − y|²: the pairs that carry mass as rows, columns and weights
    `[k]`, its cost `squared`, and dual variables `first` `[n]` and `second` `[m]` of the sum `dual`."""

    rows: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    squared: float
    dual: float
    first: np.ndarray
    second: np.ndarray


def plan_on_the_line(mu, nu) -> Plan:
    """The monotone plan between clouds on the line, of any size."""
    order0, order1 = (np.argsort(m.positions[:, 0], kind="stable") for m in (mu, nu))
    level0, level1 = (np.cumsum(m.weights[order], dtype=float) for m, order in ((mu, order0), (nu, order1)))
    levels = np.union1d(level0 / level0[-1], level1 / level1[-1])
    weights = np.diff(levels, prepend=0.0)
    middle = levels - 0.5 * weights
    rows = np.minimum(np.searchsorted(level0 / level0[-1], middle), mu.n - 1)
    columns = np.minimum(np.searchsorted(level1 / level1[-1], middle), nu.n - 1)
    held = weights > TOLERANCES.sliver
    return Plan(order0[rows[held]], order1[columns[held]], weights[held] / weights[held].sum(), None)


def differences(x: np.ndarray, y: np.ndarray, periods: np.ndarray | None = None):
    """x − y, along an axis with a period `[d]` that is finite to the nearest image."""
    away = x - y
    if periods is not None:
        turns = np.isfinite(periods)
        away[..., turns] -= periods[turns] * np.rint(away[..., turns] / periods[turns])
    return away


def squared_distances(x: np.ndarray, y: np.ndarray, periods: np.ndarray | None = None):
    """|x_i - y_j|² `[n, m]` by differences, which do not cancel as x² − 2xy + y² would; refuses those that
    float64 cannot hold."""
    from scipy.spatial.distance import cdist

    with np.errstate(over="ignore", invalid="ignore"):
        if periods is None:
            cost = cdist(x, y, "sqeuclidean")
        else:
            pairs = zip(x.T, y.T, periods, strict=True)
            cost = sum(differences(a[:, None, None], b[:, None], p[None])[..., 0] ** 2 for a, b, p in pairs)
    if not np.all(np.isfinite(cost)):
        raise ValueError("mu, nu: squared distances overflow float64; measure positions in a larger unit")
    return cost


def plan_between_atoms(
    x: np.ndarray, a: np.ndarray, y: np.ndarray, b: np.ndarray, periods: np.ndarray | None = None
) -> AtomPlan:
    """An optimal plan between masses a `[n]` at x `[n, d]` and b `[m]` at y `[m, d]`, both of sum 1, by the
    network simplex [BonneelEtAl2011]; with `periods` on a torus.

    Without periods both clouds are centred first, the distance of their means being known. The simplex has
    thresholds for costs near 1, so that costs go to it divided by the largest. Raises ValueError where the
    plan would not fit in memory, RuntimeError where it does not converge.
    """
    import ot

    n, m = len(a), len(b)
    if n * m > TOLERANCES.largest_plan:
        raise ValueError(
            f"mu, nu: an exact plan between {n} and {m} atoms needs {8 * n * m / 1e9:.1f} GB; "
            f"subsample the clouds to {int(TOLERANCES.largest_plan**0.5)} atoms or fewer"
        )
    shift = np.zeros(x.shape[1])
    if periods is None:
        first_mean, second_mean = a @ x, b @ y
        shift = first_mean - second_mean
        x, y = x - first_mean, y - second_mean
    cost = squared_distances(x, y, periods)
    unit = float(cost.max()) or 1.0
    cost /= unit
    plan, log = ot.emd(a, b, cost, numItermax=TOLERANCES.simplex_iterations, log=True)
    if log["warning"] is not None:
        raise RuntimeError(
            f"mu, nu: the exact plan did not converge ({log['warning']}); subsample the clouds"
        )
    rows, columns = np.nonzero(plan)
    weights = plan[rows, columns]
    weights = weights / weights.sum()
    u, v = unit * np.asarray(log["u"]), unit * np.asarray(log["v"])
    apart = float(shift @ shift)
    squared = unit * float(weights @ cost[rows, columns]) + apart
    dual = float(a @ u + b @ v) + apart
    # |x + s − y|² = |x − y|² + 2s·x − 2s·y + |s|²
    return AtomPlan(rows, columns, weights, squared, dual, u + 2.0 * x @ shift + apart, v - 2.0 * y @ shift)


def optimal_plan(mu, nu) -> Plan:
    """An optimal plan for |x - y|² between clouds, as `plan_between_atoms`."""
    x, y = finite_array("mu", mu.positions), finite_array("nu", nu.positions)
    a, b = (np.asarray(m.weights, dtype=float) / np.sum(m.weights, dtype=float) for m in (mu, nu))
    found = plan_between_atoms(x, a, y, b)
    return Plan(found.rows, found.columns, found.weights, found.second)


def atom_plan(mu: Measure, nu: Measure, first: Atoms, second: Atoms):
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


def torus_plan(first: Atoms, second: Atoms, grid: Grid):
    """The `AtomPlan` for the distance to the nearest image along the periodic axes of a grid."""
    sides = np.subtract(grid.upper, grid.lower)
    periods = np.where(grid.periodic, sides, np.inf)
    return plan_between_atoms(first.positions, first.masses, second.positions, second.masses, periods)


def _at_points(mu: Particles, own: np.ndarray, others: np.ndarray, values: np.ndarray, middle: np.ndarray):
    """The potential of a cloud at its points; of anything else, the conjugate of the other's."""
    if isinstance(mu, Particles) and len(own) == mu.n:
        return own
    return conjugate_from(mu, others, values, middle)


def conjugate_from(mu: Particles, atoms: np.ndarray, values: np.ndarray, middle: np.ndarray = 0.0):
    """min_j |x − y_j|²/2 − v_j over atoms y + middle `[n, d]`, at the cells or points of a measure; of a
    Gaussian, as a function of points."""
    if isinstance(mu, Density):
        return _conjugate(mu.grid.points - middle, atoms, values).reshape(mu.grid.cells)
    if isinstance(mu, Particles):
        return _conjugate(np.asarray(mu.positions, dtype=float) - middle, atoms, values)
    return lambda x: _conjugate(np.atleast_2d(np.asarray(x, dtype=float)) - middle, atoms, values)


def _conjugate(x: np.ndarray, y: np.ndarray, values: np.ndarray):
    """min_j |x − y_j|²/2 − v_j."""
    low = 0.5 * np.sum(y**2, axis=1) - values
    step = max(1, int(TOLERANCES.pairs_at_once / len(y)))
    blocks = [np.min(low - x[i : i + step] @ y.T, axis=1) for i in range(0, len(x), step)]
    return np.concatenate(blocks) + 0.5 * np.sum(x**2, axis=1)


ATOMS = 1200


class Atoms(NamedTuple):
    """Positions `[n, d]`, masses `[n]` of sum 1, and `error`, a bound on W₂ between the atoms and the
    measure they stand for."""

    positions: np.ndarray
    masses: np.ndarray
    error: float


def atoms_of(mu: Measure, limit: int = ATOMS):
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


def atoms_of_pair(mu: Measure, nu: Measure, limit: int = ATOMS):
    """The atoms of two measures; two densities on one grid are gathered in the same blocks, whose errors
    then mostly cancel."""
    if isinstance(mu, Density) and isinstance(nu, Density) and mu.grid == nu.grid:
        block = max(_block(_masses(mu), limit), _block(_masses(nu), limit))
        return _gather(mu, limit, block), _gather(nu, limit, block)
    return atoms_of(mu, limit), atoms_of(nu, limit)


def _masses(mu: Density):
    masses = np.asarray(mu.masses, dtype=np.float64).reshape(mu.grid.cells)
    masses = np.where(masses > TOLERANCES.negligible * masses.max(), masses, 0.0)
    return masses / masses.sum()


def _block(masses: np.ndarray, limit: int):
    block = 1
    while _occupied(masses, block) > limit:
        block += 1
    return block


def _gather(mu: Density, limit: int, block: int | None = None):
    grid, masses = mu.grid, _masses(mu)
    block = _block(masses, limit) if block is None else block
    positions, weights, spread = _block_moments(masses, np.asarray(grid.centers, dtype=np.float64), block)
    within = sum(h * h for h in grid.spacing) / 12.0
    return Atoms(positions, weights, math.sqrt(spread + within))


def _labels(shape: tuple, block: int):
    counts = [-(-n // block) for n in shape]
    index = [np.arange(n) // block for n in shape]
    return np.ravel_multi_index(np.meshgrid(*index, indexing="ij"), counts).ravel(), math.prod(counts)


def _occupied(masses: np.ndarray, block: int):
    if block == 1:
        return np.count_nonzero(masses)
    labels, count = _labels(masses.shape, block)
    return np.count_nonzero(np.bincount(labels, weights=masses.ravel(), minlength=count))


def _block_moments(masses: np.ndarray, centers: np.ndarray, block: int):
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
        lower=tuple(float(x) for x in mean - TOLERANCES.atom_reach * std),
        upper=tuple(float(x) for x in mean + TOLERANCES.atom_reach * std),
        cells=(cells,) * mu.dimension,
    )
