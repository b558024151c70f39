"""A user's jax functions, that answer for what they return."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.pointwise import describe
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from jko.diffusion.arguments import precision
from jko.errors import shown


class FunctionRefused(ValueError):
    """A function cannot be traced by jax, fails, or returns something of another shape."""


def checked_function(name: str, function, shape=("d",), of: str = "(x, t)"):
    """function, whose values are arrays of this shape in the dtype of its first argument.

    Of the entries of `shape`, "d" is the length of that argument and None stands for any length; in place of
    a shape None stands for that of the argument. Raises TypeError for what is no function; called,
    `FunctionRefused`, a ValueError, for a value that does not fit. The same function gives the same one, so
    that compiled programs are found again.
    """
    if not callable(function):
        advice = "take its .score" if hasattr(function, "score") else "wrap a constant in a lambda"
        raise TypeError(f"{name}: expected a jax function of {of}, got {type(function).__name__}: {advice}")
    function = as_it_reads_now(function)
    try:
        hash(function)
    except TypeError:  # a network whose weights are its fields
        return _checked_function.__wrapped__(name, function, shape, of)
    return _checked_function(name, function, shape, of)


def probe(function: Callable, dimension: int):
    """Trace a checked function of (x, t) at a point of this dimension: it is refused before any work."""
    with jax.enable_x64(True):
        x, t = jax.ShapeDtypeStruct((dimension,), jnp.float64), jax.ShapeDtypeStruct((), jnp.float64)
        jax.eval_shape(function, x, t)


@kept
def _checked_function(name: str, function, shape, of):
    called = f"{name}: {describe(function)}{of}"

    def refuse(x, text, error=None):
        where = f"for shape {list(np.shape(x))}" if np.ndim(x) else "for a number"
        raise FunctionRefused(f"{called} {text.replace('HERE', where)}") from error

    @functools.wraps(function, updated=())
    def same(x, *rest):
        try:
            value = function(x, *rest)
        except FunctionRefused:
            raise
        except jax.errors.TracerArrayConversionError as error:
            refuse(x, "cannot be traced by jax: write it with jax.numpy, not numpy", error)
        except jax.errors.ConcretizationTypeError as error:
            refuse(x, "branches on a value: use jax.numpy.where in place of if", error)
        except Exception as error:
            refuse(x, f"fails HERE: {type(error).__name__}: {' '.join(str(error).split())[:160]}", error)
        wanted = np.shape(x) if shape is None else tuple(np.size(x) if n == "d" else n for n in shape)
        return _as_asked(x, value, wanted, functools.partial(refuse, x))

    return same


def _as_asked(x: Array, value: Array, wanted: tuple, refuse: Callable):
    try:
        value = jnp.asarray(value) if value is not None else refuse("returns None: expected an array")
        kind = np.dtype(value.dtype).kind
    except TypeError:
        refuse(f"returns {shown(value)}: expected an array of numbers")
    if kind == "c":
        refuse("returns complex numbers: expected real ones")
    fits = value.ndim == len(wanted) and all(
        want in (None, got) for want, got in zip(wanted, value.shape, strict=True)
    )
    if not fits:
        named = ", ".join("k" if want is None else str(want) for want in wanted)
        refuse(f"HERE: expected shape [{named}], got {list(value.shape)}")
    return value.astype(precision(x))
