"""Keys of jax's counter-based generator, the same for a seed everywhere."""

from __future__ import annotations

import jax
import numpy as np


def key_of(seed: int):
    """A threefry key, whatever generator jax is configured for: a seed means the same numbers everywhere."""
    return jax.random.wrap_key_data(seed_words(seed), impl="threefry2x32")


def seed_words(seed: int) -> np.ndarray:
    """The two words of the key: all 64 bits of the seed, of which jax drops the higher half in float32."""
    return np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32)
