"""Fronts of full regions in dynamic steps: a block that falls, an ellipse against its exact JKO steps,
another solver."""

import numpy as np
import pytest
from scipy.optimize import fsolve

import functionals as fn
import jko
from jko.steps import Cvxpy, PrimalDual
from jko.steps.grid.full_fronts import front_shares
from tests.first_step import first_step
from tests.steps.test_primal_dual import ellipse


def test_faces_beside_full_cells_pay_for_the_mean_over_what_covers_them():
    lower = np.array([1.0, 0.0, 0.3, 1.0, 2.0, 0.9, 2.0]), np.array([1.0, 1.0, 1.0, 1.0, 1.0, 2.0, np.inf])
    upper = np.array([0.5, 1.0, 0.5, 1.0, 0.5, 0.4, 1.5]), np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.4, 0.0])
    shares = front_shares(lower, upper)
    # beyond the cap by the cap alone, less full than the other not at all, nor in doors and obstacles
    np.testing.assert_allclose(shares, [0.75, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_a_full_block_falls_as_fast_as_one_particle(unit):
    """Cap 1 and V = x carry a full block by −τ a step. Faces that were half-full at its fronts held it back
    by .8 % on these cells."""
    grid = jko.Grid.uniform(0.0, 2.0 * unit, 80)
    edges = grid.edges[0] / unit
    share = np.clip(np.minimum(edges[1:], 1.513) - np.maximum(edges[:-1], 1.203), 0.0, None) / 0.31
    mu = jko.Density(grid, share / grid.spacing[0])
    F = fn.Cap(1.0 / 0.31 / unit) + fn.Potential(lambda x: x[0] / unit)
    run = jko.flow(F, mu, PrimalDual(), tau=0.01 * unit**2, n_steps=30)
    assert np.all(run.info.status == "converged")
    fallen = (mu.mean()[0] - run.final.mean()[0]) / unit
    assert fallen == pytest.approx(0.3, rel=0.003)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
@pytest.mark.parametrize("slices", [2, 4])
def test_slices_bring_a_block_that_moves_five_cells_near_its_place(unit, slices):
    """A front that leaves its first cell on the way: with shares in all slices a block of ten cells came 2 to
    4 % too far, with a record below the minimum of the exact step."""
    grid = jko.Grid.uniform(0.0, 6.0 * unit, 60)
    values = np.where((grid.points[:, 0] > unit) & (grid.points[:, 0] < 2.0 * unit), 1.0 / unit, 0.0)
    mu = jko.Density(grid, values)
    F = fn.Cap(1.0 / unit) + fn.Potential(lambda x: -x[0] / unit)
    after, _, info = first_step(PrimalDual(slices=slices, tolerance=1e-5), F, mu, 0.5 * unit**2)
    assert info.converged
    way = (after.mean()[0] - mu.mean()[0]) / unit
    assert 0.96 * 0.5 <= way <= 0.5
    assert info.dissipation <= 0.25  # τ/2: F + W₂²/2τ is no lower than an exact step's


def steps_of_an_ellipse(tau, n):
    """Variances after n exact JKO steps of a full ellipse (1, ½): a = a′(1 + τ) − 2cτ/a′, ab kept."""
    a, b = 1.0, 0.5
    for _ in range(n):
        a, b, _ = fsolve(
            lambda z, a=a, b=b: [
                z[0] * (1 + tau) - 2 * z[2] * tau / z[0] - a,
                z[1] * (1 + tau) - 2 * z[2] * tau / z[1] - b,
                z[0] * z[1] - 0.5,
            ],
            [a, b, 0.1],
        )
    return 0.25 * np.array([a**2, b**2])


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 20])
def test_what_cells_cost_an_ellipse_is_small(n):
    # 1.9 and 2.4 % on these 48² cells where faces at the front carry the inertia of half-full ones
    grid = jko.Grid.uniform((-1.25, -1.25), (1.25, 1.25), (48, 48))
    F = fn.Cap(1.0) + fn.Potential("quadratic")
    run = jko.flow(F, ellipse(grid, 1.0, 0.5, parts=16), PrimalDual(), tau=0.5 / n, n_steps=n)
    found = np.diag(run.final.covariance())
    np.testing.assert_allclose(found, steps_of_an_ellipse(0.5 / n, n), rtol=0.01)
    assert np.all(run.info.status == "converged")


@pytest.mark.parametrize("slices", [1, 2])
def test_two_solvers_agree_on_a_full_ellipse(slices):
    grid = jko.Grid.uniform((-1.25, -0.8), (1.25, 0.8), (15, 10))
    F = fn.Cap(1.0) + fn.Potential("quadratic")
    mu = ellipse(grid, 1.0, 0.5)
    _, _, ours = first_step(PrimalDual(slices=slices), F, mu, 0.1)
    _, _, theirs = first_step(Cvxpy(formulation="eulerian", slices=slices), F, mu, 0.1)
    assert ours.converged
    assert theirs.converged
    missed = theirs.dissipation - ours.dissipation
    assert -theirs.gap - 1e-10 <= missed <= ours.gap + 1e-10
