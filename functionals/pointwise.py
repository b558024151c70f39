"""A user's jax function, evaluated at many points.

numpy points are evaluated in float64 (whatever jax's global switch says) and come back as numpy;
jax points, traced or not, are evaluated in place and come back as jax arrays.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Number

import jax
import jax.numpy as jnp
import numpy as np

from functionals.by_numpy import evaluated
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from functionals.time_dependence import AtTime, is_traced, split
from functionals.tolerances import TOLERANCES

PointFunction = Callable[[jax.Array], jax.Array]


class InNumpy(ABC):
    """A function of a point that knows itself and its derivatives at many points without jax. `work`
    is how many numbers it computes for one: runs of particles choose by it whether to compile a program."""

    work: int = 0

    @abstractmethod
    def derivatives(self, order: int, x: np.ndarray) -> np.ndarray:
        """f, ∇f or D²f, the order being 0, 1 or 2, at points `[n, d]`."""


def values(f: PointFunction, x: np.ndarray):
    """f at every point: x of shape `[n, d]` gives `[n]`."""
    return _evaluate(_batched_value, f, x, 0)


def gradients(f: PointFunction, x: np.ndarray):
    """∇f at every point: x of shape `[n, d]` gives `[n, d]`."""
    return _evaluate(_batched_gradient, f, x, 1)


def hessians(f: PointFunction, x: np.ndarray):
    """D²f at every point: x of shape `[n, d]` gives `[n, d, d]`."""
    return _evaluate(_batched_hessian, f, x, 2)


@kept
def each_point(f: Callable):
    """The program of f at every point, `[n, …]` for each of its arguments."""
    return jax.jit(jax.vmap(f))


def namespace(s: np.ndarray):
    """jax.numpy for a jax array, numpy for everything else."""
    return jnp if isinstance(s, jax.Array) else np


def elementwise(f: Callable, s: np.ndarray):
    """A scalar function of a scalar, at every element of an array of any shape."""
    f = as_it_reads_now(f)
    if isinstance(s, jax.Array):
        return jax.vmap(f)(s.ravel()).reshape(s.shape)
    s = np.asarray(s, dtype=float)
    with jax.enable_x64(True):
        return _of_some(_batched_elementwise(f), s.ravel()).reshape(s.shape)


def _evaluate(batched: Callable, f: Callable, x: np.ndarray, order: int):
    if isinstance(f, InNumpy) and not isinstance(x, jax.Array) and not is_traced(f):
        return f.derivatives(order, np.asarray(x, dtype=float))
    f, time = split(f)
    f = as_it_reads_now(f)
    if isinstance(x, jax.Array) or any(isinstance(t, jax.core.Tracer) for t in jax.tree.leaves(time)):
        return batched(f, len(time))(x, *time)
    with jax.enable_x64(True):
        return _of_some(batched(f, len(time)), np.asarray(x), *time)


def _of_some(program: Callable, x: np.ndarray, *time):
    """A program at points `[n, ...]`, of which the last is repeated up to a size that few others have."""
    n = len(x)
    size = program_size(n)
    if size == n:
        return evaluated(program, x, *time)
    padded = np.concatenate([x, np.broadcast_to(x[-1:], (size - n, *x.shape[1:]))])
    return evaluated(program, padded, *time)[:n].copy()


def program_size(n: int) -> int:
    """The number of points that a program for n is compiled for, every size being one of its own: 2ᵏ or 1.5 ·
    2ᵏ, and n itself where compiling is little beside it."""
    if not 0 < n < TOLERANCES.large:
        return n
    size = max(TOLERANCES.smallest, 1 << (n - 1).bit_length())
    return 3 * size // 4 if TOLERANCES.smallest < size and n <= 3 * size // 4 else size


def scalar(f: PointFunction) -> PointFunction:
    """f with its value checked to be one number, since `x**2` for x of shape `[1]` is easily written.

    The value has the dtype of the point, whatever constants f holds.
    """
    f, time = split(f)
    checked = _scalar(as_it_reads_now(f))
    return AtTime(checked, *time) if time else checked


@kept
def _scalar(f: Callable):
    f_alone = with_own_constants(_of_numbers(f))

    def checked(*args):
        try:
            out = jnp.asarray(f_alone(*args))
        except jax.errors.TracerArrayConversionError as error:
            raise TypeError(
                f"the function {describe(f)} cannot be traced by jax: write it with jax.numpy, not numpy"
            ) from error
        except jax.errors.ConcretizationTypeError as error:
            raise TypeError(
                f"the function {describe(f)} branches on a value: use jax.numpy.where in place of if"
            ) from error
        if jnp.issubdtype(out.dtype, jnp.complexfloating):
            raise TypeError(f"the function {describe(f)} must return a real number, got a complex one")
        if out.size != 1:
            raise TypeError(
                f"the function {describe(f)} must return one number for a point of shape {args[0].shape}, "
                f"got an array of shape {out.shape}: sum over the coordinates, e.g. jnp.sum(x**2)"
            )
        return jnp.reshape(out, ()).astype(jnp.result_type(args[0], jnp.float32))

    return checked


@kept
def _batched_value(f: Callable, n_times: int):
    return _over_points(_scalar(f), n_times)


@kept
def _batched_gradient(f: Callable, n_times: int):
    return _over_points(jax.grad(_scalar(f)), n_times)


@kept
def _batched_hessian(f: Callable, n_times: int):
    return _over_points(jax.hessian(_scalar(f)), n_times)


def _over_points(f: Callable, n_times: int):
    return jax.jit(jax.vmap(f, in_axes=(0, *(None,) * n_times)))


@kept
def _batched_elementwise(f: Callable):
    f_alone = with_own_constants(_of_numbers(f))

    def checked(s):
        try:
            return f_alone(s)
        except jax.errors.TracerArrayConversionError as error:
            raise TypeError(
                f"the function {describe(f)} cannot be traced by jax: write it with jax.numpy, not numpy"
            ) from error

    return jax.jit(jax.vmap(checked))


def _of_numbers(f: Callable):
    """f, refused by TypeError where it returns None, a word or another thing that is no number."""

    def checked(*args):
        out = f(*args)
        if isinstance(out, (jax.Array, np.ndarray, np.generic, Number, list, tuple)):
            return out
        got = "None" if out is None else f"{out!r:.40}"
        raise TypeError(
            f"the function {describe(f)} must return one number, got {got}: return a value of jax.numpy"
        )

    return checked


def with_own_constants(f: Callable):
    """f with the numpy arrays that it reads copied whenever it is traced.

    jax keeps one conversion of an array as long as a program holds it, and hands the float64 one on to a
    program of float32: the copies belong to one program alone.
    """

    def alone(*args):
        traced, shape = jax.make_jaxpr(lambda *a: f(*a), return_shape=True)(*args)
        copies = [np.array(c) if isinstance(c, np.ndarray) else c for c in traced.consts]
        leaves = jax.core.eval_jaxpr(traced.jaxpr, copies, *jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), leaves)

    return alone


def describe(f: Callable) -> str:
    """How a function is named in a message, without an address in memory."""
    return getattr(f, "__name__", None) or re.sub(r" at 0x[0-9a-f]+", "", repr(f))
