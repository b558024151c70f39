"""Nested dictionaries of arrays, numbers and strings as bytes, and back to the last bit."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np


def pack(content: dict) -> bytes:
    """Content as npz bytes: arrays beside a JSON tree. Raises TypeError for what would not come back."""
    arrays: dict[str, Any] = {}
    tree = json.dumps(_flatten(content, arrays)).encode()
    buffer = io.BytesIO()
    np.savez(buffer, tree=np.frombuffer(tree, dtype=np.uint8), **arrays)
    return buffer.getvalue()


def unpack(payload: bytes) -> dict:
    """The inverse of `pack`; jax arrays come back as numpy ones."""
    with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return _unflatten(json.loads(arrays.pop("tree").tobytes()), arrays)


def _flatten(node, arrays: dict):
    if isinstance(node, dict):
        for key in node:
            if not isinstance(key, str):
                raise TypeError(f"a state's dictionaries have strings as keys, got {key!r}")
        return {"dict": {key: _flatten(value, arrays) for key, value in node.items()}}
    if isinstance(node, (list, tuple)):
        return {type(node).__name__: [_flatten(value, arrays) for value in node]}
    if node is None or type(node) in (str, bool, int, float):
        return {"value": node}
    array = np.asarray(node) if hasattr(node, "dtype") else np.empty(0, dtype=object)
    if array.dtype.kind not in "biufcU":
        raise TypeError(f"a state holds arrays, numbers and strings, got {type(node).__name__}")
    name = f"a{len(arrays)}"
    arrays[name] = array
    return {"scalar" if isinstance(node, np.generic) else "array": name}


def _unflatten(node: dict, arrays: dict):
    ((kind, content),) = node.items()
    if kind == "dict":
        return {key: _unflatten(value, arrays) for key, value in content.items()}
    if kind in ("list", "tuple"):
        values = [_unflatten(value, arrays) for value in content]
        return tuple(values) if kind == "tuple" else values
    if kind == "value":
        return content
    return arrays[content][()] if kind == "scalar" else arrays[content]
