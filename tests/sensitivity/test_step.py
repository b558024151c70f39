"""One step for loops of one's own, and what is refused of losses, parameters and schemes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.sensitivity import differentiable_step, value_and_gradient

GRID = jko.Grid.uniform(-5.0, 5.0, 80)
MEASURES = {
    "Gaussian": (jko.Gaussian.of(0.5, 0.8), jko.steps.Gaussian()),
    "MongeAmpere": (jko.Density.gaussian(GRID, mean=0.5, std=0.8), jko.steps.MongeAmpere()),
    "ForwardEuler": (jko.Particles(np.linspace(-1.0, 1.0, 7)), jko.descent.ForwardEuler()),
}


def make(p):
    return fn.Potential(lambda x: 0.5 * p["stiffness"] * jnp.sum((x - p["centre"]) ** 2))


def heated(p):
    return make(p) + 0.5 * fn.Entropy()


def size(arrays):
    return sum(jnp.sum(array**2) for array in arrays.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURES)
def test_a_loop_of_ones_own_has_the_gradient_of_the_run(name):
    mu, scheme = MEASURES[name]
    F = make if name == "ForwardEuler" else heated
    parameters = {"stiffness": 1.2, "centre": 0.3}
    step = differentiable_step(F, mu, scheme, tau=0.1)

    def loss(parameters):
        arrays = {key: jnp.asarray(a) for key, a in mu.packed().items()}
        for _ in range(3):
            arrays = step(parameters, arrays)
        return size(arrays)

    with jax.enable_x64(True):
        value, slopes = jax.value_and_grad(loss)(parameters)
    found = value_and_gradient(lambda mu: size(mu.packed()), F, parameters, mu, scheme, tau=0.1, n_steps=3)
    assert found.value == pytest.approx(float(value), rel=1e-12)
    for leaf, slope in slopes.items():
        assert found.gradient[leaf] == pytest.approx(float(slope), rel=1e-9)


def test_a_compiled_loop_is_refused():
    mu, scheme = MEASURES["Gaussian"]
    step = differentiable_step(heated, mu, scheme, tau=0.1)
    with jax.enable_x64(True), pytest.raises(TypeError, match="outside jit"):
        jax.jit(step)({"stiffness": 1.0, "centre": 0.0}, mu.packed())
    with pytest.raises(TypeError, match="enable_x64"):
        step({"stiffness": 1.0, "centre": 0.0}, mu.packed())


def mean(mu):
    return jnp.sum(mu.mean())


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        ({"scheme": jko.steps.Entropic()}, TypeError, "steps.Entropic has no derivative, since"),
        ({"scheme": "MongeAmpere"}, TypeError, "scheme: expected a scheme"),
        ({"parameters": {}}, ValueError, "parameters: expected numbers"),
        ({"parameters": {"stiffness": "one"}}, TypeError, "parameters: expected a pytree of real numbers"),
        ({"parameters": {"stiffness": np.nan, "centre": 0.0}}, ValueError, "parameters: expected finite"),
        ({"loss": 3.0}, TypeError, "loss: expected a function"),
        ({"loss": lambda mu: mu.mean() * jnp.ones(2)}, TypeError, "loss: expected one real number"),
        ({"loss": lambda mu: float(mu.mean()[0])}, TypeError, "loss: cannot be traced"),
        ({"make_functional": lambda p: 3.0}, TypeError, "make_functional: expected a function that returns"),
        (
            {"make_functional": lambda p: fn.Potential(lambda x: float(p["stiffness"]) * x[0] ** 2)},
            TypeError,
            "V in <lambda>.*branches on a value",
        ),
        ({"of": "last"}, ValueError, "of: expected one of"),
        ({"by": "mass"}, ValueError, "by: expected one of"),
        ({"tau": -1.0}, ValueError, "tau: expected a positive number"),
        (
            {"mu0": jko.Population(np.zeros((3, 1))), "scheme": jko.descent.ForwardEuler()},
            TypeError,
            "mu0: derivatives are of a density, particles or a Gaussian, got Population",
        ),
    ],
)
def test_bad_input_is_one_sentence(change, error, what):
    mu, scheme = MEASURES["Gaussian"]
    given = {"loss": mean, "make_functional": heated, "parameters": {"stiffness": 1.0, "centre": 0.2}}
    given |= {"mu0": mu, "scheme": scheme, "tau": 0.1, "n_steps": 1} | change
    with pytest.raises(error, match=what):
        value_and_gradient(**given)


def test_memory_does_not_grow_with_iterations():
    """A tape holds the step's own arrays, however many iterations it took."""
    from jko.sensitivity.engines import derivative_of

    mu = jko.Density.gaussian(GRID, mean=0.5, std=0.8)
    sizes, iterations = [], []
    for tolerance in (1e-2, 1e-14):
        scheme = jko.steps.MongeAmpere(tolerance=tolerance)
        engine = derivative_of(heated, {"stiffness": 1.0, "centre": 0.2}, mu, scheme)
        taken = engine.step(mu, engine.problem.start, 0.0, 0.1)
        found = taken.tape[2]
        sizes.append(sum(np.asarray(part).nbytes for part in (found.p, found.values)))
        iterations.append(taken.info.iterations)
    assert iterations[1] > iterations[0]
    assert sizes[0] == sizes[1] == 2 * mu.values.nbytes
