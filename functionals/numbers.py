"""Parameters of the named potentials and kernels, checked when a functional is made."""

from __future__ import annotations

import math
from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array


def is_number(value: float) -> bool:
    """Whether value is one finite real number."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def positive(name: str, value: float) -> float:
    """value as a float, refused unless it is one finite positive number; as it is where jax traces it."""
    if isinstance(value, jax.core.Tracer):
        return value
    if not (is_number(value) and value > 0):
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(value)


def finite(name: str, value: float | np.ndarray) -> np.ndarray:
    """value as an array of finite numbers; as it is where jax traces it."""
    if isinstance(value, jax.core.Tracer):
        return value
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or an array of numbers, got {value!r}") from None
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return array


def matching(name: str, array: np.ndarray, x: Array):
    """A parameter, one number or one a coordinate, in the dtype of the point x it is used with."""
    if array.ndim and array.shape[-1] != x.shape[-1]:
        raise ValueError(f"{name} has {array.shape[-1]} coordinates, the points have {x.shape[-1]}")
    return jnp.asarray(array, dtype=jnp.asarray(x).dtype)
