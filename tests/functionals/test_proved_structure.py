"""What a function is, proved from its program: quadratic forms, sums of powers; nothing from a few values."""

import jax.numpy as jnp
import numpy as np
import pytest

import functionals as fn
import jko
from functionals.power_sum import power_sum
from functionals.quadratic_form import quadratic_form

A, B = np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([1.0, -2.0])
QUADRATIC = {
    "a matrix": lambda x: 0.5 * x @ A @ x + B @ x + 0.7,
    "a constant": lambda x: 3.0,
    "a norm": lambda x: jnp.linalg.norm(x - B) ** 2,
    "absolute values": lambda x: jnp.sum(jnp.abs(x) ** 2),
    "far away": lambda x: jnp.sum((x - 1e5 * B) ** 2.0) / 3.0,
    "a variance": lambda x: jnp.var(x) + x[0] * x[1],
    "columns": lambda x: jnp.stack([x[1], x[0]]) @ x,
    "a named one": fn.Potential("quadratic", stiffness=A, center=B).V,
    "a linear one": fn.Potential("linear", slope=B).V,
    "a named power": fn.Interaction("power", exponent=2.0).W,
}
OTHERS = {
    "a branch": lambda x: jnp.maximum(jnp.abs(x[0]) - 40.0, 0.0) ** 2,
    "a far branch": lambda x: jnp.where(x[0] > 1e9, 0.0, x[0] ** 2),
    "a bump": lambda x: jnp.sum(x**2) + jnp.exp(-((x[0] - 1234.5) ** 2)),
    "a small cube": lambda x: jnp.sum(x**2) + 1e-30 * x[0] ** 3,
    "a quotient": lambda x: 1.0 / (1.0 + 1e-30 * x[0]),
    "steps": lambda x: jnp.floor(x[0] / 1e6) ** 2,
    "half a line": lambda x: jnp.sqrt(x[0]) ** 2,
    "whole numbers": lambda x: x[0].astype(int) * 1.0,
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_quadratic_forms_are_proved(name):
    V, points = QUADRATIC[name], np.random.default_rng(0).normal(size=(50, 2)) * 100.0
    form = quadratic_form(V, 2, centre=B)
    z = points - B
    found = 0.5 * np.einsum("ni,ij,nj->n", z, form.A, z) + z @ form.b + form.c
    np.testing.assert_allclose(found, fn.Potential(V).values(points), rtol=1e-12, atol=1e-8)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_proved_is_not_used(name):
    assert quadratic_form(OTHERS[name], 2) is None


@pytest.mark.parametrize(
    ("W", "powers", "logarithm"),
    [
        (fn.Interaction("quadratic_logarithmic").W, {2.0: 0.5}, -1.0),
        (fn.Interaction("power", exponent=-0.5, strength=-2.0).W, {-0.5: 4.0}, 0.0),
        (lambda z: jnp.abs(z[0]) ** 1.5 - 0.3 * jnp.abs(z[0]) + 2.0, {1.5: 1.0, 1.0: -0.3, 0.0: 2.0}, 0.0),
        (lambda z: -2.0 * jnp.log(jnp.linalg.norm(3.0 * z)), {0.0: -2.0 * np.log(3.0)}, -2.0),
        (lambda z: (jnp.sum(z**2) - 1.0) ** 2, {4.0: 1.0, 2.0: -2.0, 0.0: 1.0}, 0.0),
        (
            lambda z: jnp.where(jnp.sum(z**2) > 0, jnp.sqrt(jnp.sum(z**2)), 7.0) / jnp.sum(z**2),
            {-1.0: 1.0},
            0.0,
        ),
    ],
)
def test_sums_of_powers_are_proved(W, powers, logarithm):
    found = power_sum(W)
    assert found.powers == pytest.approx(powers)
    assert found.logarithm == pytest.approx(logarithm)


@pytest.mark.parametrize(
    "W",
    [
        lambda z: jnp.where(jnp.abs(z[0]) < 10.0, jnp.abs(z[0]) ** 1.5, 10.0**1.5),
        lambda z: jnp.minimum(jnp.abs(z[0]), 50.0),
        lambda z: -jnp.log(jnp.sum(z**2) + 1e-12),
        lambda z: jnp.abs(jnp.sum(z**2) - 1.0),
        fn.Interaction("gaussian").W,
    ],
)
def test_kernels_that_are_no_sums_of_powers_are_tabulated(W):
    assert power_sum(W) is None


def test_the_energy_of_a_gaussian_far_from_the_origin_and_beside_a_kink():
    well = fn.Potential(lambda x: -3.5 * jnp.exp(-jnp.maximum(jnp.abs(x[0] - 100.0) - 5.0, 0.0)))
    assert well(jko.Gaussian.of(100.0, 0.3)) == pytest.approx(-3.5, rel=1e-12)
    kink = fn.Potential(lambda x: jnp.abs(x[0]))
    assert kink(jko.Gaussian.of(0.0, 1.0)) == pytest.approx(np.sqrt(2.0 / np.pi), abs=1e-8)
    with pytest.raises(ValueError, match="takes quadratic potentials"):
        jko.flow(well, jko.Gaussian.of(0.0, 1.0), jko.steps.Gaussian(), tau=0.1, n_steps=1)


@pytest.mark.slow
def test_one_functional_under_both_precisions():
    """jax keeps one conversion of a numpy array; it must not pass from float64 to float32."""
    centre, positions = np.array([0.1, 0.2]), np.random.default_rng(0).normal(size=(20, 2))
    F = fn.Potential(lambda x: jnp.sum((x - centre) ** 2)) + fn.Interaction(
        lambda z: jnp.sum(jnp.cos(z * centre))
    )
    for dtype in (np.float64, np.float32, np.float64):
        cloud = jko.Particles(positions.astype(dtype))
        for scheme in (jko.descent.ForwardEuler(), jko.descent.BackwardEuler()):
            moved = jko.flow(F, cloud, scheme, tau=0.01, n_steps=1).measures[-1]
            assert moved.positions.dtype == dtype
        force = F.wasserstein_gradient(cloud)
        z = positions[:, None] - positions[None]
        exact = 2.0 * (positions - centre) - np.mean(centre * np.sin(z * centre), axis=1)
        np.testing.assert_allclose(force, exact, rtol=1e-12 if dtype == np.float64 else 1e-4, atol=1e-6)
