"""Implicit steps of particles that feel no others, each by its own Newton's method."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.descent.fields.program import field
from jko.descent.newton.conjugate_gradients import proximal_step
from jko.descent.newton.proximal import proximal_point
from jko.loops.sums.pair_sums import precision


def wells(length, height=0.0):
    return lambda x: height + jnp.sum(((x / length) ** 2 - 1.0) ** 2) + 0.3 * jnp.cos(x[0] / length)


def cloud(n, d, length=1.0):
    generator = np.random.default_rng(0)
    w = generator.uniform(0.5, 1.5, n)
    return jko.Particles(1.2 * length * generator.standard_normal((n, d)), w / w.sum())


@pytest.mark.parametrize(("length", "time"), [(1.0, 1.0), (1e4, 1e-3)])
@pytest.mark.parametrize("d", [1, 3])
def test_a_step_of_a_quadratic_is_exact_and_one_iteration(length, time, d):
    root = np.random.default_rng(1).standard_normal((d, d))
    A, centre, mu = root @ root.T / time, length * np.arange(1.0, d + 1.0), cloud(50, d, length)
    V = fn.Potential("quadratic", stiffness=A, center=centre)
    tau = 2.0 * time
    run = jko.flow(V, mu, jko.descent.BackwardEuler(), tau=tau, n_steps=1)
    exact = centre + (mu.positions - centre) @ np.linalg.inv(np.eye(d) + tau * A)
    assert np.abs(run.final.positions - exact).max() < 1e-12 * length
    assert run.info.iterations[0] == 1
    assert run.info.dissipation[0] > 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("length", "time"), [(1.0, 1.0), (1e4, 1e-3)])
@pytest.mark.parametrize("d", [1, 2])
def test_each_for_itself_goes_where_all_together_go(length, time, d):
    mu, tau = cloud(40, d, length), 0.2 * time
    x, w = mu.positions, mu.weights
    terms = ((0.5 * length**2 / time, fn.Potential(wells(length))),) * 2
    alone, error, _ = proximal_point(field(terms), x, x, w, tau, 1e-10, 50, 200)
    with precision(x):
        together = np.asarray(proximal_step(field(terms), 50, 200)(x, x, w, tau, 1e-10)[0])
    assert error < 1e-10
    assert np.abs(alone - together).max() < 1e-8 * length


@pytest.mark.parametrize("height", [0.0, 1e8])
def test_steps_that_fold_end_at_minima_whatever_is_added_to_the_potential(height):
    """τD²V reaches −16; sums of 10⁸ round to 10⁻⁸, by which the objective falls where residuals are 10⁻⁴."""
    mu, tau = cloud(60, 2), 4.0
    V = fn.Potential(wells(1.0, height))
    run = jko.flow(V, mu, jko.descent.BackwardEuler(), tau=tau, n_steps=1)
    x = run.final.positions
    slope = 4.0 * x * (x**2 - 1.0) - np.stack([0.3 * np.sin(x[:, 0]), 0.0 * x[:, 0]], axis=1)
    assert np.abs(x - mu.positions + tau * slope).max() < 1e-7
    curvature = 4.0 * (3.0 * x**2 - 1.0) - np.stack([0.3 * np.cos(x[:, 0]), 0.0 * x[:, 0]], axis=1)
    assert (1.0 + tau * curvature).min() > 0.0
    assert run.info.dissipation[0] > 0.0
