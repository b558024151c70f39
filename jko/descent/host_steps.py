"""Steps with noise on the host, one at a time, where an interaction sums over the particles outside jax."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from jko.descent.noise import increments
from jko.descent.watch import watched_steps
from jko.loops.random_keys import key_of


def host_steps(flow_at, move, carried, w, coefficients, noise, seed, first, last, record, watch) -> list:
    """What is carried, arrays `[n, d]` and the positions first, after the steps first … last − 1 of a `move`.

    `flow_at(k)` is the flow at the time where step k begins.

    `move(gradient, carried, coefficients, kicks)` is that of `StochasticDescent`, called with numpy arrays
    `[d, n]`; the noise is that of the compiled steps. `record(row, positions)` is called after every step,
    `watch(positions, gradients)` `[n, d]` at every gradient. A step whose positions are out of reach is the
    last.
    """
    columns = tuple(np.ascontiguousarray(array.T) for array in carried)
    shape, dtype = columns[0].shape, columns[0].dtype
    draw = partial(_increments, noise, key_of(seed), shape=shape, dtype=dtype.name)

    def gradient(x, number):
        slopes = np.asarray(flow_at(number).compiled_gradient(x.T, w), dtype)
        watch(x.T, slopes)
        return slopes.T

    for number in range(first, last):

        def kicks(ahead, number=number):
            return np.asarray(draw(step=number + ahead))

        def drift(x, later=0, number=number):
            return gradient(x, number + later)

        columns = move(drift, columns, coefficients, kicks)
        if not within_reach(columns[0]):
            break
        record(number - first, columns[0])
    else:
        if watched_steps(first, last):
            gradient(columns[0], last)
    return [np.ascontiguousarray(array.T) for array in columns]


def within_reach(x) -> bool:
    """Whether energies of what is there do not overflow."""
    return bool(np.max(np.abs(x)) < np.cbrt(np.finfo(x.dtype).max))


@partial(jax.jit, static_argnames=("kind", "shape", "dtype"))
def _increments(kind, key, step, shape, dtype):
    return increments(kind, key, step, shape, dtype)
