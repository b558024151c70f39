"""Steps with noise, compiled in blocks."""

from __future__ import annotations

from functools import partial

import jax
from jax import lax

from functionals.programs import kept
from jko.descent.noise import increments
from jko.descent.observables import measure_columns, statistics_of

BLOCK = 1024  # the most steps of a block: the rows of its observables


@kept
def compiled_block(flow, move, noise, observables):
    """`block_of`, compiled; the same one for the same arguments."""
    return jax.jit(block_of(flow, move, noise, observables))


def block_of(flow, move, noise, observables):
    """A function of (carried, w, coefficients, seed words, first, last): the steps first … last − 1.

    `carried` are arrays `[n, d]`, the positions first, and `move` is that of `StochasticDescent`. Returns
    what is carried and, for every observable, its averages over the first rows of `[1024, ...]`.
    """

    def block(carried, w, coefficients, seed, first, last):
        key, (x, *_) = jax.random.wrap_key_data(seed, impl="threefry2x32"), carried

        def step(number, carry):
            columns, values = carry

            def kicks(ahead):
                return increments(noise, key, number + ahead, columns[0].shape, x.dtype)

            columns = move(partial(flow.columns_gradient, w=w), columns, coefficients, kicks)
            return columns, measure_columns(observables, columns[0], w, values, number - first)

        values = statistics_of(observables, x.shape[1], x.dtype, BLOCK)
        # the bounds are traced: one program whatever the length of the block, hence the same numbers
        columns, values = lax.fori_loop(first, last, step, (tuple(a.T for a in carried), values))
        return tuple(a.T for a in columns), values

    return block
