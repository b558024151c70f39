"""Random increments of unit variance, a function of a seed and the number of the step alone."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

NOISES = ("gaussian", "three-point")
_SIDE = 43  # of 256: the probability of a jump to one side, about 1/6


def increments(kind: str, key, step, shape, dtype):
    """Independent increments ξ of mean 0 and variance 1 for a step, from `fold_in(key, step)`.

    "three-point" is ±a with probability p = 43/256 each and else 0, a = (2p)^{−1/2}: odd moments vanish, the
    second is 1 and the fourth 2.98 in place of 3, more than weak order 1 asks for [KloedenPlaten1992,
    section 14.1], from a byte of randomness.
    """
    key = jax.random.fold_in(key, step)
    if kind == "gaussian":
        return jax.random.normal(key, shape, dtype)
    byte = _bytes(key, math.prod(shape)).reshape(shape)
    size = jnp.asarray(math.sqrt(128.0 / _SIDE), dtype)
    return jnp.where(byte < _SIDE, size, jnp.where(byte >= 256 - _SIDE, -size, jnp.zeros((), dtype)))


def _bytes(key, count):
    """Random bytes as integers, four to a word: jax.random.bits spends two words on each [SalmonEtAl2011]."""
    from jax.extend.random import threefry_2x32  # here, since it loads much of jax that nothing else needs

    words = threefry_2x32(jax.random.key_data(key), lax.iota(jnp.uint32, -(-count // 4)))
    return jnp.concatenate([(words >> shift) & 0xFF for shift in (0, 8, 16, 24)])[:count]


def key_of(seed: int):
    """A threefry key, whatever generator jax is configured for: a seed means the same numbers everywhere."""
    return jax.random.key(seed, impl="threefry2x32")
