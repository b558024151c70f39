"""A run's attributes as those of netCDF, and back: texts and numbers as they are, the rest as JSON."""

from __future__ import annotations

import json

import numpy as np

_JSON = "json: "


def stored(attributes: dict, reserved: frozenset | tuple) -> dict:
    """What netCDF keeps of each attribute.

    Texts, numbers and arrays `[n ≥ 2]` of numbers stand as they are; truth values, None, lists, dictionaries
    and other arrays stand as JSON behind the word "json: ", arrays as nested lists. Raises ValueError for a
    name of `reserved`, one that is no plain text, and what JSON does not know.
    """
    kept = {}
    for name, value in attributes.items():
        if not isinstance(name, str) or not name or "/" in name or not _plain(name):
            raise ValueError(f"attributes: expected names that are plain texts without '/', got {name!r:.60}")
        if name in reserved:
            raise ValueError(f"attributes: {name!r} is what the file calls a part of the run: rename it")
        kept[name] = _stored(name, value)
    return kept


def restored(value: float | str):
    """The inverse of what `stored` did to one value; numbers come back as Python's."""
    if isinstance(value, str) and value.startswith(_JSON):
        return json.loads(value[len(_JSON) :])
    return value.item() if isinstance(value, np.generic) and value.dtype.kind in "biufU" else value


def _stored(name: str, value: float | str):
    if isinstance(value, str) and _plain(value) and not value.startswith(_JSON):
        return value
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    if isinstance(value, float):  # infinite or NaN
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.ndim == 1 and value.size > 1:
        return value
    try:
        return _JSON + json.dumps(value, default=_as_list)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"attributes: a file keeps texts, numbers, and lists and dictionaries of them, not the "
            f"{type(value).__name__} that {name!r} is"
        ) from error


def _as_list(value):
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufU":
        return value.tolist()
    raise TypeError(type(value).__name__)


def _plain(text: str) -> bool:
    """Whether HDF5 keeps the text: UTF-8 without a zero."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
