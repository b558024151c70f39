"""Averages over the particles, taken inside a compiled block so that no particle is stored for them."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import lax

from functionals.array import Array
from functionals.pointwise import describe
from functionals.programs import kept
from jko.errors import one_of
from jko.scheme import StepInfo

NAMED = ("mean", "covariance")


def checked_observables(observables: dict) -> None:
    """Refuse what is not a mapping of names to functions of a point or to one of the named ones."""
    if not isinstance(observables, Mapping):
        raise TypeError(f"observables: expected a mapping of names, got {type(observables).__name__}")
    for name, observable in observables.items():
        if not (isinstance(name, str) and name.isidentifier()) or hasattr(StepInfo(), name):
            raise ValueError(f"observables: {name!r} cannot name a column: take another identifier")
        if not callable(observable):
            one_of(f"observables[{name!r}]", observable, NAMED)


def statistics_of(observables: tuple, d: int, dtype, steps: int) -> dict:
    """Room for the averages of every observable over a block of steps, `[steps, ...]`."""
    point = jax.ShapeDtypeStruct((d,), dtype)
    shapes = {"mean": (d,), "covariance": (d, d)}
    return {
        name: jnp.zeros((steps, *(shapes[f] if f in NAMED else _shape(f, point))), dtype)
        for name, f in observables
    }


def measure_columns(observables: tuple, columns: Array, w: Array, values: dict, row: Array) -> dict:
    """The averages over particles, columns `[d, n]` and weights `[n]`, put into a row."""
    return {name: values[name].at[row].set(_average(f, columns, w)) for name, f in observables}


@kept
def averages(observables):
    """A compiled function of columns `[d, n]` and weights `[n]`: the averages by name."""
    return jax.jit(lambda columns, w: {name: _average(f, columns, w) for name, f in observables})


def _average(f, columns, w):
    if f == "mean":
        return jnp.stack([c @ w for c in columns])
    if f == "covariance":
        centred = [c - c @ w for c in columns]
        # the rest of the mean, which rounding left, is taken off the square
        rests = [c @ w for c in centred]
        return jnp.stack(
            [jnp.stack([(a * b) @ w - r * s for b, s in zip(centred, rests)]) for a, r in zip(centred, rests)]
        )
    points = lax.optimization_barrier(columns)  # or they are computed again for every use
    return jnp.tensordot(w, jax.vmap(f, in_axes=1)(points), axes=1)


def _shape(f, point):
    try:
        return jax.eval_shape(f, point).shape
    except (TypeError, AttributeError) as error:
        raise TypeError(
            f"observables: {describe(f)} must map a point {point.shape} to an array: {error}"
        ) from None
