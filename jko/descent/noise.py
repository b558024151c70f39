"""Random increments of unit variance, a function of a seed and the number of the step alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp

NOISES = ("gaussian", "three-point")


def increments(kind: str, key, step, shape, dtype):
    """Independent increments ξ of mean 0 and variance 1 for a step, from `fold_in(key, step)`.

    "three-point" is ±√3 with probability 1/6 each and else 0: its first five moments are those of a Gaussian, so
    weak errors of first order schemes are the same [KloedenPlaten1992, section 14.1], at a fraction of the cost.
    """
    key = jax.random.fold_in(key, step)
    if kind == "gaussian":
        return jax.random.normal(key, shape, dtype)
    bits = jax.random.bits(key, shape, jnp.uint32)
    sixth = jnp.uint32(2**32 // 6)
    size = jnp.asarray(3.0**0.5, dtype)
    return jnp.where(
        bits < sixth, size, jnp.where(bits >= jnp.uint32(2**32 - 1) - sixth, -size, jnp.zeros((), dtype))
    )


def key_of(seed: int):
    """A threefry key, whatever generator jax is configured for: a seed means the same numbers everywhere."""
    return jax.random.key(seed, impl="threefry2x32")
