"""Dynamic transport as a cone programme, for small grids: slow, and to a general solver's accuracy."""

from __future__ import annotations

import math

import numpy as np

from jko.measures import Density
from jko.transport.dynamic.tolerances import TOLERANCES


def conic_fields(mu: Density, nu: Density, steps: int):
    """(densities `[k + 1, *cells]`, velocities `[k, *cells, d]`, energies `[k]`, residual, iterations)
    of the discrete problem of `benamou_brenier`, every |m|² ≤ sρ a second-order cone.

    Raises ValueError for more than 40 000 cells of space-time, RuntimeError where the solver fails.
    """
    import cvxpy as cp

    grid, cells = mu.grid, mu.grid.size
    if cells * steps > TOLERANCES.largest_program:
        raise ValueError(
            f'method: "cvxpy" is for {TOLERANCES.largest_program} cells of space-time at most, got {cells} x '
            f'{steps}; take "saddle"'
        )
    peak = max(mu.values.max(), nu.values.max())
    length = max(n * h for n, h in zip(grid.cells, grid.spacing, strict=True))
    forward, backward = _time_faces(steps)
    rho = cp.Variable((steps + 1, cells))
    flows = [cp.Variable((steps, _faces(grid.cells, axis))) for axis in range(grid.dimension)]
    operators = [_face_operators(grid.cells, axis) for axis in range(grid.dimension)]
    mass = 0.5 * (forward + backward) @ rho
    balance = steps * (forward - backward) @ rho
    momenta, constraints = [], [rho[0] == mu.values.ravel() / peak, rho[steps] == nu.values.ravel() / peak]
    for flow, (mean, difference), h in zip(flows, operators, grid.spacing, strict=True):
        momenta.append(cp.vec(flow @ mean.T, order="C"))
        balance = balance + (length / h) * flow @ difference.T
    energy = cp.Variable(steps * cells)
    mass = cp.vec(mass, order="C")
    constraints += [
        balance == 0,
        cp.SOC(energy + mass, cp.vstack([*(2 * m for m in momenta), energy - mass]), axis=0),
    ]
    problem = cp.Problem(cp.Minimize(cp.sum(energy) / steps), constraints)
    problem.solve(solver=cp.CLARABEL)
    if problem.status not in ("optimal", "optimal_inaccurate"):
        raise RuntimeError(f'the cone programme ended as "{problem.status}"; take method="saddle"')
    shape = (steps, *grid.cells)
    density = mass.value.reshape(shape)
    held = density > TOLERANCES.empty * density.max()
    velocity = [np.where(held, m.value.reshape(shape) / np.where(held, density, 1.0), 0.0) for m in momenta]
    energies = energy.value.reshape(steps, -1).sum(axis=1) * peak * grid.cell_volume * length**2
    residual = float(np.abs(balance.value).sum() / (steps * rho.value[0].sum()))
    values = peak * rho.value.reshape(steps + 1, *grid.cells)
    return values, length * np.stack(velocity, -1), energies, residual, problem.solver_stats.num_iters


def _time_faces(steps):
    """The operators that take the later and the earlier of the densities round each step."""
    from scipy.sparse import eye

    return eye(steps, steps + 1, k=1, format="csr"), eye(steps, steps + 1, format="csr")


def _faces(cells, axis: int):
    return math.prod(n - (a == axis) for a, n in enumerate(cells))


def _face_operators(cells, axis: int):
    """(means, differences) of interior faces at cells, `[cells, faces]`; nothing flows through the
    walls."""
    from scipy.sparse import eye, identity, kron

    n = cells[axis]
    upper, lower = eye(n, n - 1, format="csr"), eye(n, n - 1, k=-1, format="csr")
    before, after = identity(math.prod(cells[:axis])), identity(math.prod(cells[axis + 1 :]))
    return tuple(
        kron(kron(before, along), after, format="csr") for along in (0.5 * (upper + lower), upper - lower)
    )
