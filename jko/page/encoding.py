"""Arrays and texts in a page: base64 of little-endian numbers, JSON that no tag can end."""

from __future__ import annotations

import base64
import json

import numpy as np

_KINDS = ("f8", "u2", "u1")


def packed(values, kind: str = "f8") -> dict[str, str]:
    """An array as {"type", "data"}; the page reads it as one flat row of numbers."""
    if kind not in _KINDS:
        raise ValueError(f"kind: expected one of {', '.join(_KINDS)}, got {kind!r}")
    array = np.ascontiguousarray(values, dtype=f"<{kind}")
    return {"type": kind, "data": base64.b64encode(array.tobytes()).decode("ascii")}


def quantised(values: np.ndarray, kind: str, low: np.ndarray, high: np.ndarray) -> dict[str, str]:
    """Values `[frames, ...]` in whole numbers from low to high `[frames]`, to half a part in 255 or 65535."""
    most = np.iinfo(np.dtype(kind)).max
    shape = (-1,) + (1,) * (values.ndim - 1)
    span = np.where(high > low, high - low, 1.0).reshape(shape)
    return packed(np.rint(most * np.clip((values - low.reshape(shape)) / span, 0.0, 1.0)), kind)


def as_json(data) -> str:
    """JSON for a script element: nothing in it ends the element or opens a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
