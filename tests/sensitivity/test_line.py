"""The derivative of `steps.Quantile`: the exact answer as cells shrink, and differences of the engine."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import UnsupportedFunctional
from jko.sensitivity import value_and_gradient
from tests.sensitivity.differences import exact_gradient, worst_error

SCHEME = jko.steps.Quantile(tolerance=1e-13)
PARAMETERS = {"stiffness": 1.3, "temperature": 0.7}


def quadratic(p):
    V = fn.Potential(lambda x: 0.5 * p["stiffness"] * x[0] ** 2)
    return V + p["temperature"] * fn.Entropy()


def moments(mu):
    m = mu.integrate(lambda x: x[0])
    return m + mu.integrate(lambda x: x[0] ** 2)


@pytest.mark.slow
def test_the_exact_answer_to_second_order_in_the_cells():
    exact = exact_gradient(PARAMETERS, 0.2, 1.0, 0.8, 3)
    errors = []
    for cells in (250, 500, 1000):
        grid = jko.Grid.uniform(-8.0, 8.0, cells)
        mu = jko.Density.gaussian(grid, mean=1.0, std=0.8)
        found = value_and_gradient(
            moments, quadratic, PARAMETERS, mu, SCHEME, tau=0.2, n_steps=3, by=("parameters", "tau")
        )
        got = [*found.gradient["parameters"].values(), found.gradient["tau"]]
        errors.append(max(abs(a - b) for a, b in zip(got, [*exact[1].values(), exact[2]], strict=True)))
        assert found.record.worst_residual < 1e-11
    assert errors[0] > errors[1] > errors[2]
    assert 0.5 * np.log2(errors[0] / errors[2]) > 1.9, errors  # cells are graded: orders of pairs vary


@pytest.mark.long
def test_the_exact_answer_to_a_millionth():
    exact = exact_gradient(PARAMETERS, 0.2, 1.0, 0.8, 3)
    grid = jko.Grid.uniform(-8.0, 8.0, 8000)
    mu = jko.Density.gaussian(grid, mean=1.0, std=0.8)
    found = value_and_gradient(moments, quadratic, PARAMETERS, mu, SCHEME, tau=0.2, n_steps=3)
    for name, slope in exact[1].items():
        assert found.gradient[name] == pytest.approx(slope, rel=1e-6)


CASES = {
    "entropy": lambda p: (
        fn.Potential(lambda x: p["a"] * x[0] ** 2 + p["b"] * jnp.cos(2 * x[0] / p["L"]))
        + p["theta"] * fn.Entropy()
    ),
    "porous medium": lambda p: (
        fn.Potential(lambda x: p["a"] * x[0] ** 2 + p["b"] * jnp.sin(x[0] / p["L"]))
        + p["theta"] * fn.Power(2)
    ),
    "no internal energy": lambda p: fn.Potential(
        lambda x: p["a"] * x[0] ** 2 + p["b"] * p["theta"] * jnp.cos(x[0] / p["L"])
    ),
    "time": lambda p: (
        fn.Potential(lambda x, t: p["a"] * (x[0] - p["b"] * p["L"] * t) ** 2) + p["theta"] * fn.Entropy()
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("length", [pytest.param(1.0, marks=pytest.mark.long), 1e3])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "time" else [pytest.mark.long]) for name in CASES]
)
def test_differences_of_the_engine(name, length):
    rng = np.random.default_rng(len(name))
    scale = {"porous medium": length}.get(name, 1.0)  # ∫ρ² has the unit of 1/length
    parameters = {
        "a": rng.uniform(0.5, 1.0),
        "b": rng.uniform(0.3, 0.6) * (1.0 if name == "time" else length**2),
        "theta": rng.uniform(0.5, 1.0) * (1.0 if name == "no internal energy" else scale * length**2),
    }
    grid = jko.Grid.uniform(-4.0 * length, 4.0 * length, 100)
    x = grid.axes[0] / length
    bump = np.exp(-0.5 * ((x - 0.7) / 0.6) ** 2) if name == "entropy" or name == "time" else np.cos(x - 0.5)
    mu = jko.Density(
        grid,
        np.where(np.abs(x - 0.5) < 3.2 if name in ("entropy", "time") else np.abs(x - 0.5) < 1.5, bump, 0.0),
    ).normalized()

    def make(p):
        return CASES[name]({**p, "L": length})

    def loss(mu):
        return mu.integrate(lambda x: (x[0] / length) ** 2 + jnp.sin(x[0] / length))

    assert worst_error(make, parameters, mu, SCHEME, loss, tau=0.1, n_steps=3) < 1e-5


@pytest.mark.long
def test_an_interaction_by_conjugate_gradients():
    grid = jko.Grid.uniform(-5.0, 5.0, 100)
    mu = jko.Density.gaussian(grid, mean=0.5, std=0.8)

    def make(p):
        W = fn.Interaction(lambda z: p["a"] * z[0] ** 2 - p["b"] * jnp.exp(-(z[0] ** 2)))
        return W + p["theta"] * fn.Entropy()

    def loss(mu):
        return mu.integrate(lambda x: x[0] ** 4) + jnp.sum(mu.values**2)

    parameters = {"a": 0.5, "b": 0.8, "theta": 0.6}
    # wider differences meet the limiters of the density on the grid
    error = worst_error(make, parameters, mu, SCHEME, loss, tau=0.1, n_steps=2, step=1e-3)
    assert error < 1e-5


@pytest.mark.slow
def test_a_cap_moves_its_block_as_one():
    grid = jko.Grid.uniform(-6.0, 6.0, 200)
    mu = jko.Density(grid, 0.2 * (np.abs(grid.axes[0]) < 2.5)).normalized()

    def make(p):
        return fn.Potential(lambda x: 0.5 * p["a"] * (x[0] - p["c"]) ** 2) + fn.Cap(0.6)

    def loss(mu):
        return mu.integrate(lambda x: x[0] ** 2) + jnp.sum(mu.values**3)

    parameters = {"a": 1.3, "c": 0.7}
    assert worst_error(make, parameters, mu, SCHEME, loss, tau=0.1, n_steps=4, step=2e-5) < 1e-5


@pytest.mark.parametrize(
    ("F", "what"),
    [
        (lambda p: fn.Potential(lambda x: p * jnp.abs(x[0] - 0.3)), "kinks"),
        (lambda p: fn.Potential(lambda x: p * x[0] ** 2) + fn.Interaction("logarithmic"), "not smooth at 0"),
    ],
)
def test_what_has_no_derivative_is_refused(F, what):
    mu = jko.Density.gaussian(jko.Grid.uniform(-3.0, 3.0, 64), mean=0.0, std=0.5)
    with pytest.raises(UnsupportedFunctional, match=what):
        value_and_gradient(moments, F, 1.0, mu, SCHEME, tau=0.1, n_steps=1)
    with pytest.raises(UnsupportedFunctional, match="by the initial measure"):
        value_and_gradient(moments, quadratic, PARAMETERS, mu, SCHEME, tau=0.1, n_steps=1, by="measure")
