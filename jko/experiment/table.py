"""A table of a TOML file that knows its path: every refusal begins with the key's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from contextlib import contextmanager

from jko.errors import StepFailed, positive_number, shown, whole_number

_NAMES_ITSELF = re.compile(r"^([A-Za-z_]\w*)(: | (?=must ))")


class ExperimentError(ValueError):
    """An experiment that cannot be run; the message begins with the path of the key."""


class Table:
    """The entries of one TOML table; `path` is what a message calls it, `runs.JKO`."""

    def __init__(self, entries: dict, path: str = ""):
        if not isinstance(entries, dict):
            raise ExperimentError(f"{path}: expected a table of keys, got {show(entries)}")
        self.entries, self.path = entries, path

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def at(self, key: str) -> str:
        """The path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def refuse(self, key: str, message: str):
        """Raise with the path of a key."""
        raise ExperimentError(f"{self.at(key)}: {message}")

    def allow(self, known: Iterable[str], what: str = "") -> None:
        """Refuse the first key that is not known, with the nearest one that is."""
        known = sorted(set(known))
        for key in self.entries:
            if key not in known:
                raise ExperimentError(f"{self.at(key)}: unknown key{what}; {nearest(key, known)}")

    def exactly_one(self, keys: Iterable[str]) -> str:
        """The one key of these that is given."""
        keys = list(keys)
        given = [key for key in keys if key in self.entries]
        if len(given) != 1:
            got = " and ".join(given) if given else "none"
            raise ExperimentError(
                f"{self.path}: expected exactly one of the keys {', '.join(keys)}, got {got}"
            )
        return given[0]

    def value(self, key: str, default=...):
        """Whatever the key holds; missing without a default is refused."""
        if key in self.entries:
            return self.entries[key]
        if default is ...:
            self.refuse(key, "missing")
        return default

    def text(self, key: str, default=...):
        """A string."""
        value = self.value(key, default)
        if value is not default and (not isinstance(value, str) or not value.strip()):
            self.refuse(key, f"expected a text, got {show(value)}")
        return value

    def flag(self, key: str, default=...):
        """true or false."""
        value = self.value(key, default)
        if value is not default and not isinstance(value, bool):
            self.refuse(key, f"expected true or false, got {show(value)}")
        return value

    def positive(self, key: str, default=...):
        """A positive number."""
        value = self.value(key, default)
        if value is default:
            return value
        with prefixed(self.path):
            return positive_number(key, value)

    def whole(self, key: str, default=..., least: int = 1):
        """A whole number."""
        value = self.value(key, default)
        if value is default:
            return value
        with prefixed(self.path):
            return whole_number(key, value, least)

    def numbers(self, key: str, default=...):
        """A number, or a list (of lists) of numbers, as TOML gives it."""
        value = self.value(key, default)
        if value is not default and not _is_numbers(value):
            self.refuse(key, f"expected a number or a list of numbers, got {show(value)}")
        return value

    def table(self, key: str) -> Table:
        """The table at a key."""
        return Table(self.value(key), self.at(key))

    def tables(self, key: str) -> list[Table]:
        """The array of tables at a key, `[[key]]`; its messages count from 1."""
        value = self.value(key)
        value = [value] if isinstance(value, dict) else value
        if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
            self.refuse(key, f"expected tables [[{self.at(key)}]], got {show(value)}")
        return [Table(entry, f"{self.at(key)}[{number}]") for number, entry in enumerate(value, start=1)]

    def choice(self, key: str, choices: Iterable[str], default=...) -> str:
        """One of the names."""
        value, choices = self.text(key, default), list(choices)
        if value not in choices:
            self.refuse(key, f"unknown {key} {value!r}; {nearest(value, choices)}")
        return value


@contextmanager
def prefixed(path: str, known: Iterable[str] | None = None, key: str = ""):
    """Say where: a refusal from inside begins with the path, joined to the name that it begins with; where
    the `known` keys of a table are given, to `key` in the place of a name that is none of them."""
    try:
        yield
    except (ExperimentError, StepFailed):
        raise
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        message = " ".join(str(error).split())
        named = _NAMES_ITSELF.match(message)
        name = named.group(1) if named else ""
        message = message[named.end() :] if named else message
        if known is not None and name not in known:
            name = key
        path = ".".join(part for part in (path, name) if part)
        raise ExperimentError(f"{path}: {message}" if path else message) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """Which names are known, the nearest first."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    if not near:
        near = [k for k in known if k.lower() == str(name).lower()]
    listed = f"known are {', '.join(known)}" if known else "none is known"
    return f"did you mean {near[0]!r}? ({listed})" if near else listed


def counted(count: int) -> str:
    """ "1 number", "2 numbers"."""
    return f"{count} number" if count == 1 else f"{count} numbers"


def show(value: list) -> str:
    """A value in a message, cut short."""
    return str(value).lower() if isinstance(value, bool) else shown(value)


def _is_numbers(value: float) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_numbers(entry) for entry in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
