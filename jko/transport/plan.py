"""The optimal plan between two clouds."""

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


def squared_distances(x, y):
    """|x_i - y_j|² `[n, m]`; refuses those that float64 cannot hold."""
    import ot

    with np.errstate(over="ignore", invalid="ignore"):
        cost = ot.dist(x, y, metric="sqeuclidean")
    if not np.all(np.isfinite(cost)):
        raise ValueError("mu, nu: squared distances overflow float64; measure positions in a larger unit")
    return cost


def optimal_plan(mu, nu) -> Plan:
    """An optimal plan for |x - y|² between clouds, by the network simplex [BonneelEtAl2011].

    Raises ValueError where it would not fit in memory, RuntimeError where it does not converge.
    """
    import ot

    if mu.n * nu.n > _LARGEST_PLAN:
        raise ValueError(
            f"mu, nu: an exact plan between {mu.n} and {nu.n} atoms needs {8 * mu.n * nu.n / 1e9:.1f} GB; "
            f"subsample the clouds to {int(_LARGEST_PLAN**0.5)} atoms or fewer"
        )
    x, y = finite_array("mu", mu.positions), finite_array("nu", nu.positions)
    a, b = (np.asarray(m.weights, dtype=float) / np.sum(m.weights, dtype=float) for m in (mu, nu))
    shift = b @ y - a @ x  # a plan between centred clouds is a plan between the clouds, with digits to spare
    cost = squared_distances(x + shift, y)
    plan, log = ot.emd(a, b, cost, numItermax=_ITERATIONS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(
            f"mu, nu: the exact plan did not converge ({log['warning']}); subsample the clouds"
        )
    rows, columns = np.nonzero(plan)
    weights = plan[rows, columns]
    return Plan(rows, columns, weights / weights.sum(), np.asarray(log["v"]) + 2.0 * y @ shift)
