"""Steps with noise: compiled in blocks, or on the host where an interaction is summed outside jax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from jko.descent.blocks.noise import increments
from jko.descent.blocks.observables import measure_columns, statistics_of
from jko.descent.fields.program import program
from jko.descent.fields.watch import seen, watched_steps
from jko.loops.random_keys import key_of

BLOCK = 1024  # the most steps of a block: the rows of its observables


@program
def compiled_block(flow, move: Callable, noise: str, observables: tuple, watched: bool = False):
    """`block_of` or `watched_block_of`, compiled; the same one for the same arguments."""
    return (watched_block_of if watched else block_of)(flow, move, noise, observables)


def block_of(flow, move: Callable, noise: str, observables: tuple):
    """A function of (carried, w, coefficients, clock, seed words, first, last): the steps first … last − 1.

    `carried` are arrays `[n, d]`, the positions first, and `move` is that of `StochasticDescent`; step k
    begins at the time clock[0] + k clock[1]. Returns what is
    carried and, for every observable, its averages over the first rows of `[1024, ...]`.
    """

    def block(
        carried: tuple, w: Array, coefficients: Array, clock: Array, seed: Array, first: Array, last: Array
    ):
        x = carried[0]
        kicks = _kicks_of(noise, seed, x)

        def step(number: Array, carry: tuple):
            columns, values = carry

            def gradient(y: Array, ahead: int = 0):
                return flow.at(clock[0] + (number + ahead) * clock[1]).columns_gradient(y, w)

            columns = move(gradient, columns, coefficients, partial(kicks, number))
            return columns, measure_columns(observables, columns[0], w, values, number - first)

        values = statistics_of(observables, x.shape[1], x.dtype, BLOCK)
        # the bounds are traced: one program whatever the length of the block, hence the same numbers
        columns, values = lax.fori_loop(first, last, step, (tuple(a.T for a in carried), values))
        return tuple(a.T for a in columns), values

    return block


def watched_block_of(flow, move: Callable, noise: str, observables: tuple):
    """The same steps watched: a function of (…, last, the numbers of a `Watch`, ahead).

    Returns (Σ w (τ|Δg|)² over throws, Σ w|Δx|²) as well, of all pairs of neighbouring gradients; with
    `ahead` 1 also of the last step and the gradient where it ends.
    """

    def block(
        carried: tuple,
        w: Array,
        coefficients: Array,
        clock: Array,
        seed: Array,
        first: Array,
        last: Array,
        numbers: Array,
        ahead: Array,
    ):
        x, kicks = carried[0], _kicks_of(noise, seed, carried[0])

        def step(number: Array, carry: tuple):
            columns, values, last_seen, totals = carry
            looks, sums = [last_seen], [totals]

            def gradient(y: Array, later: int = 0):
                here = flow.at(clock[0] + (number + later) * clock[1])
                # the compiler would take it again for every use
                now = y, lax.optimization_barrier(here.columns_gradient(y, w))
                heat, moved = (
                    jnp.where(looks[-1] is not last_seen or number > first, a, 0)
                    for a in seen(numbers, looks[-1], now)
                )
                sums.append((sums[-1][0] + heat, sums[-1][1] + moved))
                looks.append(now)
                return now[1]

            stepped = move(gradient, columns, coefficients, partial(kicks, number))
            # beyond the last step only the gradient is wanted
            kept = tuple(jnp.where(number < last, a, b) for a, b in zip(stepped, columns, strict=True))
            values = measure_columns(observables, kept[0], w, values, number - first)
            return kept, values, looks[-1], sums[-1]

        values = statistics_of(observables, x.shape[1], x.dtype, BLOCK)
        nothing = jnp.zeros_like(w), jnp.zeros_like(w)
        start = tuple(a.T for a in carried), values, (x.T, jnp.zeros_like(x.T)), nothing
        columns, values, _, (heat, moved) = lax.fori_loop(first, last + ahead, step, start)
        return tuple(a.T for a in columns), values, (w @ heat, w @ moved)

    return block


def _kicks_of(noise: str, seed: Array, x: Array):
    key = jax.random.wrap_key_data(seed, impl="threefry2x32")

    def kicks(number: Array, ahead: int):
        return increments(noise, key, number + ahead, x.T.shape, x.dtype)

    return kicks


def host_steps(flow_at, move, carried, w, coefficients, noise, seed: int, first, last, record, watch) -> list:
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

        def drift(x, later: int = 0, number=number):
            return gradient(x, number + later)

        columns = move(drift, columns, coefficients, kicks)
        if not within_reach(columns[0]):
            break
        record(number - first, columns[0])
    else:
        if watched_steps(first, last):
            gradient(columns[0], last)
    return [np.ascontiguousarray(array.T) for array in columns]


def within_reach(x: np.ndarray) -> bool:
    """Whether energies of what is there do not overflow."""
    return bool(np.max(np.abs(x)) < np.cbrt(np.finfo(x.dtype).max))


@partial(jax.jit, static_argnames=("kind", "shape", "dtype"))
def _increments(kind, key, step, shape, dtype):
    return increments(kind, key, step, shape, dtype)
