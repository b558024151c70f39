"""Functionals by name: register, create, available."""

from __future__ import annotations

import difflib
import inspect

_REGISTRY: dict[str, type] = {}


def register(name: str, functional: type | None = None):
    """Make a functional class known under `name`; a decorator, or called with the class.

    Raises ValueError if another class already holds the name.
    """
    if functional is None:
        return lambda cls: register(name, cls)
    held = _REGISTRY.get(name)
    if held is not None and held.__qualname__ != functional.__qualname__:
        raise ValueError(
            f"the name {name!r} is held by {held.__name__}: choose another for {functional.__name__}"
        )
    functional.name = name
    _REGISTRY[name] = functional
    return functional


def create(name: str, *args, **parameters):
    """The functional registered as `name`, made with the given parameters: `create("power", m=2)`.

    Raises ValueError for an unknown name, with the known ones, and TypeError for parameters it does not take.
    """
    cls = lookup(name)
    try:
        inspect.signature(cls).bind(*args, **parameters)
    except TypeError as error:
        raise TypeError(f"{name}{inspect.signature(cls)}: {error}") from None
    return cls(*args, **parameters)


def lookup(name: str) -> type:
    """The class registered as `name`."""
    if name not in _REGISTRY:
        near = difflib.get_close_matches(str(name), _REGISTRY, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown functional {name!r}; known are {', '.join(available())}.{hint}")
    return _REGISTRY[name]


def available() -> tuple[str, ...]:
    """The registered names, sorted."""
    return tuple(sorted(_REGISTRY))
