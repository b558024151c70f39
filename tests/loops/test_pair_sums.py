"""All-pairs sums against the dense float64 answer, near and far from the origin."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jko.loops.sums import pair_sums

GAUSS = pair_sums.Difference(lambda z: jnp.exp(-0.5 * jnp.sum(z**2)))
LOGARITHM = pair_sums.Difference(lambda z: -jnp.log(jnp.linalg.norm(z)))


def cloud(n, dimension, dtype, offset=0.0, seed=0):
    generator = np.random.default_rng(seed)
    x = (generator.normal(size=(n, dimension)) + offset).astype(dtype)
    w = generator.uniform(0.5, 1.5, n)
    return x, (w / w.sum()).astype(dtype)


def dense(x, y, w):
    x, y, w = (a.astype(np.float64) for a in (x, y, w))
    z = x[:, None] - y[None]
    k = np.exp(-0.5 * np.sum(z**2, axis=-1)) * w
    return k.sum(axis=1), -np.einsum("ij,ijd->id", k, z)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 3e-14), (np.float32, 5e-6)])
@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_sums_agree_with_the_dense_answer(dtype, tolerance, dimension, offset):
    x, _ = cloud(157, dimension, dtype, offset)
    y, w = cloud(211, dimension, dtype, offset, seed=1)
    total, gradient = dense(x, y, w)
    answers = {
        "pair_sum": (pair_sums.pair_sum(GAUSS, x, y, w, block=50), total),
        "radial_sum": (pair_sums.radial_sum(lambda s: jnp.exp(-0.5 * s), x, y, w, block=50), total),
        "pair_gradient": (pair_sums.pair_gradient_sum(GAUSS, x, y, w, block=50), gradient),
        "radial_gradient": (
            pair_sums.radial_gradient_sum(lambda s: -jnp.exp(-0.5 * s), x, y, w, block=50),
            gradient,
        ),
    }
    for name, (got, expected) in answers.items():
        assert got.dtype == dtype, name
        assert np.abs(np.asarray(got) - expected).max() <= tolerance * np.abs(expected).max(), name


def test_symmetric_weights():
    x, w = cloud(120, 2, np.float64, 3.0)
    u = np.random.default_rng(5).uniform(size=120)
    z = x[:, None] - x[None]
    k = np.exp(-np.sum(z**2, axis=-1)) * w * (u[:, None] + u[None])
    got = pair_sums.radial_gradient_sum(lambda s: jnp.exp(-s), x, x, (u, w), block=37)
    assert np.abs(np.asarray(got) - np.einsum("ij,ijd->id", k, z)).max() < 1e-14


@pytest.mark.parametrize("block", [1, 7, 64, 300, None])
def test_blocks_do_not_matter(block):
    x, w = cloud(130, 2, np.float64)
    whole = pair_sums.pair_sum(GAUSS, x, x, w, block=130)
    assert np.allclose(pair_sums.pair_sum(GAUSS, x, x, w, block=block), whole, rtol=1e-14, atol=0)


@pytest.mark.slow
def test_coincident_pairs_are_dropped_and_their_gradients_vanish():
    x, w = cloud(80, 2, np.float64)
    x[11] = x[3]
    z = x[:, None] - x[None]
    squared = np.sum(z**2, axis=-1)
    squared[squared == 0] = np.inf
    values = np.where(np.isinf(squared), 0.0, -0.5 * np.log(np.where(np.isinf(squared), 1.0, squared)))
    slopes = -np.einsum("ijd,j->id", z / squared[..., None], w)
    assert np.allclose(
        pair_sums.pair_sum(LOGARITHM, x, x, w, exclude_coincident=True, block=32), values @ w, atol=1e-14
    )
    got = pair_sums.pair_gradient_sum(LOGARITHM, x, x, w, exclude_coincident=True, block=32)
    assert np.allclose(got, slopes, rtol=1e-12, atol=1e-12)

    def energy(points):
        return 0.5 * jnp.dot(
            w, pair_sums.pair_sum(LOGARITHM, points, points, w, exclude_coincident=True, block=32)
        )

    with jax.enable_x64(True):
        differentiated = jax.grad(energy)(jnp.asarray(x))
    assert np.allclose(differentiated, w[:, None] * slopes, rtol=1e-12, atol=1e-12)


def test_a_reverse_pass_keeps_the_memory_bound():
    n = 20_000  # the full matrix of residuals would be 3.2 GB

    def energy(points, weights):
        return jnp.dot(weights, pair_sums.pair_sum(GAUSS, points, points, weights))

    x, w = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((n, 2), (n,)))
    memory = jax.jit(jax.grad(energy)).lower(x, w).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 100e6


def test_equal_functions_share_one_compilation():
    traced = deque()

    def function(z):
        traced.append(z.shape)
        return jnp.sum(z**4)

    assert pair_sums.Difference(function) == pair_sums.Difference(function)
    x, w = cloud(20, 1, np.float64)
    pair_sums.pair_sum(pair_sums.Difference(function), x, x, w)
    first = len(traced)
    pair_sums.pair_sum(pair_sums.Difference(function), x, x, w)
    assert 0 < len(traced) == first
