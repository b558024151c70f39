"""Forces from a few partners a particle: unbiased, in time proportional to the particles."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from functionals.programs import kept
from jko.loops.random_keys import seed_words
from jko.loops.sums.pair_sums import precision, without_coincident


def random_batch_gradients(kernel, x: np.ndarray, w: np.ndarray, partners: int, seed: int):
    """An estimate of Σ_j w_j ∇₁k(x_i, x_j) `[n, d]`, k of the difference, from `partners` (even) others.

    The particles stand on a ring in random order and each meets the `partners`/2 next to it on either side,
    times (n − 1)/partners: the random batch of [JinLiLiu2020] with batches that overlap, so that forces stay
    opposite in pairs. Each other particle is met with probability partners/(n − 1), hence no bias; the
    variance of a force is ((n − 1)²/partners)(1 − (partners − 1)/(n − 2)) times that of w_j ∇W(x_i − x_j)
    over the others j. The order is drawn from the seed and from the bits of the positions: another cloud
    meets another order, and a resumed run the same one.
    """
    with precision(x):
        words, w = seed_words(seed), jnp.asarray(w, dtype=x.dtype)
        return _program(kernel, partners)(words, jnp.asarray(x), w)


@kept
def _program(kernel, partners: int):
    return jax.jit(partial(_gradients, kernel, partners))


def _gradients(kernel, partners: int, words: Array, x: Array, w: Array):
    n = x.shape[0]
    reach = min(partners // 2, max(1, (n - 1) // 2))
    key = jax.random.wrap_key_data(words, impl="threefry2x32")
    order = jax.random.permutation(jax.random.fold_in(key, _digest(x)), n)
    y, mass = x[order], w[order]
    gradient = jax.vmap(jax.grad(without_coincident(kernel)))
    total = jnp.zeros_like(y)
    for step in range(1, reach + 1):
        push = gradient(y, jnp.roll(y, -step, axis=0))
        total += jnp.roll(mass, -step)[:, None] * push - jnp.roll(mass[:, None] * push, step, axis=0)
    return jnp.zeros_like(x).at[order].set(total * ((n - 1) / (2 * reach)))


def _digest(x: Array):
    # a 32-bit number that changes with any bit of any position
    words = lax.bitcast_convert_type(x, jnp.uint32).reshape(-1)
    places = lax.iota(jnp.uint32, words.size) * jnp.uint32(2654435761) | jnp.uint32(1)
    mixed = (words ^ (words >> 15)) * places
    return jnp.sum(mixed, dtype=jnp.uint32)
