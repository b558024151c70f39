"""A function that reads a changed global gives the new values; one that reads nothing is compiled once."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals import pointwise
from functionals.reading import as_it_reads_now
from jko.measures.confined import Nearest, OfNearest

stiffness = 1.0
POINTS = np.linspace(-1.0, 1.0, 5)[:, None]


def V(x):
    return stiffness * jnp.sum(x**2)


def test_a_changed_global_is_seen(monkeypatch):
    module = __import__(__name__, fromlist=["stiffness"])
    assert np.allclose(pointwise.values(V, POINTS), POINTS[:, 0] ** 2)
    monkeypatch.setattr(module, "stiffness", 5.0)
    assert np.allclose(pointwise.values(V, POINTS), 5.0 * POINTS[:, 0] ** 2)
    assert np.allclose(pointwise.gradients(V, POINTS), 10.0 * POINTS)
    monkeypatch.undo()
    assert np.allclose(pointwise.values(V, POINTS), POINTS[:, 0] ** 2)


def test_an_enclosed_variable_and_a_helper_are_seen():
    scale = np.array([2.0])

    def helper(x):
        return jnp.sum(scale * x)

    def W(x):
        return helper(x)

    assert np.allclose(pointwise.values(W, POINTS), 2.0 * POINTS[:, 0])
    scale[0] = 3.0
    assert np.allclose(pointwise.values(W, POINTS), 3.0 * POINTS[:, 0])


class Spring:
    """An object of one's own, whose attribute a potential reads."""

    def __init__(self, strength):
        self.strength = strength

    def energy(self, x):
        return self.strength * jnp.sum(x**2)

    def __call__(self, x):
        return self.energy(x)


settings = {"strength": 1.0, "inner": [1.0, np.array([1.0])]}


def third(x):
    return stiffness * jnp.sum(x**2)


def second(x):
    return third(x)


def first(x):
    return second(x)


def plus_keyword(x, *, strength=1.0):
    return strength * jnp.sum(x**2)


def set_keyword(value):
    plus_keyword.__kwdefaults__ = {"strength": value}


SPRING, ARRAY, LARGE = Spring(1.0), np.array([1.0]), np.ones(5000)
# a function, and what changes its strength from 1
READINGS = {
    "an inner lambda": (lambda x: jnp.sum(jax.vmap(lambda c: stiffness * c**2)(x)), None),
    "a comprehension": (lambda x: sum([stiffness * c**2 for c in x]), None),
    "four functions deep": (lambda x: first(x), None),
    "a keyword's default": (plus_keyword, set_keyword),
    "an array of a partial": (partial(lambda a, x: a[0] * jnp.sum(x**2), ARRAY), lambda k: ARRAY.fill(k)),
    "an array in a tuple": (lambda x, held=(ARRAY,): held[0][0] * jnp.sum(x**2), lambda k: ARRAY.fill(k)),
    "an entry": (lambda x: settings["strength"] * jnp.sum(x**2), lambda k: settings.update(strength=k)),
    "an attribute": (lambda x: SPRING.strength * jnp.sum(x**2), lambda k: setattr(SPRING, "strength", k)),
    "a method": (SPRING.energy, lambda k: setattr(SPRING, "strength", k)),
    "a callable object": (SPRING, lambda k: setattr(SPRING, "strength", k)),
    "a large array": (lambda x: jnp.mean(LARGE) * jnp.sum(x**2), lambda k: LARGE.fill(k)),
}


@pytest.mark.parametrize("name", READINGS)
def test_what_is_read_anywhere_is_seen(name, monkeypatch):
    module = __import__(__name__, fromlist=["stiffness"])
    f, change = READINGS[name]
    change = change or (lambda k: monkeypatch.setattr(module, "stiffness", k))
    try:
        for k in (1.0, 2.0, 1.0):
            change(k)
            np.testing.assert_allclose(pointwise.values(f, POINTS), k * POINTS[:, 0] ** 2)
            assert as_it_reads_now(f) is as_it_reads_now(f)
    finally:
        change(1.0)


def test_a_gradient_of_a_flow_reads_anew(monkeypatch):
    module = __import__(__name__, fromlist=["stiffness"])

    def make(p):
        return fn.Potential(lambda x: 0.5 * stiffness * p * jnp.sum(x**2))

    def found():
        cloud, scheme = jko.Particles([[1.0]]), jko.descent.ForwardEuler()
        loss = lambda mu: jnp.sum(mu.positions**2)  # noqa: E731
        return jko.sensitivity.value_and_gradient(loss, make, 1.0, cloud, scheme, tau=0.1, n_steps=1)

    for k in (1.0, 2.0):
        monkeypatch.setattr(module, "stiffness", k)
        np.testing.assert_allclose(found(), [(1.0 - 0.1 * k) ** 2, -0.2 * k * (1.0 - 0.1 * k)], rtol=1e-12)


def test_the_same_reading_is_the_same_function():
    assert as_it_reads_now(V) is as_it_reads_now(V)


def test_an_energy_that_is_not_a_number_is_refused_before_any_step():
    cloud = jko.Particles(np.array([[-1.0], [2.0]]))
    F = fn.Potential(lambda x: jnp.log(x[0]))
    with pytest.raises(ValueError, match="the energy of the initial measure is NaN"):
        jko.flow(F, cloud, jko.descent.ForwardEuler(), tau=0.1, n_steps=1)


@pytest.mark.parametrize("wrong", [lambda F: F - F, lambda F: -F])
def test_differences_are_refused_with_the_remedy(wrong):
    with pytest.raises(TypeError, match="put the sign into the potential or the kernel"):
        wrong(fn.Entropy())


def test_a_half():
    assert (fn.Entropy() / 2).parts.temperature == 0.5


def test_equal_kernels_at_nearest_images_are_one_function():
    def kernel(z):
        return -jnp.cos(z[0])

    first, second = (as_it_reads_now(OfNearest(kernel, Nearest((1.0,), (True,)))) for _ in range(2))
    assert first is second


def test_within_a_step_a_function_is_looked_at_once_and_anew_in_the_next(monkeypatch):
    from functionals import reading

    looks, look = [], reading._Reading.of
    monkeypatch.setattr(
        reading._Reading, "of", lambda self, f, *more: looks.append(f) or look(self, f, *more)
    )
    with reading.read_once():
        first = as_it_reads_now(V)
        with reading.read_once():
            assert as_it_reads_now(V) is first
    assert looks.count(V) == 1
    module = __import__(__name__, fromlist=["stiffness"])
    monkeypatch.setattr(module, "stiffness", 5.0)
    with reading.read_once():
        assert as_it_reads_now(V) is not first


def test_a_global_changed_between_two_runs_is_seen(monkeypatch):
    mu = jko.Density.gaussian(jko.Grid.uniform(-3.0, 3.0, 32), 0.5, std=0.5)
    module, means = __import__(__name__, fromlist=["stiffness"]), []
    for value in (1.0, 5.0):
        monkeypatch.setattr(module, "stiffness", value)
        means.append(jko.flow(fn.Potential(V), mu, jko.steps.Quantile(), tau=0.1, n_steps=1).final.mean()[0])
    assert means[0] == pytest.approx(0.5 / 1.2, rel=1e-2)
    assert means[1] == pytest.approx(0.5 / 2.0, rel=1e-2)
