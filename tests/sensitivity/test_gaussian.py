"""The derivative of the closed-form step: the exact answer, and differences in several dimensions."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.sensitivity import value_and_gradient
from tests.sensitivity.differences import exact_gradient, worst_error

SCHEME = jko.steps.Gaussian()


def quadratic(p):
    V = fn.Potential(lambda x: 0.5 * p["stiffness"] * jnp.sum(x**2))
    return V + p["temperature"] * fn.Entropy()


def moments(mu):
    return jnp.sum(mu.mean() + mu.mean() ** 2) + jnp.trace(mu.covariance())


@pytest.mark.parametrize("length", [1.0, 1e3])
def test_the_exact_answer_in_two_systems_of_units(length):
    parameters, tau = {"stiffness": 1.3, "temperature": 0.7 * length**2}, 0.2
    mu = jko.Gaussian.of(1.5 * length, 0.6 * length)
    found = value_and_gradient(
        moments, quadratic, parameters, mu, SCHEME, tau=tau, n_steps=5, by=("parameters", "tau")
    )
    value, slopes, by_tau = exact_gradient(parameters, tau, 1.5 * length, 0.6 * length, 5)
    assert found.value == pytest.approx(value, rel=1e-12)
    for name, slope in slopes.items():
        assert found.gradient["parameters"][name] == pytest.approx(slope, rel=1e-11)
    assert found.gradient["tau"] == pytest.approx(by_tau, rel=1e-11)
    assert found.record.worst_residual < 1e-13


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.long) for k in (1, 2))])
def test_random_problems_against_differences(dimension, seed):
    rng = np.random.default_rng([seed, dimension])
    root = rng.normal(size=(dimension, dimension))
    mu = jko.Gaussian(rng.normal(size=dimension), root @ root.T + np.eye(dimension))
    parameters = {
        "root": rng.normal(size=(dimension, dimension)),
        "slope": rng.normal(size=dimension),
        "bond": rng.uniform(0.1, 1.0),
        "temperature": rng.uniform(0.2, 1.0),
    }

    def make(p):
        V = fn.Potential(lambda x: 0.5 * jnp.sum((p["root"] @ x) ** 2) + p["slope"] @ x)
        W = fn.Interaction(lambda z: 0.5 * p["bond"] * jnp.sum(z**2))
        return V + W + p["temperature"] * fn.Entropy()

    weights = rng.normal(size=(dimension, dimension))

    def loss(mu):
        return jnp.sum(jnp.sin(mu.mean())) + jnp.sum(weights * mu.covariance()) ** 2

    assert worst_error(make, parameters, mu, SCHEME, loss, tau=0.3, n_steps=3) < 1e-6


def test_repeated_eigenvalues_have_a_derivative_by_the_initial_measure():
    mu = jko.Gaussian(np.zeros(2), np.eye(2))
    parameters = {"stiffness": 1.0, "temperature": 1.0}

    def loss(mu):
        return mu.covariance()[0, 1] + mu.covariance()[0, 0] * mu.mean()[1]

    found = value_and_gradient(loss, quadratic, parameters, mu, SCHEME, tau=0.1, n_steps=2, by="measure")

    def value(mean, covariance):
        other = jko.Gaussian(mean, covariance)
        return value_and_gradient(loss, quadratic, parameters, other, SCHEME, tau=0.1, n_steps=2).value

    h, tilt = 1e-5, np.array([[0.3, 0.2], [0.2, -0.1]])
    along = (value([0, 0], np.eye(2) + h * tilt) - value([0, 0], np.eye(2) - h * tilt)) / (2 * h)
    assert np.sum(found.gradient["covariance"] * tilt) == pytest.approx(along, rel=1e-8)
    along = (value([0, h], np.eye(2)) - value([0, -h], np.eye(2))) / (2 * h)
    assert found.gradient["mean"][1] == pytest.approx(along, rel=1e-8)


@pytest.mark.slow
def test_a_trap_that_moves_is_steered_by_its_path():
    mu = jko.Gaussian.of(0.0, 0.5)

    def make(p):
        trap = fn.Potential(lambda x, t: 0.5 * p["stiffness"] * jnp.sum((x - p["speed"] * t) ** 2))
        return trap + fn.Entropy()

    def path(trajectory):
        return sum((mu.mean()[0] - 0.3) ** 2 for mu in trajectory)

    parameters = {"speed": 2.0, "stiffness": 1.5}
    error = worst_error(make, parameters, mu, SCHEME, path, tau=0.1, n_steps=4, of="trajectory")
    assert error < 1e-7


def test_losses_that_cannot_be_differentiated_are_told_what_can():
    mu = jko.Gaussian.of(1.5, 0.6)
    parameters = {"stiffness": 1.3, "temperature": 0.7}
    wrong = (
        (lambda m: m.integrate(lambda x: x[0] ** 2), r"of mu.mean\(\) and mu.covariance\(\), which"),
        (lambda m: None, "expected one real number, got None"),
    )
    for loss, says in wrong:
        with pytest.raises(TypeError, match=says):
            value_and_gradient(loss, quadratic, parameters, mu, SCHEME, tau=0.2, n_steps=1)
