"""The derivative of `steps.BackAndForth`: exact answers where Newton polishes it, refinement at fronts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import UnsupportedFunctional
from jko.sensitivity import value_and_gradient
from jko.sensitivity.tolerances import TOLERANCES
from tests.sensitivity.differences import exact_gradient

SCHEME = jko.steps.BackAndForth()


def errors_on_gaussians(cells, p, mean=1.0, std=0.8, tau=0.2, length=1.0):
    """Relative errors by (stiffness, temperature, τ) after two steps: mathematics, exact answer 19."""

    def make(q):
        V = fn.Potential(lambda x: 0.5 * q["stiffness"] * jnp.sum(x**2))
        return V + q["temperature"] * length**2 * fn.Entropy()

    def loss(mu):
        return mu.integrate(lambda x: x[0] / length + (x[0] / length) ** 2)

    grid = jko.Grid.uniform(-7.0 * length, 7.0 * length, cells)
    mu = jko.Density.gaussian(grid, mean=mean * length, std=std * length)
    found = value_and_gradient(loss, make, p, mu, SCHEME, tau=tau, n_steps=2, by=("parameters", "tau"))
    assert found.record.worst_residual <= TOLERANCES.solved_grid
    _, slopes, by_tau = exact_gradient(p, tau, mean, std, 2)
    errors = [found.gradient["parameters"][name] / slopes[name] - 1.0 for name in p]
    return np.array([*errors, found.gradient["tau"] / by_tau - 1.0])


@pytest.mark.parametrize("length", [1.0, 1e3])
def test_the_exact_answer_in_two_systems_of_units(length):
    p = {"stiffness": 1.3, "temperature": 0.7}
    assert np.abs(errors_on_gaussians(80, p, length=length)).max() < 1e-6


@pytest.mark.long
@pytest.mark.parametrize("number", range(20))
def test_random_gaussians(number):
    rng = np.random.default_rng(number)
    p = {"stiffness": rng.uniform(0.6, 1.6), "temperature": rng.uniform(0.4, 0.9)}
    start = {"mean": rng.uniform(0.6, 1.2), "std": rng.uniform(0.6, 0.9), "tau": rng.uniform(0.1, 0.25)}
    assert np.abs(errors_on_gaussians(160, p, **start)).max() < 1e-6


@pytest.mark.long
def test_the_polished_run_lies_where_the_run_does_to_second_order():
    p = {"stiffness": 1.3, "temperature": 0.7}

    def apart(cells):
        grid = jko.Grid.uniform(-6.0, 6.0, cells)
        mu = jko.Density.gaussian(grid, mean=1.0, std=0.8)
        plain = jko.flow(trap(p), mu, SCHEME, tau=0.2, n_steps=2).final
        value = value_and_gradient(second_moment, trap, p, mu, SCHEME, tau=0.2, n_steps=2).value
        return abs(value / float(second_moment(plain)) - 1.0)

    coarse, fine = apart(80), apart(160)
    assert fine < 2e-3
    assert coarse > 3.0 * fine


def second_moment(mu):
    return mu.integrate(lambda x: jnp.sum(x**2))


def trap(q):
    V = fn.Potential(lambda x: 0.5 * q["stiffness"] * jnp.sum(x**2))
    return V + q["temperature"] * fn.Entropy()


def radius(factor, tau, dimension, n_steps):
    """Of the support after steps of factor·Σρ² from 1: mathematics, exact answer 3."""
    speed, power = ((3.0, 2), (8.0 / np.pi, 3))[dimension - 1]
    now = 1.0
    for _ in range(n_steps):
        before = now
        for _ in range(30):
            excess = now - before - tau * speed * factor * now**-power
            now = now - excess / (1.0 + tau * speed * factor * power * now ** (-power - 1))
    return now


@pytest.mark.long
@pytest.mark.parametrize(("dimension", "sizes"), [(1, (100, 400)), (2, (32, 128))])
def test_a_front_of_barenblatt(dimension, sizes):
    """∫|x|² is r²/5 on the line, r²/3 in the plane; a front is known to a cell, the derivative to less."""
    with jax.enable_x64(True):
        moment = lambda c: radius(c, 0.1, dimension, 3) ** 2 / (5.0, 3.0)[dimension - 1]  # noqa: E731
        exact = float(jax.grad(moment)(0.7))
    errors = []
    for cells in sizes:
        grid = jko.Grid.uniform((-3.0,) * dimension, (3.0,) * dimension, (cells,) * dimension)
        cap = np.maximum(1.0 - np.sum(grid.points**2, axis=1), 0.0).reshape(grid.cells)
        mu = jko.Density(grid, cap / (cap.sum() * grid.cell_volume))
        found = value_and_gradient(
            second_moment, lambda c: c * fn.Power(2.0), 0.7, mu, SCHEME, tau=0.1, n_steps=3
        )
        errors.append(abs(found.gradient / exact - 1.0))
    assert errors[1] < 1e-2
    assert errors[0] > 4.0 * errors[1]


def test_what_is_refused():
    grid = jko.Grid.uniform(-4.0, 4.0, 40)
    mu = jko.Density.gaussian(grid, mean=0.0, std=0.5)
    scheme = jko.steps.BackAndForth(obstacle=np.abs(grid.points).reshape(grid.cells) > 3.0)
    with pytest.raises(UnsupportedFunctional, match="does not take obstacles and rooms"):
        value_and_gradient(second_moment, lambda c: c * fn.Power(2.0), 0.7, mu, scheme, tau=0.1, n_steps=1)
