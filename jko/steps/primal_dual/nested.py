"""A start from the same step on coarser grids."""

from __future__ import annotations

import numpy as np

from jko.steps.primal_dual.grids import halved, prolonged, rolled, seam, turned
from jko.steps.primal_dual.splitting import Splitting
from jko.steps.primal_dual.tolerances import TOLERANCES
from jko.steps.primal_dual.weights import balance, split


def nested_start(problem, start: np.ndarray, field: np.ndarray, tau: float, weights: np.ndarray):
    """(potential, flow) to start from: the same step on coarser grids, which turn with the data, from the
    coarsest."""
    turn = seam(start, field, problem.grid.periodic)
    fine = turned(problem, turn) if any(turn) else problem
    levels = [(fine, rolled(start, turn), rolled(field, turn))]
    while (coarse := halved(*levels[-1])) is not None:
        levels.append(coarse)
    guess = None
    for halves, values, pull in reversed(levels[1:]):
        splitting = split(halves, values, tau, pull, weights)
        if guess is None:
            splitting.gather()
        else:
            splitting.restart(*prolonged(*guess, halves))
        _iterate(splitting)
        guess = splitting.potential, splitting.flow
    if guess is None:
        return np.zeros((problem.slices, *problem.shape)), problem.no_flows()
    potential, flow = prolonged(*guess, fine)
    back = tuple(-n for n in turn)
    return [rolled(p, back) for p in potential], [[rolled(v, back) for v in slices] for slices in flow]


def _iterate(splitting: Splitting):
    changes = 0
    for iteration in range(1, TOLERANCES.coarse_iterations + 1):
        residuals = splitting.iterate()
        if iteration % TOLERANCES.balance == 0:
            if iteration > TOLERANCES.patience:
                changes = balance(splitting, residuals, changes)
            size = float(np.vdot(splitting.density, splitting.density))
            if residuals[4] + residuals[5] <= TOLERANCES.coarse_residual**2 * size:
                return
