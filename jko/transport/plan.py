"""The optimal plan between two clouds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jko.errors import finite_array

_LARGEST_PLAN = 4e7
_ITERATIONS = 100_000_000
_SLIVER = 1e-14  # of the mass: what cumulative sums of weights leave between equal levels


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
    held = weights > _SLIVER
    return Plan(order0[rows[held]], order1[columns[held]], weights[held] / weights[held].sum(), None)


def differences(x, y, periods=None):
    """x − y, along an axis with a period `[d]` that is finite to the nearest image."""
    away = x - y
    if periods is not None:
        turns = np.isfinite(periods)
        away[..., turns] -= periods[turns] * np.rint(away[..., turns] / periods[turns])
    return away


def squared_distances(x, y, periods=None):
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


def plan_between_atoms(x, a, y, b, periods=None) -> AtomPlan:
    """An optimal plan between masses a `[n]` at x `[n, d]` and b `[m]` at y `[m, d]`, both of sum 1, by the
    network simplex [BonneelEtAl2011]; with `periods` on a torus.

    Without periods both clouds are centred first, the distance of their means being known. The simplex has
    thresholds for costs near 1, so that costs go to it divided by the largest. Raises ValueError where the
    plan would not fit in memory, RuntimeError where it does not converge.
    """
    import ot

    n, m = len(a), len(b)
    if n * m > _LARGEST_PLAN:
        raise ValueError(
            f"mu, nu: an exact plan between {n} and {m} atoms needs {8 * n * m / 1e9:.1f} GB; "
            f"subsample the clouds to {int(_LARGEST_PLAN**0.5)} atoms or fewer"
        )
    shift = np.zeros(x.shape[1])
    if periods is None:
        first_mean, second_mean = a @ x, b @ y
        shift = first_mean - second_mean
        x, y = x - first_mean, y - second_mean
    cost = squared_distances(x, y, periods)
    unit = float(cost.max()) or 1.0
    cost /= unit
    plan, log = ot.emd(a, b, cost, numItermax=_ITERATIONS, log=True)
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
