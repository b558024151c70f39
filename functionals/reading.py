"""What a function reads from outside, so that a changed global is not answered from a stale compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from functionals.base import Functional

import functools
from collections.abc import Callable

import numpy as np

from functionals.programs import kept_for_both
from functionals.time_dependence import AtTime, TimeDependent

_DEPTH = 3  # functions within functions that are looked into
_LARGEST_ARRAY = 4096  # entries up to which an array is known by its bytes, beyond by its identity
_SETTLED = frozenset({"functionals", "jko", "jax", "numpy", "scipy"})  # packages whose globals nobody changes


def as_it_reads_now(f: Callable) -> Callable:
    """f, under a new name whenever a number, a small array or a function that it reads has changed.

    jax compiles a function once and keeps the values of globals and enclosed variables that it saw then: in a
    notebook, `k = 5` after `V = lambda x: k * jnp.sum(x**2)` would go unnoticed.
    """
    reads = _reads(f, _DEPTH)
    return f if not reads else _named(f, reads)


def what_it_reads(functional: Functional) -> tuple:
    """What the functions of a functional read now: equal as long as a compilation of them may be kept."""
    functions = [value for value in vars(functional).values() if callable(value)]
    return tuple(_reads(f, _DEPTH) for f in (*functions, type(functional).energy))


@kept_for_both
def _named(f: Callable, reads: tuple):
    @functools.wraps(f)
    def same(*args):
        return f(*args)

    return same


def _reads(f: Callable, depth: int) -> tuple:
    f = f.function if isinstance(f, (AtTime, TimeDependent)) else f
    code = getattr(f, "__code__", None)
    if code is None or depth == 0:
        return ()
    known = f.__globals__
    settled = known.get("__name__", "").partition(".")[0] in _SETTLED
    outside = [] if settled else [known[name] for name in code.co_names if name in known]
    for cell in f.__closure__ or ():
        try:
            outside.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    return tuple(_mark(value, depth) for value in (*outside, *(f.__defaults__ or ())))


def _mark(value: Callable | float | None, depth: int):
    if isinstance(value, (bool, int, float, complex, str, bytes, type(None))):
        return type(value).__name__, repr(value)
    if isinstance(value, (np.ndarray, np.generic)) and value.size <= _LARGEST_ARRAY and value.dtype != object:
        return value.dtype.str, value.shape, value.tobytes()
    return id(value), _reads(value, depth - 1)
