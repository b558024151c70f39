"""Noising is the Wasserstein gradient flow of the divergence from a Gaussian."""

import numpy as np
import pytest
from scipy.integrate import simpson

import functionals as fn
import jko
from jko import diffusion

F = fn.KL(jko.Gaussian([0.0], [[1.0]]))
EXACT = jko.exact.GaussianMixture([-1.5, 1.0], [0.4, 0.5], [0.4, 0.6])
GRID, TIMES = jko.Grid.uniform(-5.5, 5.5, 320), np.linspace(0.0, 0.5, 21)
START, SDE = EXACT.on(GRID, 0.0), diffusion.ornstein_uhlenbeck()


def l1(rho, t):
    return np.abs(rho.values - EXACT.on(GRID, t).values).sum() * GRID.cell_volume


@pytest.fixture(scope="module")
def law():
    return SDE.fokker_planck(START, TIMES, substeps=5, order=4)


def test_jko_steps_and_fokker_planck_give_the_exact_law(law):
    steps = jko.flow(F, START, jko.steps.VariationalBDF2(jko.steps.Quantile()), tau=0.025, n_steps=20)
    for k in (10, 20):
        assert l1(law.densities[k], TIMES[k]) < 3e-4
        assert l1(steps.measures[k], TIMES[k]) < 3e-3


def test_the_velocity_of_the_ode_is_minus_the_wasserstein_gradient(law):
    rho = law.densities[10]
    velocity = diffusion.coefficients.at_points(SDE.probability_flow(law).velocity, GRID.points, TIMES[10])
    gradient = F.wasserstein_gradient(rho)
    squared = rho.masses.ravel() @ np.sum((velocity + gradient) ** 2, axis=1)
    assert squared < 1e-5 * jko.dissipation(F, rho)


def test_the_divergence_falls_by_the_integral_of_the_fisher_information(law):
    energy, fisher = np.array([(F(rho), jko.dissipation(F, rho)) for rho in law.densities]).T
    assert simpson(fisher, x=TIMES) == pytest.approx(energy[0] - energy[-1], rel=2e-3)
    # log-Sobolev with λ = 1
    assert np.all(fisher >= 2.0 * energy)
