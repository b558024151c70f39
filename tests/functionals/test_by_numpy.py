"""Programs run by numpy are those that jax runs, to rounding, and what has no counterpart is left to XLA."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from functionals import by_numpy
from functionals.by_numpy import evaluated
from functionals.tolerances import TOLERANCES

MATRIX = np.array([[2.0, 0.5], [0.3, 1.0]])
FUNCTIONS = {
    "arithmetic": lambda x: jnp.sum(x**3 / (1.0 + x**2)) - jnp.prod(x) + x[0] ** 2.5 + jnp.abs(x[1]) ** -2,
    "elementary": lambda x: jnp.sum(jnp.exp(-x) * jnp.cos(x) + jnp.log1p(x**2) + jnp.tanh(x)),
    "choices": lambda x: jnp.where(x[0] > 0.4, jnp.max(x), jnp.clip(x[1], 0.2, 0.7)) + jnp.minimum(x[0], 0.5),
    "matrices": lambda x: x @ MATRIX @ x + jnp.linalg.norm(jnp.concatenate([x, x[::-1]])[1:]),
    "logarithm of a sum": lambda x: (
        jax.scipy.special.logsumexp(jnp.outer(x, x), axis=0)[1] + jax.nn.sigmoid(x[0])
    ),
    "a loop": lambda x: jax.lax.scan(lambda c, y: (c * y + 1.0, c), x[0], jnp.stack([x[1], x[0]]))[0],
    "backwards": lambda x: jnp.sum(jax.lax.scan(lambda c, y: (c + y, c * y), 0.0, x, reverse=True)[1]),
}
POINTS = np.random.default_rng(0).uniform(0.1, 1.0, size=(17, 2))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives_are_those_of_jax(name, dtype):
    f, x = FUNCTIONS[name], POINTS.astype(dtype)
    with jax.enable_x64(True):
        together = jax.jit(jax.vmap(lambda y: (f(y), jax.grad(f)(y), jax.hessian(f)(y))))
        assert by_numpy.by_numpy(together.trace(x).jaxpr) is not None
        found, wanted = evaluated(together, x), together(x)
    for ours, theirs in zip(found, wanted, strict=True):
        assert isinstance(ours, np.ndarray)
        assert ours.dtype == theirs.dtype
        rounding = 20.0 * np.finfo(dtype).eps
        np.testing.assert_allclose(ours, theirs, rtol=rounding, atol=rounding * np.abs(theirs).max())


def test_what_is_much_or_unknown_is_left_to_xla():
    with jax.enable_x64(True):
        many = jax.ShapeDtypeStruct((TOLERANCES.few_operations, 1), np.float64)
        few = jax.ShapeDtypeStruct((3, 2), np.float64)
        assert by_numpy.by_numpy(jax.jit(lambda x: jnp.sin(x)).trace(few).jaxpr) is not None
        assert by_numpy.by_numpy(jax.jit(lambda x: jnp.sin(x) + 1.0).trace(many).jaxpr) is None
        sorts = jax.jit(lambda x: jnp.sort(x, axis=0))
        assert by_numpy.by_numpy(sorts.trace(few).jaxpr) is None
        long = jax.jit(lambda x: jax.lax.fori_loop(0, TOLERANCES.few_passes + 1, lambda k, y: y * x, x))
        assert by_numpy.by_numpy(long.trace(few).jaxpr) is None
        np.testing.assert_array_equal(evaluated(sorts, POINTS), np.sort(POINTS, axis=0))


def test_numbers_are_constants_within_a_trace():
    program = jax.jit(lambda x: jnp.sum(x**2))

    @jax.jit
    def outer(t):
        return t * float(evaluated(program, POINTS))

    assert outer(2.0) == pytest.approx(2.0 * np.sum(POINTS**2), rel=1e-6)


EDGES = np.array([0.0, -0.0, 1.0, -1.5, 2.5, 1e300, -3e9, 255.7, np.inf, -np.inf, np.nan])
OF_PAIRS = {
    "remainders": lambda x, y: jax.lax.rem(x, y) + jnp.mod(x, y),
    "quotients": lambda x, y: jnp.floor_divide(x, y) + x / y,
    "powers": lambda x, y: x**y + jnp.arctan2(x, y),
    "crossed bounds": lambda x, y: jax.lax.clamp(x, y, -x),
    "the larger": lambda x, y: jnp.maximum(x, y) - jnp.minimum(y, 0.5) + jnp.sign(x),
    "the largest": lambda x, y: jnp.max(jnp.stack([x, y]), axis=0) + jnp.prod(jnp.stack([x, y]), axis=0),
    "cases": lambda x, y: jax.lax.select_n(jnp.where(x > 0, 2, jnp.where(x < 0, 1, 0)), x, y, -x),
    "one case": lambda x, y: jax.lax.select_n(x > 2.0 * jnp.inf, y),
    "whole numbers": lambda x, y: x.astype(jnp.int32) // 3 + y.astype(jnp.int32) % 3,
    "bytes": lambda x, y: (100.0 * x).astype(jnp.uint8) * y,
    "sums that overflow": lambda x, y: jnp.sum(jnp.full(3, 2**31 - 1, jnp.int32), dtype=jnp.int32) + x * y,
    "bits": lambda x, y: jax.lax.reduce(
        jnp.arange(1, 9, dtype=jnp.int32), jnp.int32(0), jax.lax.bitwise_or, (0,)
    ),
    "nothing": lambda x, y: jnp.max(x[:0], initial=-3.0) + jnp.sum(y[:0]) + x,
    "no pass": lambda x, y: jax.lax.fori_loop(0, 0, lambda k, z: z * y, x),
    "rows of no pass": lambda x, y: jax.lax.scan(lambda c, row: (c + row, c), x[0], y[:0])[1],
    "its slope": lambda x, y: jax.grad(lambda z: jnp.sum(jax.lax.fori_loop(0, 0, lambda k, w: w * z, y)))(x),
    "randomness": lambda x, y: x * jax.random.normal(jax.random.key(0)) + y,
}


@pytest.mark.parametrize("name", OF_PAIRS)
def test_every_value_is_that_of_jax_at_the_edges_of_numbers(name):
    x, y = (side.ravel() for side in np.meshgrid(EDGES, EDGES))
    with jax.enable_x64(True):
        program = jax.jit(OF_PAIRS[name])
        found, wanted = evaluated(program, x, y), program(x, y)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


def test_a_key_from_outside_is_left_to_xla():
    key = jax.random.key(1)
    with jax.enable_x64(True):
        program = jax.jit(lambda x: x + jax.random.uniform(key))
        np.testing.assert_array_equal(evaluated(program, POINTS), program(POINTS))
