"""The closed-form step on Gaussians: against the recursion and against minimisation."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
from jko import Density, Gaussian, Grid, exact, flow, steps, wasserstein
from tests.first_step import first_step

A = np.array([[2.0, 0.5], [0.5, 1.0]])
S = np.array([[0.5, -0.3], [-0.3, 1.2]])


def test_twenty_steps_follow_the_recursion():
    F = fn.Entropy() + fn.Potential(lambda x: 0.5 * jnp.sum(x**2))
    run = flow(F, Gaussian.of(1.5, 0.5), steps.Gaussian(), tau=0.1, n_steps=20)
    m, s = 1.5, 0.5
    for measure in run.measures[1:]:
        m, s = m / 1.1, (s + np.sqrt(s**2 + 4 * 1.1 * 0.1)) / 2.2
        assert measure.mean()[0] == pytest.approx(m, rel=1e-14)
        assert measure.covariance()[0, 0] == pytest.approx(s**2, rel=1e-14)
    assert run.info.dissipation.min() > 0.0
    assert run.info.gap.max() < 1e-28


@pytest.mark.parametrize("interaction", [0.0, 0.5])
def test_the_step_minimises_over_gaussians_that_do_not_commute(interaction):
    F = 0.7 * fn.Entropy() + fn.Potential("quadratic", stiffness=A, center=np.array([0.3, 0.0]))
    F = F + fn.Interaction("quadratic", strength=interaction) if interaction else F
    mu, tau, scheme = Gaussian(np.array([1.0, 2.0]), S), 0.1, steps.Gaussian()
    best, _, info = first_step(scheme, F, mu, tau)
    assert info.gap < 1e-26

    def objective(candidate):
        return wasserstein(mu, candidate) ** 2 / (2.0 * tau) + F(candidate)

    least = objective(best)
    generator = np.random.default_rng(0)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(50):
            shift, bend = generator.standard_normal(2), generator.standard_normal((2, 2))
            near = Gaussian(best.mean() + size * shift, best.covariance() + size * 0.3 * (bend @ bend.T))
            assert objective(near) - least > 0.5 / tau * 1e-3 * size**2


def test_it_contracts_towards_the_equilibrium_in_ten_dimensions():
    generator = np.random.default_rng(2)
    root = generator.standard_normal((10, 10))
    stiffness = root @ root.T / 10 + np.eye(10)
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=stiffness)
    goal = Gaussian(np.zeros(10), np.linalg.inv(stiffness))
    run = flow(F, Gaussian(np.ones(10), np.eye(10)), steps.Gaussian(), tau=0.2, n_steps=15)
    distances = [wasserstein(measure, goal) for measure in run.measures]
    modulus = np.linalg.eigvalsh(stiffness)[0]
    assert np.all(np.divide(distances[1:], distances[:-1]) <= 1.0 / (1.0 + 0.2 * modulus) + 1e-9)


def test_order_one_in_tau():
    F = fn.Entropy() + fn.Potential("quadratic", stiffness=A)
    limit = exact.OrnsteinUhlenbeck([1.0, 0.0], stiffness=A, covariance=S).at(0.8)
    errors = []
    for n in (16, 32, 64):
        run = flow(F, Gaussian(np.array([1.0, 0.0]), S), steps.Gaussian(), tau=0.8 / n, n_steps=n)
        errors.append(wasserstein(run.final, limit))
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(1.0, abs=0.1)


def test_refusals():
    mu, scheme = Gaussian.of(0.0, 1.0), steps.Gaussian()
    with pytest.raises(ValueError, match="quadratic potentials"):
        scheme.prepare(fn.Entropy() + fn.Potential("double_well"), mu)
    with pytest.raises(ValueError, match="even interactions"):
        scheme.prepare(fn.Interaction(lambda x, y: jnp.sum(x * y), general=True), mu)
    with pytest.raises(ValueError, match="does not take Power"):
        scheme.prepare(fn.Power(2), mu)
    with pytest.raises(TypeError, match="moves Gaussian"):
        scheme.prepare(fn.Entropy(), Density.gaussian(Grid.uniform(-4.0, 4.0, 20), 0.0, 1.0))
    F = fn.Entropy() + fn.Potential(lambda x: -jnp.sum(x**2))
    with pytest.raises(ValueError, match="take tau smaller"):
        first_step(scheme, F, mu, 1.0)
    with pytest.raises(ValueError, match="tau: expected a positive number"):
        first_step(scheme, F, mu, -1.0)
