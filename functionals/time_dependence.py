"""Functions of a point and of the time: told by their signature, frozen at a time by `at`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import jax

_NAMES = ("t", "time")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class _Named:
    """What stands for a function is called as it is, and unwrapped to it."""

    @property
    def __wrapped__(self):
        return self.function

    @property
    def __name__(self):
        return getattr(self.function, "__name__", repr(self.function))


@dataclass(frozen=True)
class TimeDependent(_Named):
    """f(x, t) where the time is not given yet; it says so when it is called as a function of x alone."""

    function: Callable

    def at(self, t: float) -> AtTime:
        """The function of points at the time t."""
        return AtTime(self.function, t)

    def __call__(self, *points):
        raise TypeError(
            f"the function {self.__name__} depends on time: freeze its functional at a time, "
            "F.at(t)(mu) in place of F(mu)"
        )


@dataclass(frozen=True, eq=False)
class NumbersInTime(TimeDependent):
    """f(x, (numbers, t)), the numbers a pytree that programs take as an operand, as they take the time."""

    numbers: object
    __eq__, __hash__ = object.__eq__, object.__hash__

    def at(self, t: float) -> AtTime:
        """The function of points at the time t."""
        return AtTime(self.function, (self.numbers, t))


@dataclass(frozen=True, eq=False)
class AtTime(_Named):
    """x ↦ f(x, t), t a time or a pytree of what else f takes. Programs are compiled once for f and take t as
    an operand, so t may be traced by jax."""

    function: Callable
    t: object

    def __call__(self, *points):
        return self.function(*points, self.t)

    def _key(self):
        # a traced time has no value to compare
        return self.function, self.t if isinstance(self.t, float) else id(self.t)

    def __eq__(self, other: object):
        return isinstance(other, AtTime) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())


def with_time(f: Callable, points: int = 1) -> Callable:
    """f itself, or a `TimeDependent` where its last argument is called t (or time), or where f says that it
    `depends_on_time`. Raises TypeError for other arguments without a default beside the points.
    """
    if isinstance(f, (TimeDependent, AtTime)):
        return f
    if hasattr(f, "depends_on_time"):
        return TimeDependent(f) if f.depends_on_time else f
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # a compiled function that does not tell
        return f
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return f
    needed = [p for p in parameters if p.kind is not p.VAR_KEYWORD and p.default is p.empty]
    places = sum(p.kind in _POSITIONAL for p in parameters)
    if len(needed) <= points <= places and all(p.kind in _POSITIONAL for p in needed):
        return f
    if len(needed) == points + 1 and needed[-1].kind in _POSITIONAL and needed[-1].name in _NAMES:
        return TimeDependent(f)
    wanted = "a point" if points == 1 else "two points"
    raise TypeError(
        f"the function {getattr(f, '__name__', repr(f))}({', '.join(p.name for p in needed)}): expected a "
        f"function of {wanted}, or of {wanted} and the time with t as its last argument"
        + ("; a kernel k(x, y) of two points comes with general=True" if points == 1 else "")
    )


def without_time(name: str, f: Callable, points: int = 1) -> Callable:
    """f, refused by TypeError where it depends on time and what it stands in does not."""
    if isinstance(with_time(f, points), TimeDependent):
        raise TypeError(f"{name}: expected a function that does not depend on time, got one of t")
    return f


def frozen(f: Callable, t: float) -> Callable:
    """f at the time t, f itself where it does not depend on time; raises ValueError for what is no time."""
    return f.at(checked_time(t)) if isinstance(f, TimeDependent) else f


def checked_time(t: float):
    """t as a finite number, or as it is where jax traces it."""
    if isinstance(t, jax.core.Tracer):
        return t
    try:
        number = float(t)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"t: expected a finite number, got {t!r}")
    return number


def is_traced(f: Callable) -> bool:
    """Whether f is at a time that jax traces, so that it has no values to look at."""
    return isinstance(f, AtTime) and any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(f.t))


def split(f: Callable) -> tuple[Callable, tuple]:
    """(the function that is compiled, its operands beside the points): the time where f is at one."""
    return (f.function, (f.t,)) if isinstance(f, AtTime) else (f, ())
