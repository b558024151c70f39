"""A digest of what an object is made of: numbers, arrays, and the code of functions with what they read.

Equal in another process as long as nothing of it has changed: no addresses, no order of sets, no line
numbers. What `functionals/reading.py` tells apart within a process, this tells apart between processes.
"""

from __future__ import annotations

import functools
import hashlib
import re
import types
from collections.abc import Callable, Mapping

import numpy as np

_OURS = frozenset({"functionals", "jko"})
_SETTLED = _OURS | {
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "builtins",
}  # their version tells
_PLAIN = (bool, int, float, complex, bytes, type(None), type(Ellipsis))


def fingerprint(value) -> str:
    """SHA-256, in hexadecimal digits, of everything that the value holds or reads."""
    return _Reader().digest(value).hex()


def without_addresses(text: str) -> str:
    """A description without the addresses in memory that Python's own repr puts there."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


class _Reader:
    """Reads each object once; one that lies within itself is named by the place where it was met first."""

    def __init__(self):
        self._known: dict[int, bytes] = {}
        self._held: list = []  # what is known stays alive: an address must not be used twice

    def digest(self, value) -> bytes:
        """The digest of one value."""
        if isinstance(value, _PLAIN):
            return _hash(type(value).__name__, repr(value))
        if isinstance(value, str):
            return _hash("str", without_addresses(value))
        if id(value) not in self._known:
            self._known[id(value)] = _hash("within", str(len(self._held)))
            self._held.append(value)
            self._known[id(value)] = self._describe(value)
        return self._known[id(value)]

    def _describe(self, value) -> bytes:
        for kinds, describe in _KINDS:
            if isinstance(value, kinds):
                return describe(self, value)
        return self._of_object(value)

    def _of_array(self, value):
        if value.dtype == object:
            return _hash("objects", repr(value.shape), *map(self.digest, value.ravel()))
        return _hash("array", value.dtype.str, repr(value.shape), np.ascontiguousarray(value).tobytes())

    def _of_sequence(self, value):
        return _hash(type(value).__name__, *map(self.digest, value))

    def _of_set(self, value):
        return _hash(type(value).__name__, *sorted(map(self.digest, value)))

    def _of_mapping(self, value):
        return _hash("mapping", *sorted(self.digest(key) + self.digest(value[key]) for key in value))

    def _of_named(self, value):
        return _hash("named", type(value).__name__, getattr(value, "__module__", "") or "", value.__name__)

    def _of_function(self, f):
        enclosed = [*self._enclosed(f), self.digest((f.__defaults__, f.__kwdefaults__))]
        if _package(f) in _SETTLED:
            return _hash("function", f.__module__, f.__qualname__, *enclosed)
        code, known = f.__code__, f.__globals__
        names = sorted(_names(code))
        read = [(name, known[name]) for name in names if name in known]
        for _, module in [pair for pair in read if isinstance(pair[1], types.ModuleType)]:
            if module.__name__.partition(".")[0] not in _SETTLED:
                read += [(name, vars(module)[name]) for name in names if name in vars(module)]
        return _hash("function", self._of_code(code, f.__doc__), self.digest(read), *enclosed)

    def _enclosed(self, f: Callable):
        for cell in f.__closure__ or ():
            try:
                yield self.digest(cell.cell_contents)
            except ValueError:  # not assigned yet
                yield b"empty"

    def _of_code(self, code, docstring=None):
        constants = [c for c in code.co_consts if docstring is None or c != docstring]
        names = repr((code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_flags))
        return _hash("code", code.co_code, names, *map(self.digest, constants))

    def _of_method(self, value):
        return _hash("method", self.digest(value.__func__), self.digest(value.__self__))

    def _of_partial(self, value):
        return _hash("partial", *map(self.digest, (value.func, value.args, value.keywords)))

    def _of_class(self, cls):
        name = f"{cls.__module__}.{cls.__qualname__}"
        if _package(cls) in _SETTLED:
            return _hash("class", name)
        members = {n: m for n, m in vars(cls).items() if not n.startswith("__") or callable(m)}
        members = {n: getattr(m, "fget", None) or getattr(m, "__func__", m) for n, m in members.items()}
        return _hash("class", name, self._of_mapping(members), *map(self.digest, cls.__bases__))

    def _of_object(self, value):
        """An instance by its class and its attributes.

        Without those that are filled in when asked for: cached properties, and names in the class's
        `memoised`.
        """
        around = isinstance(getattr(type(value), "__wrapped__", None), property)  # and holds more
        if callable(getattr(value, "__wrapped__", None)) and not around:  # jax.jit, functools.wraps
            return _hash("wrapped", self.digest(value.__wrapped__))
        if hasattr(value, "__array__") and hasattr(value, "dtype"):
            return self._of_array(np.asarray(value))
        cls = type(value)
        if _package(cls) in _SETTLED - _OURS and isinstance(getattr(value, "__name__", None), str):
            return self._of_named(value)
        held = dict(getattr(value, "__dict__", {}))
        held |= {name: getattr(value, name) for name in _slots(cls) if hasattr(value, name)}
        own = {n: v for n, v in held.items() if n not in getattr(cls, "memoised", ())}
        held = {
            n: v for n, v in own.items() if not isinstance(getattr(cls, n, None), functools.cached_property)
        }
        return _hash("object", self.digest(cls), self._of_mapping(held))


_KINDS = (
    ((np.ndarray, np.generic), lambda reader, value: reader._of_array(np.asarray(value))),
    ((list, tuple), _Reader._of_sequence),
    ((set, frozenset), _Reader._of_set),
    (Mapping, _Reader._of_mapping),
    ((types.ModuleType, types.BuiltinFunctionType, np.ufunc), _Reader._of_named),
    (types.FunctionType, _Reader._of_function),
    (types.MethodType, _Reader._of_method),
    (functools.partial, _Reader._of_partial),
    (type, _Reader._of_class),
    (types.CodeType, _Reader._of_code),
)


def _hash(*parts) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        part = part.encode(errors="backslashreplace") if isinstance(part, str) else part
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


def _names(code) -> set[str]:
    """The names that a function and those within it may read from outside."""
    nested = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*map(_names, nested))


def _package(thing) -> str:
    return (getattr(thing, "__module__", None) or "").partition(".")[0]


def _slots(cls):
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots
