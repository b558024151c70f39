"""Derivatives of steps of particles: a closed form, and differences of the schemes along fixed noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.sensitivity import value_and_gradient
from jko.sensitivity.engines import derivative_of
from tests.sensitivity.differences import worst_error

DESCENT = jko.descent
SCHEMES = {
    "ForwardEuler": DESCENT.ForwardEuler(),
    "BackwardEuler": DESCENT.BackwardEuler(tolerance=1e-13),
    "Langevin": DESCENT.Langevin(seed=3),
    "LeimkuhlerMatthews": DESCENT.LeimkuhlerMatthews(seed=4, noise="three-point"),
    "StochasticHeun": DESCENT.StochasticHeun(seed=5),
}


def cloud(dimension, n=40, length=1.0, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 1.5, n)
    return jko.Particles(length * rng.normal(size=(n, dimension)), weights / weights.sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("ForwardEuler", "Langevin") else [pytest.mark.long])
        for name in SCHEMES
    ],
)
@pytest.mark.parametrize(("dimension", "length"), [pytest.param(1, 1.0, marks=pytest.mark.long), (2, 1e3)])
def test_differences_of_the_scheme(name, dimension, length):
    rng = np.random.default_rng([len(name), dimension])
    noisy = name not in ("ForwardEuler", "BackwardEuler")
    parameters = {
        "stiffness": rng.uniform(0.5, 1.5, dimension),
        "hill": rng.uniform(0.3, 0.6) * length**2,
        "bond": rng.uniform(0.2, 0.5),
        **({"theta": 0.3 * length**2} if noisy else {}),
    }

    def make(p):
        def V(x):
            return 0.5 * jnp.sum(p["stiffness"] * x**2) + p["hill"] * jnp.cos(jnp.sum(x) / length)

        W = fn.Interaction(lambda z: 0.5 * p["bond"] * jnp.sum(z**2) / (1.0 + jnp.sum(z**2) / length**2))
        F = fn.Potential(V) + W
        return F + p["theta"] * fn.Entropy() if noisy else F

    def loss(mu):
        return jnp.sum(jnp.sin(mu.mean() / length)) + mu.integrate(lambda x: jnp.sum((x / length) ** 4))

    mu = cloud(dimension, length=length)
    error = worst_error(make, parameters, mu, SCHEMES[name], loss, tau=0.1, n_steps=4)
    assert error < 1e-6


@pytest.mark.long
@pytest.mark.parametrize("name", SCHEMES)
def test_the_steps_are_those_of_the_scheme(name):
    def make(p):
        F = fn.Potential(lambda x, t: 0.5 * p * jnp.sum((x - t) ** 2)) + fn.Interaction("gaussian", width=0.5)
        return F if name.endswith("Euler") else F + 0.3 * fn.Entropy()

    mu = cloud(2)
    run = jko.flow(make(1.2), mu, SCHEMES[name], tau=0.1, n_steps=5)
    found = value_and_gradient(
        lambda mu: jnp.sum(mu.positions**3), make, 1.2, mu, SCHEMES[name], tau=0.1, n_steps=5
    )
    assert found.value == pytest.approx(np.sum(run.final.positions**3), rel=1e-9)


@pytest.mark.slow
def test_a_path_of_langevin_in_closed_form():
    """On ½ϑx² a path is linear in x, and its derivative a sum over the path."""
    tau, n_steps, mu = 0.1, 7, cloud(1)
    noise, path = DESCENT.Langevin(seed=2), []

    def make(p):
        return fn.Potential(lambda x: 0.5 * p * jnp.sum(x**2)) + 0.5 * fn.Entropy()

    path = jko.flow(make(1.3), mu, noise, tau=tau, n_steps=n_steps).measures
    found = value_and_gradient(
        lambda mu: mu.mean()[0], make, 1.3, mu, noise, tau=tau, n_steps=n_steps, by=("parameters", "measure")
    )
    kept = 1.0 - 1.3 * tau
    slope = sum(-tau * kept ** (n_steps - 1 - k) * path[k].mean()[0] for k in range(n_steps))
    assert found.value == pytest.approx(path[-1].mean()[0], rel=1e-12)
    assert found.gradient["parameters"] == pytest.approx(slope, rel=1e-11)
    assert found.gradient["measure"]["positions"][:, 0] == pytest.approx(kept**n_steps * mu.weights)


@pytest.mark.slow
def test_a_trajectory_and_its_final_measure_have_one_gradient():
    mu, scheme = cloud(2), SCHEMES["ForwardEuler"]

    def make(p):
        return fn.Potential(lambda x, t: 0.5 * jnp.sum((x - p["speed"] * t) ** 2))

    settings = {"tau": 0.1, "n_steps": 6, "by": ("parameters", "tau", "measure")}
    parameters = {"speed": np.array([0.5, -0.2])}

    def final(mu):
        return jnp.sum(mu.mean() ** 2)

    one = value_and_gradient(final, make, parameters, mu, scheme, **settings)
    all_of_it = value_and_gradient(
        lambda path: final(path[-1]), make, parameters, mu, scheme, of="trajectory", **settings
    )
    for a, b in zip(jax.tree.leaves(one.gradient), jax.tree.leaves(all_of_it.gradient), strict=True):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.slow
def test_clouds_of_single_precision_keep_it():
    mu = cloud(2)
    mu = jko.Particles(mu.positions.astype(np.float32))

    def make(p):
        return fn.Potential(lambda x: 0.5 * p * jnp.sum(x**2))

    found = value_and_gradient(
        lambda mu: jnp.sum(mu.mean() ** 2), make, 1.0, mu, SCHEMES["BackwardEuler"].__class__(),
        tau=0.1, n_steps=2, by=("parameters", "measure"),
    )  # fmt: skip
    m = mu.positions.mean(axis=0, dtype=float)
    assert found.gradient["measure"]["positions"].dtype == np.float32
    assert found.gradient["parameters"] == pytest.approx(-4.0 * 0.1 * (m @ m) / 1.1**5, rel=1e-4)
    assert found.record.worst_residual < 1e-5


@pytest.mark.parametrize("name", ["Langevin", pytest.param("StochasticHeun", marks=pytest.mark.slow)])
def test_a_path_that_is_not_kept_is_taken_again(name):
    def make(p):
        return fn.Potential(lambda x: 0.5 * p["k"] * jnp.sum(x**2)) + p["theta"] * fn.Entropy()

    mu, parameters = cloud(2), {"k": np.array(0.8), "theta": np.array(0.3)}
    engine = derivative_of(make, parameters, mu, SCHEMES[name])
    found = []
    for keeps in (True, False):
        engine.keeps_path = keeps
        taken = engine.step(mu, engine.problem.start, 0.0, 0.1, 3)
        found.append(engine.pull(taken.tape, {"positions": np.cos(mu.positions)}))
    for key in parameters:
        assert found[0].parameters[key] == pytest.approx(found[1].parameters[key], rel=1e-13)
    assert found[0].tau == pytest.approx(found[1].tau, rel=1e-13)
    np.testing.assert_allclose(found[0].before["positions"], found[1].before["positions"], rtol=1e-13)
