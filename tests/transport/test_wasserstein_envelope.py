"""The envelope of a functional in W₂: closed forms between Gaussians, its gradient, and its limit."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko import Gaussian, Grid, Particles
from jko.errors import StepFailed
from jko.transport import wasserstein_envelope

F = 0.7 * fn.Entropy() + fn.Potential(lambda x: 0.65 * jnp.sum(x**2))
MU = Gaussian([1.5, -0.4], [[0.3, 0.1], [0.1, 0.5]])
EXACT = jko.steps.Gaussian()


def half_slope_squared(mu):
    """½∫|0.7∇log ρ + 1.3x|²."""
    S, m, d = mu.covariance(), mu.mean(), mu.dimension
    return 0.5 * (1.69 * (m @ m + np.trace(S)) - 1.82 * d + 0.49 * np.trace(np.linalg.inv(S)))


def test_it_is_attained_at_the_jko_step():
    found = wasserstein_envelope(F, 0.2, MU, EXACT)
    assert found.value == pytest.approx(float(jko.wasserstein(MU, found.prox)) ** 2 / 0.4 + F(found.prox))
    assert found.value < F(MU)
    for shift in (np.array([0.1, 0.0]), np.array([0.0, -0.1])):
        other = Gaussian(found.prox.mean() + shift, found.prox.covariance())
        assert found.value < float(jko.wasserstein(MU, other)) ** 2 / 0.4 + F(other)


@pytest.mark.parametrize("scheme", [jko.steps.Quantile(), jko.steps.BackAndForth()], ids=["1", "2"])
def test_schemes_on_a_grid_find_the_closed_form(scheme):
    mu = Gaussian.of(1.5, 0.5)
    exact = wasserstein_envelope(F, 0.1, mu, EXACT)
    found = wasserstein_envelope(F, 0.1, mu.on(Grid.uniform(-5.0, 6.0, 400)), scheme)
    assert found.value == pytest.approx(exact.value, rel=3e-5)
    assert 0.0 <= found.info.gap < 1e-6
    x = np.linspace(0.8, 2.2, 8)[:, None]
    assert found.gradient(x) == pytest.approx(exact.gradient(x), abs=2e-2)


def test_its_gradient_is_the_residual_of_the_step():
    s, h, x = 0.2, 1e-4, MU.sample(4, 0).positions
    B = np.array([[0.3, -0.2], [-0.2, 0.1]])  # the velocity b + B(x − m) of a curve through MU
    b = np.array([0.4, -1.0])

    def along(t):
        A = np.eye(2) + t * B
        return wasserstein_envelope(F, s, Gaussian(MU.mean() + t * b, A @ MU.covariance() @ A), EXACT).value

    found = wasserstein_envelope(F, s, MU, EXACT)
    G = (found.gradient(MU.mean() + np.eye(2)) - found.gradient(MU.mean()[None])).T  # affine: Jacobian
    expected = found.gradient(MU.mean()[None])[0] @ b + np.trace(G @ MU.covariance() @ B)
    assert (along(h) - along(-h)) / (2.0 * h) == pytest.approx(expected, rel=1e-6)
    T = jko.transport.brenier_map(MU, found.prox)
    assert found.gradient(x) == pytest.approx((x - T(x)) / s)


def test_it_rises_to_the_functional_at_half_the_squared_slope():
    steps = np.array([0.02, 0.01, 0.005])
    rates = [(F(MU) - wasserstein_envelope(F, s, MU, EXACT).value) / s for s in steps]
    errors = half_slope_squared(MU) - np.array(rates)
    assert np.all(errors > 0.0)
    assert np.all(np.abs(np.log2(errors[:-1] / errors[1:]) - 1.0) < 0.1)


def test_particles():
    V = fn.Potential(lambda x: 0.65 * jnp.sum(x**2))
    cloud = Particles(np.array([[1.0], [2.0]]))
    found = wasserstein_envelope(V, 0.5, cloud, jko.descent.BackwardEuler())
    assert found.value == pytest.approx(0.65 * 2.5 / 1.65)
    assert found.gradient(cloud.positions) == pytest.approx(1.3 * cloud.positions / 1.65, rel=1e-5)


def test_refusals():
    with pytest.raises(TypeError, match=r"scheme: expected one of jko\.steps"):
        wasserstein_envelope(F, 0.1, MU, "quantile")
    with pytest.raises(ValueError, match="s: expected a positive number"):
        wasserstein_envelope(F, 0.0, MU, EXACT)
    with pytest.raises(ValueError, match="is of order 2 and no minimiser"):
        wasserstein_envelope(F, 0.1, MU, jko.steps.SecondOrder(EXACT))
    cloud = MU.sample(5, 0)
    with pytest.raises(ValueError, match="does not minimise"):
        wasserstein_envelope(F, 0.1, cloud, jko.descent.Langevin(seed=0))
    line = Gaussian.of(0.0, 1.0).on(Grid.uniform(-5.0, 5.0, 60))
    with pytest.raises(StepFailed, match="the step of size 1 ended as"):
        wasserstein_envelope(F, 1.0, line, jko.steps.Quantile(most_iterations=1))
