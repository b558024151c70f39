"""The derivative of `limits.FiniteVolume`: the flow's exact answer by refinement, its fallbacks, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.errors import UnsupportedFunctional
from jko.limits.scharfetter_gummel import GAMMA
from jko.limits.structure import Way
from jko.sensitivity import value_and_gradient
from jko.sensitivity.tolerances import TOLERANCES
from tests.sensitivity.differences import along, worst_error
from tests.sensitivity.test_grid_steps import density, interacting

SCHEME = jko.limits.FiniteVolume()


def quadratic(p):
    V = fn.Potential(lambda x: 0.5 * p["stiffness"] * jnp.sum(x**2))
    return V + p["temperature"] * fn.Entropy()


def second_moment(mu):
    return mu.integrate(lambda x: jnp.sum(x**2))


def shifted_moment(mu):
    return mu.integrate(lambda x: x[0] + x[0] ** 2)


def ornstein_uhlenbeck(p, time, mean, std):
    """∫x + x² dρ at a time of the flow: mathematics, exact answer 2."""
    decay, rest = jnp.exp(-p["stiffness"] * time), p["temperature"] / p["stiffness"]
    return mean * decay + (mean * decay) ** 2 + rest + (std**2 - rest) * decay**2


def errors_of(length, cells, n_steps):
    """Relative errors of the gradient at time 1 by (stiffness, temperature, the time) in a unit of length."""
    p = {"stiffness": 1.3, "temperature": 0.7}

    def make(q):
        return quadratic({**q, "temperature": q["temperature"] * length**2})

    def loss(mu):
        return mu.integrate(lambda x: x[0] / length + (x[0] / length) ** 2)

    grid = jko.Grid.uniform(-7.0 * length, 7.0 * length, cells)
    mu = jko.Density.gaussian(grid, mean=length, std=0.8 * length)
    settings = {"tau": 1.0 / n_steps, "n_steps": n_steps, "by": ("parameters", "tau")}
    found = value_and_gradient(loss, make, p, mu, SCHEME, **settings)
    with jax.enable_x64(True):
        exact, by_time = jax.grad(ornstein_uhlenbeck, argnums=(0, 1))(p, 1.0, 1.0, 0.8)
    slopes = found.gradient["parameters"]
    errors = [float(slopes[name] / exact[name]) - 1.0 for name in p]
    return np.array([*errors, found.gradient["tau"] / n_steps / float(by_time) - 1.0])


@pytest.mark.slow
def test_the_flows_exact_answer_to_second_order_in_two_systems_of_units():
    coarse, fine = (np.abs(errors_of(1.0, 70 * k, 5 * k)) for k in (1, 2))
    assert np.all(fine < 5e-3)
    assert np.all(np.log2(coarse / fine) > 1.8)
    assert np.abs(errors_of(1e3, 70, 5)) == pytest.approx(coarse, rel=1e-9)


def test_the_initial_measure():
    mu = density(1)
    settings = {"tau": 0.1, "n_steps": 2}
    p = {"a": 0.5, "b": 0.6, "theta": 0.7}
    found = value_and_gradient(second_moment, interacting, p, mu, SCHEME, by="measure", **settings)
    change = mu.values * np.sin(mu.grid.points).reshape(mu.grid.cells)

    def value(by):
        moved = jko.Density(mu.grid, mu.values + by * change)
        return value_and_gradient(second_moment, interacting, p, moved, SCHEME, **settings).value

    assert np.vdot(found.gradient["values"], change) == pytest.approx(along(value, 1e-3), rel=1e-6)
    assert 0.0 < found.record.worst_residual <= TOLERANCES.solved_grid


def waves(p):
    V = fn.Potential(lambda x: p["b"] * jnp.sum(jnp.cos(3.0 * x)))
    return V + fn.Interaction(lambda z: p["a"] * jnp.sum(z**2)) + p["theta"] * fn.Entropy()


@pytest.mark.parametrize(
    ("tau", "std", "theta", "ways"), [(0.2, 0.05, 0.3, set()), (1.0, 0.8, 1.0, {Way.IMPLICIT_EULER})]
)
def test_limited_fluxes_and_implicit_euler(tau, std, theta, ways):
    """Where two stages undershoot, and where they would raise F, the derivative is that of what was done."""
    p = {"a": 1.0, "b": 1.0, "theta": theta}
    mu = jko.Density.gaussian(jko.Grid.uniform(-3.0, 3.0, 60), mean=0.5, std=std)
    problem = SCHEME.prepare(waves(p), mu)
    info = SCHEME.step(problem, mu, 0.0, tau, problem.start)[2]
    assert set(info.details) == ways
    moving = problem.at(0.5 * tau).moving_potential(mu)
    stages = problem.at(0.5 * tau).plan(moving, tau, True)[0][0][1]
    assert ways or (two_stages(stages[0], mu.values[:, None]) < 0.0).any()
    assert worst_error(waves, p, mu, SCHEME, shifted_moment, tau=tau, n_steps=1) < 1e-5


def two_stages(fine, rho):
    one = fine(rho)
    return (1.0 / GAMMA - 1.0) * fine(one) + (2.0 - 1.0 / GAMMA) * one


PLANE = jko.Grid.uniform((-4.0, -4.0), (4.0, 4.0), (12, 12))
TORUS = jko.Grid.uniform(-4.0, 4.0, 32, periodic=True)
V = fn.Potential("quadratic")


@pytest.mark.parametrize(
    ("make", "mu", "scheme", "what"),
    [
        (lambda p: p * V, density(1), SCHEME, "without an entropy"),
        (lambda p: p * V + fn.Power(2.0), density(1), SCHEME, "does not take"),
        (lambda p: p * V + fn.Entropy(), jko.Density.gaussian(TORUS, 0.0, 1.0), SCHEME, "axes end at walls"),
        (
            lambda p: p * V + fn.Entropy(),
            density(1),
            jko.limits.FiniteVolume(reaction=fn.Entropy()),
            "does not take a reaction",
        ),
        (
            lambda p: p * V + fn.Entropy(),
            density(1),
            jko.limits.FiniteVolume(metric=[[2.0]]),
            "does not take a mobility, a metric or",
        ),
        (
            lambda p: p * fn.Interaction("logarithmic") + fn.Entropy(),
            jko.Density.gaussian(PLANE, 0.0, 1.0),
            SCHEME,
            "singular at 0",
        ),
    ],
)
def test_what_is_refused(make, mu, scheme, what):
    with pytest.raises(UnsupportedFunctional, match=what):
        value_and_gradient(second_moment, make, 1.0, mu, scheme, tau=0.1, n_steps=1)
