"""Sums of a kernel W(x − y) over all pairs in jax: traced, differentiated, or for clouds of few particles."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.array import Array
from functionals.time_dependence import is_traced
from jko.loops.sums.pair_sums import (
    Difference,
    pair_gradient_sum,
    pair_sum,
    radial_difference_sum,
    radial_gradient_sum,
    radial_sum,
)
from jko.loops.sums.random_batch import random_batch_gradients
from jko.measures import fields
from jko.measures.radial import radial


def values(W: Callable, x: Array, y: Array, w: Array):
    """Σ_j w_j W(x_i − y_j), `[n]`; coincident pairs are left out where W is infinite at 0."""
    reading = radial(W, x.shape[1])
    if is_traced(W):
        return _values_at_a_traced_time(W, x, y, w)
    if reading is None:
        kernel = Difference(pointwise.scalar(W))
        return pair_sum(kernel, x, y, w, exclude_coincident=fields.is_singular(W, x.shape[1]))
    return radial_sum(reading.profile, x, y, w)


def _values_at_a_traced_time(W, x: Array, y: Array, w: Array):
    # whether W(0) is finite is known only when the program runs
    apart = pair_sum(Difference(pointwise.scalar(W)), x, y, w, exclude_coincident=True)
    at_zero = pointwise.values(W, jnp.zeros((1, x.shape[1]), x.dtype))[0]
    return apart + jnp.where(jnp.isfinite(at_zero), at_zero, 0) * pair_sum(_coincident, x, y, w)


def _coincident(x: Array, y: Array):
    return jnp.where(jnp.all(x == y), jnp.ones((), x.dtype), 0)


def gradients(W: Callable, x: Array, y: Array, w: Array):
    """Σ_j w_j ∇W(x_i − y_j), `[n, d]`; coincident pairs contribute nothing."""
    reading = radial(W, x.shape[1])
    if reading is None:
        return pair_gradient_sum(Difference(pointwise.scalar(W)), x, y, w, exclude_coincident=True)
    # the matrix form loses digits where the slope grows without bound
    form = radial_gradient_sum if reading.bounded else radial_difference_sum
    return form(reading.slope, x, y, w)


def random_gradients(W: Callable, x: np.ndarray, y: np.ndarray, w: np.ndarray, summation):
    """An unbiased estimate of `gradients` from a few partners a particle."""
    return random_batch_gradients(Difference(pointwise.scalar(W)), x, w, summation.partners, summation.seed)
