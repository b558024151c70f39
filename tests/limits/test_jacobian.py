"""The Jacobian of implicit steps on all cells, and second stages from a base below 0."""

import numpy as np
import pytest

import functionals as fn
import jko
from jko.limits.coupled import CoupledDiffusion
from jko.limits.mobile import Carrier


def plane(periodic):
    grid = jko.Grid.uniform((0.0, 0.0), (1.0, 1.0), (7, 8), periodic=periodic)
    values = np.random.default_rng(0).uniform(0.2, 0.8, grid.cells)
    return jko.Density(grid, values)


@pytest.mark.parametrize("periodic", [False, (True, False)])
@pytest.mark.parametrize("kind", ["gradient", "mobility"])
def test_the_jacobian_is_that_of_differences(kind, periodic):
    mu, F = plane(periodic), 0.3 * fn.Entropy() + fn.Power(2.0)
    if kind == "gradient":
        solver = CoupledDiffusion((F + 0.1 * fn.FisherInformation() + fn.Dirichlet()).parts, mu.grid)
    else:
        metric = jko.metric.frozen_metric([[1.0, 0.4], [0.4, 0.5]])
        solver = Carrier(jko.Exclusion(), metric, mu).solver(F.parts, mu.grid)
    rho = mu.values.ravel()
    psi, weight = np.random.default_rng(1).normal(size=rho.size), 0.02 * solver.edges.weight
    residual = solver._residual(rho, rho, psi, weight)

    def after(shift):
        return solver._residual(rho + shift, rho, psi, weight).values

    columns = [(after(shift) - after(-shift)) / 2e-6 for shift in 1e-6 * np.eye(rho.size)]
    step = solver._step(rho, residual, weight, held=False)
    np.testing.assert_allclose(np.array(columns).T @ step, -residual.values, atol=1e-6 * np.abs(step).max())


def test_a_base_that_nothing_can_fill_is_known_before_newtons_method():
    """Exclusion, −.1 in one cell: beside full cells it is filled, among empty ones it is not."""
    grid = jko.Grid.uniform(0.0, 1.0, 20)
    full = jko.Density(grid, np.full(20, 0.5))
    solver = Carrier(jko.Exclusion(), None, full).solver(fn.FermiDirac().parts, grid)
    base, weight = full.values.copy(), 1e-2 * solver.edges.weight
    base[10] = -0.1
    assert not solver._starves(base, full.values, np.zeros(20), weight)
    alone = full.values.copy()
    alone[8:13] = 1e-6
    assert solver._starves(base, alone, np.zeros(20), weight)
