"""A function that reads a changed global gives the new values; one that reads nothing is compiled once."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals import pointwise
from functionals.reading import as_it_reads_now

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
