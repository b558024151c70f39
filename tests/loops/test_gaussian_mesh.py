"""Sums of Gaussians through a mesh against all pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jko.loops.sums import gaussian_mesh, pair_sums


def all_pairs(x, charges, bandwidth):
    z = x[:, None] - x[None]
    kernel = np.exp(-0.5 * np.sum(z**2, axis=-1) / bandwidth**2) / (2.0 * np.pi * bandwidth**2) ** (
        0.5 * x.shape[1]
    )
    return kernel @ charges, -np.einsum("ij,ijd,j->id", kernel, z, charges) / bandwidth**2


def mesh(x, charges, bandwidth, size=None):
    size = gaussian_mesh.mesh_size(x, bandwidth) if size is None else size
    with pair_sums.precision(x):
        sums = gaussian_mesh.gaussian_mesh_sum(x, charges, np.asarray(bandwidth, x.dtype), size)
    return tuple(np.asarray(a) for a in sums)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 5e-8), (np.float32, 2e-5)])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_sums_and_gradients(dimension, dtype, tolerance):
    generator = np.random.default_rng(0)
    x = (generator.normal(size=(400, dimension)) + 7.0).astype(dtype)
    charges = generator.normal(size=400).astype(dtype)
    values, gradient = mesh(x, charges, 0.3)
    exact, exact_gradient = all_pairs(x.astype(float), charges.astype(float), 0.3)
    assert values.dtype == dtype
    assert np.abs(values - exact).max() < tolerance * np.abs(exact).max()
    assert np.abs(gradient - exact_gradient).max() < tolerance * np.abs(exact_gradient).max()


@pytest.mark.slow
def test_the_gradient_is_the_derivative_of_the_sum():
    x = np.random.default_rng(1).normal(size=(30, 2))
    charges = np.full(30, 1.0 / 30)
    size = gaussian_mesh.mesh_size(x, 0.4)
    with jax.enable_x64(True):

        def energy(points):
            return 0.5 * jnp.dot(charges, gaussian_mesh.gaussian_mesh_sum(points, charges, 0.4, size)[0])

        derivative = np.asarray(jax.grad(energy)(jnp.asarray(x)))
    assert np.allclose(derivative, charges[:, None] * mesh(x, charges, 0.4)[1], atol=1e-8)


def test_a_mesh_too_small_gives_nan_and_not_a_wrong_number():
    x = np.linspace(0.0, 100.0, 50)[:, None]
    assert np.all(np.isnan(mesh(x, np.ones(50), 0.01, size=4096)[0]))


def test_one_compilation_while_the_cloud_moves():
    x = np.random.default_rng(2).normal(size=(64, 2))
    mesh(x, np.ones(64), 0.2)
    before = gaussian_mesh.gaussian_mesh_sum._cache_size()
    size = gaussian_mesh.mesh_size(x, 0.2)
    for scale in (0.5, 1.1, 1.2):
        mesh(scale * x, np.ones(64), 0.2, size)
    assert gaussian_mesh.gaussian_mesh_sum._cache_size() == before
