"""Bounds of runs whose mass is not 1: the force of a kernel, and what it takes off λ, grow with the mass."""

import numpy as np
import pytest

import functionals as fn
import jko

QUADRATIC_WELL = 4.0  # V = 2x²
REPULSION = -1.0  # W = −z²/2: at mass M a Gaussian's σ grows as e^{(M − 4)t}


def spread(rho):
    return float(np.sqrt(rho.covariance()[0, 0]))


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("mass", "length"), [(5.0, 1.0), (5.0, 1e3), (0.2, 1.0)])
def test_bounds_hold_at_any_mass(mass, length, declared):
    """σ = .4 L e^{(M − 4)t} on the line; W₂ = √M |σ − σ′|."""
    grid = jko.Grid.uniform(-4.0 * length, 4.0 * length, 200)
    start = jko.Density.gaussian(grid, 0.0, std=0.4 * length)
    rho = jko.Density(grid, mass * start.values)
    kernel = fn.Interaction(lambda z: -0.5 * z[0] ** 2, modulus=REPULSION if declared else None)
    F = fn.Potential("quadratic", stiffness=QUADRATIC_WELL) + kernel
    run = jko.flow(F, rho, jko.steps.Quantile(), tau=0.1, n_steps=10)
    modulus = QUADRATIC_WELL + mass * REPULSION
    found = run.displacement_modulus if declared else run.observed_modulus
    assert found == pytest.approx(modulus, rel=1e-6)
    sigma = spread(start) * np.exp(-modulus * run.times)
    apart = np.sqrt(mass) * np.abs([spread(mu) for mu in run.measures] - sigma)
    assert np.all(apart[1:] <= run.flow_error_bound[1:])
    assert run.flow_error_bound[-1] <= 30.0 * apart[-1]
    assert run.flow_error_bound_kind == ("proven" if declared else "estimate")


def test_an_accuracy_is_met_by_the_run_of_a_mass():
    grid = jko.Grid.uniform(-4.0, 4.0, 200)
    start = jko.Density.gaussian(grid, 0.0, std=0.4)
    F = fn.Potential("quadratic", stiffness=QUADRATIC_WELL)
    F = F + fn.Interaction(lambda z: -0.5 * z[0] ** 2, modulus=REPULSION)
    run = jko.flow(
        F, jko.Density(grid, 5.0 * start.values), jko.steps.Quantile(), time=0.5, accuracy=0.02, throw=False
    )
    apart = np.sqrt(5.0) * abs(spread(run.final) - spread(start) * np.exp(0.5))
    assert apart <= run.flow_error_bound[-1]
    assert run.attributes["accuracy_met"] == (run.flow_error_bound[-1] <= 0.02)


def test_a_population_has_the_bound_of_its_mass():
    """x = x₀e^{Mt} under W = −z²/2 and a mean of 0."""
    x = np.linspace(-0.5, 0.5, 41)[:, None]
    F = fn.Interaction(lambda z: -0.5 * z[0] ** 2, modulus=REPULSION)
    run = jko.flow(F, jko.Population(x, mass=4.0), jko.descent.BackwardEuler(), tau=0.05, n_steps=6)
    apart = np.sqrt(4.0 * np.mean((run.final.positions - x * np.exp(4.0 * 0.3)) ** 2))
    assert apart <= run.flow_error_bound[-1]


def test_what_a_functional_of_ones_own_declares_is_of_mass_1():
    class Spring(fn.Functional):
        def energy(self, mu):
            return 0.5 * (mu.masses @ mu.points[:, 0] ** 2)

        def displacement_modulus(self, dimension):
            return 1.0

    grid = jko.Grid.uniform(-2.0, 2.0, 40)
    rho = jko.Density.gaussian(grid, 0.3, std=0.4)
    scheme = jko.steps.Cvxpy()
    assert scheme.displacement_modulus(Spring(), rho) == 1.0
    assert scheme.displacement_modulus(Spring(), jko.Density(grid, 2.0 * rho.values)) is None
