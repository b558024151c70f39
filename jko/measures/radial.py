"""Whether a kernel W depends on |z| alone, and W as a function of |z|²."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.array import Array
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from functionals.time_dependence import is_traced
from jko.loops.forces.terms import Terms, named_terms, tabulated_terms


@dataclass(frozen=True)
class Radial:
    """W(z) = f(|z|²) on R^d for a jax function W: `profile` f and `slope` 2f′ of arrays of squared distances.

    Coincident points count with W(0), with 0 where W is infinite there, and have slope 0. `bounded` tells
    whether the slope stays finite at 0. `of_square` is f where the kernel says it.
    """

    function: object
    dimension: int
    at_zero: float | None
    bounded: bool
    of_square: Callable | None = None

    def profile(self, squared: Array):
        """f, elementwise."""
        away = squared > 0
        apart = jnp.where(away, squared, 1)
        values = self._each(self.function, apart) if self.of_square is None else self.of_square(apart)
        return jnp.where(away, values, jnp.asarray(self.at_zero or 0.0, squared.dtype))

    def slope(self, squared: Array):
        """2f′, elementwise: ∇W(z) = 2f′(|z|²) z."""
        away = squared > 0
        apart = jnp.where(away, squared, 1)
        if self.of_square is None:
            slopes = self._each(self._slope, apart)
        else:
            slopes = 2 * jax.jvp(self.of_square, (apart,), (jnp.ones_like(apart),))[1]
        return jnp.where(away, slopes, 0)

    def _slope(self, z: Array):
        return jax.grad(self.function)(z)[0] / z[0]

    def _each(self, function: Callable, squared: Array):
        axis = _first(self.dimension)[0].astype(squared.dtype)
        return jax.vmap(lambda s: function(jnp.sqrt(s) * axis))(squared.ravel()).reshape(squared.shape)


_PROBES = 4096  # random points at which a function must be even, or one of |z|
_DECADES = np.arange(-9, 9)  # of lengths, each asked by itself: far below its own unit any W looks like |z|²
_refuted: set = set()  # kernels that a cloud's own differences showed not to be functions of |z|


def radial(W: Callable, dimension: int) -> Radial | None:
    """W as a function of |z|², or None where it is not one: asked at random directions and lengths.

    What random differences miss, those of a cloud may show: see `refute`. One at a time that jax traces has
    no values to ask.
    """
    if is_traced(W):
        return None
    function = pointwise.scalar(W)
    if (function, dimension) in _refuted:
        return None
    return _radial(function, dimension, getattr(W, "of_square", None))


def refute(W: Callable, x: np.ndarray, pairs: int) -> bool:
    """Whether W is shown to be no function of |z| by so many differences of positions `[n, d]`.

    Then `radial` and `terms_of` say so from now on. The pairs drawn depend on n alone, so that a resumed run
    asks the same. Kernels known by name are not asked.
    """
    dimension = x.shape[1]
    if hasattr(W, "terms") or radial(W, dimension) is None:
        return False
    generator = np.random.default_rng(20260106)
    i, j = generator.integers(0, len(x), size=(2, pairs))
    if not _alike(W, np.asarray(x[i] - x[j], dtype=float)):
        _refuted.add((pointwise.scalar(W), dimension))
        return True
    return False


def _alike(function: Callable, z: np.ndarray):
    # the values at z and at |z| along the first axis
    lengths = np.linalg.norm(z, axis=1)
    there = pointwise.values(function, z)
    along = pointwise.values(function, lengths[:, None] * _first(z.shape[1]))
    size = np.nanmax(np.abs(along[np.isfinite(along)]), initial=0.0)
    slope = np.abs(pointwise.gradients(function, lengths[:, None] * _first(z.shape[1]))[:, 0])
    rounded = 8.0 * np.finfo(float).eps * lengths * np.where(np.isfinite(slope), slope, 0.0)
    return np.allclose(there, along, rtol=1e-10, atol=1e-13 * size + rounded, equal_nan=True)


@kept
def _radial(function: Callable, dimension: int, of_square: Callable | None):
    generator = np.random.default_rng(20260104)
    z = generator.normal(size=(_DECADES.size, _PROBES // _DECADES.size, dimension))
    z *= 10.0 ** (_DECADES[:, None, None] + generator.uniform(size=(*z.shape[:2], 1)))
    if not all(_alike(function, decade) for decade in z):
        return None
    at_zero = float(pointwise.values(function, np.zeros((1, dimension)))[0])
    small = np.array([[1e-12], [1e-6]]) * _first(dimension)
    slopes = np.abs(pointwise.gradients(function, small)[:, 0]) / small[:, 0]
    bounded = bool(np.all(np.isfinite(slopes)) and slopes[0] <= 10.0 * slopes[1])
    return Radial(function, dimension, at_zero if np.isfinite(at_zero) else None, bounded, of_square)


def terms_of(W: Callable, dimension: int, cutoff: float | None = None) -> Terms | None:
    """W as compiled loops read it: its named terms or a table; None where it is not radial or fits no table.

    Raises ValueError where W is not 0 beyond the cutoff.
    """
    if radial(W, dimension) is None:
        return None
    return _terms_of(as_it_reads_now(W), dimension, cutoff)


@kept
def _terms_of(W: Callable, dimension: int, cutoff: float | None):
    reading = radial(W, dimension)
    if reading is None:
        return None
    if cutoff is not None:
        _check_cutoff(W, dimension, cutoff)
    named = getattr(W, "terms", None)
    if named is None:
        terms = tabulated_terms(_derivatives(reading), reading.at_zero, cutoff=cutoff)
    else:
        terms = named_terms(named, reading.at_zero)
    return terms if terms is None else replace(terms, cutoff=cutoff)


def _derivatives(reading: Radial):
    e = _first(reading.dimension)

    def derivatives(squared: np.ndarray):
        r = np.sqrt(squared)
        z = r[:, None] * e
        with np.errstate(all="ignore"):
            value = pointwise.values(reading.function, z)
            slope = pointwise.gradients(reading.function, z)[:, 0] / r
            curvature = pointwise.hessians(reading.function, z)[:, 0, 0]
            return np.stack([value, slope, (curvature - slope) / squared])

    return derivatives


def _check_cutoff(W: Callable, dimension: int, cutoff: float):
    beyond = cutoff * np.geomspace(1.0 + 1e-9, 1e3, 400)[:, None] * _first(dimension)
    values = pointwise.values(W, beyond)
    if np.any(values != 0.0):
        worst = int(np.argmax(np.abs(values)))
        raise ValueError(
            f"cutoff: {cutoff:g} says that W is 0 from there on, but W is {values[worst]:g} at distance "
            f"{beyond[worst, 0]:g}: cut the kernel off itself, or leave cutoff out"
        )


def _first(dimension: int):
    return np.eye(dimension)[:1]
