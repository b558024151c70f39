"""Functions of a point and of the time: told by their signature, frozen at a time by `at`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import jax

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class TimeDependent:
    """f(x, t) where the time is not given yet; it says so when it is called as a function of x alone."""

    function: Callable

    @property
    def __wrapped__(self):
        return self.function

    @property
    def __name__(self):
        return getattr(self.function, "__name__", repr(self.function))

    def at(self, t) -> AtTime:
        """The function of points at the time t."""
        return AtTime(self.function, t)

    def __call__(self, *points):
        raise TypeError(
            f"the function {self.__name__} depends on time: freeze its functional at a time, "
            "F.at(t)(mu) in place of F(mu)"
        )


@dataclass(frozen=True, eq=False)
class AtTime:
    """x ↦ f(x, t). Programs are compiled once for f and take t as an operand, so t may be traced by jax."""

    function: Callable
    t: object

    @property
    def __wrapped__(self):
        return self.function

    @property
    def __name__(self):
        return getattr(self.function, "__name__", repr(self.function))

    def __call__(self, *points):
        return self.function(*points, self.t)

    def _key(self):
        # a traced time has no value to compare
        return self.function, self.t if isinstance(self.t, float) else id(self.t)

    def __eq__(self, other):
        return isinstance(other, AtTime) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())


def with_time(f: Callable, points: int = 1) -> Callable:
    """f itself, or a `TimeDependent` where f has one parameter without a default more than `points`, or says
    that it `depends_on_time`."""
    if isinstance(f, (TimeDependent, AtTime)):
        return f
    if hasattr(f, "depends_on_time"):
        return TimeDependent(f) if f.depends_on_time else f
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # a compiled function that does not tell
        return f
    needed = [p for p in parameters if p.kind in _POSITIONAL and p.default is p.empty]
    return TimeDependent(f) if len(needed) == points + 1 else f


def frozen(f: Callable, t) -> Callable:
    """f at the time t, f itself where it does not depend on time."""
    return f.at(t) if isinstance(f, TimeDependent) else f


def is_traced(f: Callable) -> bool:
    """Whether f is at a time that jax traces, so that it has no values to look at."""
    return isinstance(f, AtTime) and isinstance(f.t, jax.core.Tracer)


def split(f: Callable) -> tuple[Callable, tuple]:
    """(the function that is compiled, its operands beside the points): the time where f is at one."""
    return (f.function, (f.t,)) if isinstance(f, AtTime) else (f, ())
