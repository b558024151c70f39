"""Families of functions: gradients, Laplacians and the jax function against differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from jko.learn import Network, Polynomial, Quadratic, Radial, RandomFeatures, Splines
from jko.learn.features import EvenPowers, Monomials
from jko.learn.landscape import ByInterval, Landscape, PolynomialInTime

POINTS = {d: np.random.default_rng(d).normal(size=(60, d)) * 1.5 + 0.3 for d in (1, 2, 3)}
POTENTIALS = [
    (Polynomial(degree=4), 1),
    (Polynomial(degree=3), 3),
    (Quadratic(), 2),
    (Radial(centres=20, width=0.8), 1),
    (Radial(centres=30, width=None), 2),
    (Splines(cells=5), 1),
    (Splines(cells=3), 2),
    (RandomFeatures(count=25, width=1.3), 2),
    (Network(width=7), 1),
    (Network(width=6, depth=3), 2),
]
KERNELS = [(Polynomial(degree=6), 1), (Polynomial(degree=4), 2), (Radial(centres=5), 2), (Quadratic(), 3)]
FEATURES = [pytest.param(basis.potentials, d, id=f"{basis}-{d}") for basis, d in POTENTIALS] + [
    pytest.param(basis.kernels, d, id=f"kernels-{basis}-{d}") for basis, d in KERNELS
]


@pytest.mark.long
@pytest.mark.parametrize(("make", "dimension"), FEATURES)
def test_numbers_are_those_of_the_jax_function(make, dimension):
    features = make(POINTS[dimension])
    coefficients = np.random.default_rng(1).normal(size=features.size)
    x = 0.9 * POINTS[dimension][:12]  # within the box of splines
    with jax.enable_x64(True):
        f = lambda point: features.at(point, coefficients)  # noqa: E731
        values = jax.vmap(f)(x)
        slopes = jax.vmap(jax.grad(f))(x)
        curvatures = jax.vmap(lambda point: jnp.trace(jax.hessian(f)(point)))(x)
    scale = np.abs(slopes).max()
    assert np.allclose(features.values(x) @ coefficients, values, rtol=1e-10, atol=1e-11)
    assert np.allclose(features.gradients(x) @ coefficients, slopes, atol=1e-10 * scale)
    assert np.allclose(features.slopes(x, coefficients), slopes, atol=1e-10 * scale)
    assert np.allclose(
        features.laplacians(x) @ coefficients, curvatures, atol=1e-7 * np.abs(curvatures).max()
    )
    assert features.penalised.shape == (features.size,)
    assert all(features.describe(j) for j in range(features.size))


@pytest.mark.parametrize(("basis", "dimension"), KERNELS)
def test_kernels_are_even(basis, dimension):
    features = basis.kernels(POINTS[dimension])
    x = POINTS[dimension]
    assert np.array_equal(features.values(x), features.values(-x))
    assert np.allclose(features.gradients(np.zeros((1, dimension))), 0.0)


def test_a_quadratic_landscape_declares_its_modulus():
    features = Quadratic().potentials(POINTS[2])
    A = np.array([[2.0, 0.5], [0.5, 1.0]])
    s = features.scale
    c = np.array([0.0, 0.0, 0.5 * A[0, 0] * s[0] ** 2, A[0, 1] * s[0] * s[1], 0.5 * A[1, 1] * s[1] ** 2])
    assert np.isclose(Landscape(features, c).modulus, np.linalg.eigvalsh(A)[0])
    assert Landscape(Polynomial(degree=3).potentials(POINTS[2]), np.zeros(9)).modulus is None


def test_splines_of_four_dimensions_and_kernels_of_splines_are_refused():
    with pytest.raises(ValueError, match="splines are for 3 dimensions at most, got 4"):
        Splines().potentials(np.zeros((5, 4)))
    with pytest.raises(ValueError, match="interaction: Splines has no even functions"):
        Splines().kernels(POINTS[2])


@pytest.mark.slow
def test_numbers_of_what_was_learnt_are_operands_of_programs():
    """A W and a V(x, t) of other coefficients compile nothing anew, and are not taken for one another."""
    compiled, generator = [], np.random.default_rng(0)
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **_: compiled.append(name) if "backend_compile" in name else None
    )
    cloud = jko.Particles(generator.normal(size=(50, 2)))
    features, times = Monomials.up_to(2, np.zeros(2), np.ones(2)), np.arange(3.0)
    even = EvenPowers(2, 2, 1.0)
    finals = []
    for scale in (1.0, 1.0, 0.5):
        c = scale * np.array([0.1, -0.2, 0.5, 0.1, 0.4])
        W = Landscape(even, scale * np.array([0.3, 0.01]), "learnt W")
        each = ByInterval((Landscape(features, c), Landscape(features, 2.0 * c)), times)
        for V in (each, PolynomialInTime(features, np.stack([c, 0.1 * c]), 0.0, 2.0)):
            F = fn.Potential(V) + fn.Interaction(W)
            if scale == 0.5:
                compiled.clear()
            finals.append(jko.flow(F, cloud, jko.descent.ForwardEuler(), tau=0.1, n_steps=15).final.positions)
    assert not compiled
    for first, same, other in zip(finals[:2], finals[2:4], finals[4:], strict=True):
        np.testing.assert_array_equal(first, same)
        assert np.abs(first - other).max() > 1e-2
