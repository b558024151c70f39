"""What can go wrong, each message with its remedy."""

from __future__ import annotations

import math
import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


class StepFailed(ValueError):
    """A step did not converge, or its certificate did not close; carries the step's record as `.info`."""

    def __init__(self, message: str, info=None):
        super().__init__(message)
        self.info = info


class UnsupportedFunctional(ValueError):
    """A scheme was given a part of a functional that it does not take."""


class InfiniteEnergy(ValueError):
    """A functional of a density was asked of a measure that has none."""


class CheckpointMismatch(ValueError):
    """A checkpoint belongs to a different problem, or is not one."""


class NotWritten(OSError):
    """A file could not be written, or not all of it; the message names it and says what is kept."""


class ProcessLost(ConnectionError):
    """A run of several processes lost one of them."""


def file_path(name: str, value: str | os.PathLike) -> Path:
    """value as a Path, refused unless it is one or a string."""
    if value == "":
        raise ValueError(f"{name}: expected the name of a file or a folder, got ''")
    if isinstance(value, str | os.PathLike) and not isinstance(value, bytes):
        return Path(value)
    raise TypeError(f"{name}: expected the name of a file or a folder, got {shown(value)}")


def positive_number(name: str, value: float) -> float:
    """value as a float, refused unless it is one finite positive number."""
    if isinstance(value, bool) or not isinstance(value, (Real, np.floating, np.integer)):
        raise TypeError(f"{name}: expected a positive number, got {shown(value)}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a positive number, got {value:g}")
    return float(value)


def whole_number(name: str, value: int, least: int = 1) -> int:
    """value as an int, refused unless it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (Integral, np.integer)):
        raise TypeError(f"{name}: expected a whole number, got {shown(value)}")
    if value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {shown(value)}")
    return int(value)


def seed_number(name: str, value: int) -> int:
    """value as an int, refused unless it is a whole number from 0 to 2⁶⁴ − 1."""
    seed = whole_number(name, value, least=0)
    if seed >= 2**64:
        raise ValueError(f"{name}: expected a whole number below 2**64, got {shown(seed)}")
    return seed


def finite_array(name: str, value, dtype=float) -> np.ndarray:
    """value as an array of finite numbers, refused where entries of it are masked."""
    if np.ma.is_masked(value):
        raise ValueError(
            f"{name}: {np.ma.count_masked(value)} of {np.size(value)} entries are masked: leave them out, or "
            "fill them with value.filled(...)"
        )
    try:
        if value is None or np.asarray(value).dtype.kind not in "biufO":
            raise TypeError
        array = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected an array of numbers, got {type(value).__name__}") from None
    if not np.all(np.isfinite(array)):
        bad = int(np.sum(~np.isfinite(array)))
        raise ValueError(f"{name}: expected finite numbers, got {bad} NaN or infinite of {array.size}")
    return array


def own_array(array: np.ndarray, given: ArrayLike) -> np.ndarray:
    """The array, copied where somebody can still write to what it was made from, `given`.

    Lists, and arrays that nobody can write to, such as jax's, are not copied.
    """
    if not isinstance(given, (list, tuple)) and np.may_share_memory(array, np.asarray(given)):
        base: Any = array
        while isinstance(base, np.ndarray):
            if base.flags.writeable:
                return array.copy()
            base = base.base
    return array


def fraction(name: str, value: Any) -> float:
    """value as a float, refused unless it is one number between 0 and 1."""
    if isinstance(value, bool) or np.ndim(value) or np.asarray(value).dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected a number between 0 and 1, got {shown(value)}")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}: expected a number between 0 and 1, got {value:g}")
    return float(value)


def one_of(name: str, value: Any, choices: tuple) -> str:
    """value, refused unless it is one of the choices."""
    if getattr(value, "ndim", 0) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {shown(value)}")
    return value


def shown(value, most: int = 60) -> str:
    """value as a message shows it: on one line, and no longer than `most` letters."""
    text = " ".join(_written(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _written(value) -> str:
    """The repr of a value, where Python writes it: not of whole numbers of more than some thousand digits."""
    try:
        return repr(value)
    except ValueError:
        return f"a {type(value).__name__} that is too long to be written"


def shortened(error: BaseException, most: int = 160) -> str:
    """The message of an error, often a library's, on one line and no longer than `most` letters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[: most - 3]}..."
