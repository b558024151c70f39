"""The functionals and engines that are known by name, each with an example of it."""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from typing import Any

import jax.numpy as jnp
import numpy as np

import functionals as fn
from functionals import Functional
from jko.scheme import Scheme, Wrapper

_ROOMS = ("steps", "limits", "descent")


@cache
def example(name: str, dimension: int = 1) -> Functional:
    """The functional that stands for a registered name: its `example`, with data of a dimension."""
    code = functional_class(name).example
    if not code:
        raise ValueError(f"{name}: {functional_class(name).__name__} has no `example`: give the class one")
    # our own text, one line a class
    code = code.replace("dimension=1", f"dimension={dimension}")
    return eval(code, {"fn": fn, "jko": import_module("jko"), "jnp": jnp, "np": np})


def functional_class(name: str) -> Any:
    """The class of a registered name."""
    return fn.lookup(name)


@cache
def names() -> tuple[str, ...]:
    """All registered names, those of rooms that are loaded when asked for as well."""
    from jko.transport import SquaredDistance

    fn.register("squared_distance", SquaredDistance)
    return tuple(sorted(fn.available()))


@cache
def engine_classes() -> dict[str, Any]:
    """The schemes that need no setting, by name: those that move one measure."""
    for room in _ROOMS:
        import_module(f"jko.{room}")
    found = {}
    for name, cls in sorted(Scheme.known.items()):
        if cls.__module__.split(".")[:1] != ["jko"] or name.split(".")[0] not in _ROOMS:
            continue
        needed = [p for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
        if not needed and not issubclass(cls, Wrapper):
            found[name] = cls
    return found
