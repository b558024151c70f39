"""What is asked of clouds, points, times and numbers, each refusal one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from functionals.array import Array
from jko.errors import shown
from jko.measures import Particles

ROUNDING = 1e-6


def cloud(name: str, value: Particles, dimension: int | None = None) -> Particles:
    """value, refused unless it is Particles, of this dimension if one is asked."""
    if not isinstance(value, Particles):
        raise TypeError(
            f"{name}: expected Particles, got {type(value).__name__}: call .sample on a density, or wrap an "
            "array [n, d] in jko.Particles"
        )
    if dimension is not None and value.dimension != dimension:
        raise ValueError(f"{name}: expected {dimension} dimensions, got {value.dimension}")
    return value


def instance(name: str, value, kind, advice: str = ""):
    """value, refused unless it is of a class."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}{advice}")
    return value


def finite_number(name: str, value: float) -> float:
    """value as a float, refused unless it is one finite number."""
    if isinstance(value, (np.ndarray, jax.Array)) and value.ndim == 0 and not _traced(value):
        value = value[()].item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {shown(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value:g}")
    return float(value)


def point(name: str, value: Array, dimension: int | None = None):
    """value as a jax array `[d]` of floating-point numbers; traced or not."""
    try:
        x = jnp.asarray(value)
        kind = np.dtype(x.dtype).kind
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a point of shape [d], got {shown(value)}") from None
    if kind == "c":
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}")
    if x.ndim != 1 or (dimension is not None and x.size != dimension):
        wanted = "d" if dimension is None else dimension
        raise ValueError(f"{name}: expected a point of shape [{wanted}], got {list(x.shape)}")
    return x.astype(precision(x))


def precision(x: Array):
    """The dtype of x, of jax's own choice if that is none of floating point."""
    dtype = jnp.asarray(x).dtype
    return dtype if np.dtype(dtype).kind == "f" else jnp.zeros(()).dtype


def moment(t: float | Array, first: float = -math.inf, last: float = math.inf, *, known: str = "a time"):
    """t as a jax number, which has to lie in [first, last] up to rounding, 10⁻⁶ of that span.

    A time that is a number is refused outside; of a traced one nothing is known before the program runs, so
    that it becomes NaN there, and whatever is computed from it.
    """
    if not _traced(t):
        value, slack = finite_number("t", t), _slack(first, last)
        if not first - slack <= value <= last + slack:
            raise ValueError(f"t: expected {known} from {first:g} to {last:g}, got {value:g}")
        return jnp.asarray(min(max(value, first), last))
    if t.ndim:
        raise ValueError(f"t: expected one time, got shape {list(t.shape)}")
    t = t.astype(precision(t))
    if math.isinf(first) and math.isinf(last):
        return t
    slack = _slack(first, last)
    inside = (t >= first - slack) & (t <= last + slack)
    return jnp.where(inside, jnp.clip(t, first, last), jnp.nan)


def within(name: str, times: ArrayLike, known: tuple | None):
    """Refuse times `[m]` outside those between which a score or velocity is known; None knows all."""
    if known is None:
        return
    first, last = float(np.min(known)), float(np.max(known))
    slack = _slack(first, last)
    low, high = float(np.min(times)), float(np.max(times))
    if low < first - slack or high > last + slack:
        raise ValueError(
            f"{name}: expected times from {first:g} to {last:g}, where the score or velocity is known, got "
            f"{low:g} to {high:g}"
        )


def known_times(function: Callable):
    """The times of the `DensityPath`, learnt score or flow whose method a function is, or None."""
    owner = getattr(function, "__self__", function)
    return getattr(owner, "known_times", getattr(function, "known_times", None))


def common_times(*intervals):
    """The first and the last time that lie in all of the intervals, of which None is all times."""
    intervals = [interval for interval in intervals if interval is not None]
    if not intervals:
        return None
    return max(min(interval) for interval in intervals), min(max(interval) for interval in intervals)


def finite_outcome(name: str, values: ArrayLike, times: ArrayLike, else_: str = "else take more substeps"):
    """Refuse states `[m, …]` at times `[m]` that are not finite, naming the first such time."""
    values = np.asarray(values)
    broken = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if broken.any():
        raise ValueError(
            f"{name}: NaN or infinite values by t = {times[int(broken.argmax())]:g}: is every "
            f"coefficient finite where the paths go, and at every time? {else_}"
        )


def _slack(first: float, last: float):
    return ROUNDING * (last - first) if math.isfinite(last - first) else 0.0


def _traced(value: float | Array):
    return isinstance(value, jax.core.Tracer)
