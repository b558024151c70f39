"""What a function reads from outside, so that a changed global is not answered from a stale compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functionals.base import Functional

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, MethodType, ModuleType

import numpy as np

from functionals.programs import kept_for_both
from functionals.time_dependence import AtTime, TimeDependent

_DEPTH = 12  # functions and objects within each other that are looked into
_LARGEST_ARRAY = 4096  # entries up to which an array is known by its bytes, beyond by as many evenly spread
_SETTLED = frozenset({"functionals", "jko", "jax", "numpy", "scipy"})  # packages whose globals nobody changes

_HELD: ContextVar[dict | None] = ContextVar("functions that were looked at, by id", default=None)


def as_it_reads_now(f: Callable) -> Callable:
    """f, under a new name whenever a number, a small array or a function that it reads has changed.

    jax compiles a function once and keeps the values of globals and enclosed variables that it saw then: in a
    notebook, `k = 5` after `V = lambda x: k * jnp.sum(x**2)` would go unnoticed. What is read is found in the
    code of the function and of all functions within it, in defaults, enclosed variables, arguments of a
    `functools.partial`, attributes, and the entries of lists, tuples and dictionaries.
    """
    held = _HELD.get()
    if held is None:
        return _as_it_reads(f)
    if id(f) not in held:
        held[id(f)] = f, _as_it_reads(f)  # f as well, so that no other comes to stand at its place
    return held[id(f)][1]


@contextmanager
def read_once() -> Iterator[None]:
    """Within, a function is looked at once: for a step, in which nobody changes what functions read."""
    token = _HELD.set({} if _HELD.get() is None else _HELD.get())
    try:
        yield
    finally:
        _HELD.reset(token)


def _as_it_reads(f: Callable) -> Callable:
    reads = _Reading().of(f, _DEPTH)
    return f if not reads else _named(f, reads)


def what_it_reads(functional: Functional) -> tuple:
    """What the functions of a functional read now: equal as long as a compilation of them may be kept."""
    functions = [value for value in vars(functional).values() if callable(value)]
    reading = _Reading()
    return tuple(reading.of(f, _DEPTH) for f in (*functions, type(functional).energy))


@kept_for_both
def _named(f: Callable, reads: tuple):
    @functools.wraps(f)
    def same(*args):
        return f(*args)

    return same


class _Reading:
    """One look at all that a function reads, each function and object once."""

    def __init__(self):
        self._seen: set[int] = set()

    def of(self, f: Any, depth: int, home: str = "") -> tuple:
        """What a function or an object reads; () for what reads nothing, or has been seen.

        Of the objects of a user's own package, `home`, that is every attribute, of ours the functions.
        """
        f = f.function if isinstance(f, (AtTime, TimeDependent)) else f
        if depth == 0 or id(f) in self._seen:
            return ()
        self._seen.add(id(f))
        home = home or _package(getattr(f, "__module__", None) or "")
        if isinstance(f, functools.partial):
            return self._marks((f.func, *f.args, *f.keywords, *f.keywords.values()), depth, home)
        if isinstance(f, MethodType):
            return self._marks((f.__func__, f.__self__), depth, home)
        if not hasattr(f, "__code__"):
            package = _package(type(f).__module__)
            attributes = vars(f).values() if hasattr(f, "__dict__") else ()
            whole = package == home and package not in _SETTLED
            return self._marks([v for v in attributes if whole or _may_read(v)], depth, home)
        package = _package(f.__globals__.get("__name__", ""))
        outside = [
            f.__globals__[name]
            for name in (() if package in _SETTLED else _names(f.__code__))
            if name in f.__globals__
        ]
        for cell in f.__closure__ or ():
            try:
                outside.append(cell.cell_contents)
            except ValueError:  # not assigned yet
                continue
        defaults = (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values())
        return self._marks((*outside, *defaults), depth, home if package in _SETTLED else package)

    def _marks(self, values: Iterable, depth: int, home: str) -> tuple:
        return tuple(self._mark(value, depth - 1, home) for value in values)

    def _mark(self, value: Any, depth: int, home: str):
        """What tells a value from another, or from itself once it has changed."""
        if isinstance(value, (bool, int, float, complex, str, bytes, type(None))):
            return type(value).__name__, repr(value)
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
            step = -(-value.size // _LARGEST_ARRAY)
            seen = (value.tobytes(),) if step <= 1 else (id(value), value.flat[::step].tobytes())
            return value.dtype.str, value.shape, *seen
        if isinstance(value, (tuple, list)):
            return type(value).__name__, self._marks(value, depth, home) if depth else ()
        if isinstance(value, dict):
            return "dict", self._marks((*value, *value.values()), depth, home) if depth else ()
        if isinstance(value, (type, ModuleType)):
            return (id(value),)
        # a function by its code: another may come to stand where it stood
        return getattr(value, "__code__", id(value)), self.of(value, depth, home)


def _may_read(value: Any) -> bool:
    return isinstance(value, (tuple, functools.partial, MethodType)) or hasattr(value, "__code__")


def _package(module: str) -> str:
    return module.partition(".")[0]


@functools.lru_cache(maxsize=4096)
def _names(code: CodeType) -> tuple[str, ...]:
    """The names of globals and attributes in a code and in those within it."""
    inner = (
        name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)
    )
    return tuple(dict.fromkeys((*code.co_names, *inner)))
