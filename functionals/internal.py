"""The internal energy ∫U(ρ) dx of a user's convex U."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import jax
import numpy as np

from functionals.base import Functional
from functionals.conjugate import Ladder, conjugate_at, invert_derivative
from functionals.pointwise import describe, elementwise, namespace
from functionals.programs import kept
from functionals.registry import register
from functionals.time_dependence import without_time
from functionals.tolerances import TOLERANCES

_TINY = 1e-120  # a density so near to 0 that U must be all but 0 there, and U′ at its limit
_DENSITIES = np.geomspace(1e-18, 1e18, 3601)  # a hundred a decade
_ROUNDING = 1e-12  # of the largest of three values, whose chord is taken
_RUN = 24  # densities in a row: the cancellation within a U such as √(1 + s²) − 1 keeps no sign for so many
_SURE, _SEEN = 1e-6, 1e-8  # of three values and of all up to s, above which one density is enough


def _concave_at(s: np.ndarray, values: np.ndarray) -> float | None:
    """The first s where values [n] lie above the chord of their neighbours beyond rounding, None for none."""
    if len(s) < _RUN + 2:
        return None
    left, middle, right = values[:-2], values[1:-1], values[2:]
    share = (s[1:-1] - s[:-2]) / (s[2:] - s[:-2])
    with np.errstate(all="ignore"):
        above = middle - ((1.0 - share) * left + share * right)
        size = np.maximum(np.maximum(np.abs(left), np.abs(middle)), np.abs(right))
        bent = above > _ROUNDING * size
        sure = (above > _SURE * size) & _seen(s, values)[1:-1]
    runs = np.lib.stride_tricks.sliding_window_view(bent, _RUN).all(axis=1)
    found = np.flatnonzero(np.append(runs, np.zeros(_RUN - 1, bool)) | sure)
    return float(s[1:-1][found[0]]) if found.size else None


def _seen(s: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where values [n] stand out of the rounding of all those up to s, or up to s = 1."""
    largest = np.fmax.accumulate(np.abs(values))
    return np.abs(values) > _SEEN * np.maximum(largest, largest[min(np.searchsorted(s, 1.0), len(s) - 1)])


def _where_positive(f: Callable, s: np.ndarray, at_zero: float):
    """f(s) for s > 0, and its limit at 0, where f itself may be 0 · log 0."""
    xp = namespace(s)
    positive = xp.asarray(s) > 0
    return xp.where(positive, f(xp.where(positive, s, 1.0)), at_zero)


@register("internal")
class InternalEnergy(Functional):
    """F(ρ) = ∫U(ρ) dx, U convex on [0, ∞) with U(0) = 0; δF/δρ = U′(ρ), ∇_W F = ∇U′(ρ).

    `U` is a jax function of a number s > 0; U′, U″ come by differentiation, U′(0) as the limit, and the
    conjugate U*(p) = sup_{s≥0} ps − U(s) by solving U′(s) = p. On particles ∫U(ρ) is infinite or undefined:
    refused. ∫U is displacement convex iff s ↦ s^d U(s^{−d}) is convex and non-increasing [McCann1997,
    Theorem 2.2]; declare it with `displacement_convex=True`.

    Both are checked from values of U at densities from 1e-18 to 1e18, where it is finite: a U that is not
    convex is refused, since ∂_tρ = ∇·(ρU″(ρ)∇ρ) runs backwards where U″ < 0, and where the condition does
    not hold in d dimensions `displacement_modulus(d)` is None, whatever was declared (on the line it always
    holds). Raises ValueError also where U does not tend to 0 at 0.

    `convex=False` declares a U that is not, such as a double well: a part of another kind, which
    `limits.FiniteVolume` takes beside an energy of the gradient, without which nothing stops the densities
    from parting: `κ * Dirichlet() + InternalEnergy(U, convex=False)` is Cahn–Hilliard.
    """

    example = "fn.InternalEnergy(lambda s: s**2 + s**4)"
    kind = "internal"
    is_entropy: ClassVar[bool] = False
    linearly_convex = True
    cap: float = np.inf  # density beyond which U is infinite

    def __init__(self, U: Callable, *, displacement_convex: bool | None = None, convex: bool = True):
        if not callable(U):
            raise TypeError(f"U must be a jax function of one number, got {U!r}")
        if not isinstance(convex, bool):
            raise TypeError(f"convex: expected True or False, got {convex!r}")
        self.U = without_time("U", U)
        if not convex:
            self.kind, self.linearly_convex = "local", False  # type: ignore[misc]
            displacement_convex = None
        self._displacement_convex = displacement_convex
        self._require_facts()

    def _require_facts(self):
        start, *values = elementwise(self.U, np.append(_TINY, _DENSITIES))
        if not abs(start) < 1e-8:
            raise ValueError(
                f"U must tend to 0 at 0, got {start:g} for {describe(self.U)}: subtract that constant"
            )
        bent = _concave_at(_DENSITIES, np.array(values)) if self.linearly_convex else None
        if bent is not None:
            raise ValueError(
                f"U must be convex, but {describe(self.U)} lies above its chord at s = {bent:.3g}: ∂_tρ = "
                "∇·(ρU″(ρ)∇ρ) runs backwards there; give the convex envelope of U, or a double well beside "
                "fn.Dirichlet() with convex=False"
            )
        self._values = np.array(values) if self._displacement_convex else None

    @staticmethod
    def _contracts(d: int, values: np.ndarray) -> bool:
        """Whether r ↦ r^d U(r^{−d}) is convex and non-increasing [McCann1997, Theorem 2.2]."""
        radii = _DENSITIES[::-1] ** (-1.0 / d)
        with np.errstate(all="ignore"):
            scaled = radii**d * values[::-1]
        known = np.isfinite(scaled) & _seen(_DENSITIES, values)[::-1]
        rising = np.diff(scaled[known]) > _ROUNDING * np.abs(scaled[known])[1:]
        rises = np.convolve(rising, np.ones(_RUN), mode="valid") == _RUN
        return _concave_at(radii[known], scaled[known]) is None and not np.any(rises)

    def energy(self, mu):
        return mu.integrate_internal(self)

    def first_variation(self, mu):
        return self.derivative(mu.density_values())

    def wasserstein_gradient(self, mu):
        return mu.internal_gradient(self)

    def displacement_modulus(self, dimension: int):
        return 0.0 if self._displacement_convex and self._contracts(dimension, self._values) else None

    def probe(self, mu):
        return [self.derivative(np.array([0.01, 0.3, 1.0, 7.0]))]

    def density(self, s: np.ndarray):
        """U(s), elementwise; 0 at 0."""
        return _where_positive(lambda t: elementwise(self.U, t), s, 0.0)

    def derivative(self, s: np.ndarray):
        """U′(s), elementwise; its limit at 0."""
        return _where_positive(lambda t: elementwise(_derivative_of(self.U, 1), t), s, self._slope_at_zero)

    @cached_property
    def _slope_at_zero(self) -> float:
        """−∞ where U′ falls from power to power of s by no less than before, as a logarithm does."""
        values = elementwise(_derivative_of(self.U, 1), _TINY ** (np.arange(1.0, 4.0) / 3.0))
        before, last = values[0] - values[1], values[1] - values[2]
        falls = last >= (1.0 - TOLERANCES.even) * before and last > TOLERANCES.quotient * abs(values[1])
        return float(-np.inf if falls else values[2])

    def second_derivative(self, s: np.ndarray):
        """U″(s), elementwise."""
        return elementwise(_derivative_of(self.U, 2), s)

    def on(self, points: np.ndarray):
        """U at points `[n, d]`, for densities `[n]`: the same everywhere."""
        return self

    def conjugate_derivative(self, p: np.ndarray):
        """(U*)′(p) ≥ 0, elementwise."""
        return invert_derivative(self.derivative, p, self._ladder)

    @cached_property
    def _ladder(self) -> Ladder:
        return Ladder.of(self.derivative)

    def conjugate(self, p: np.ndarray):
        """U*(p), elementwise."""
        return conjugate_at(self.conjugate_derivative(p), p, self.density)

    def __repr__(self):
        return f"InternalEnergy({describe(self.U)}{'' if self.linearly_convex else ', convex=False'})"


@kept
def _derivative_of(U: Callable, order: int) -> Callable:
    """d^k U/ds^k as one function object a U, so that jax compiles it once."""
    return jax.grad(U if order == 1 else _derivative_of(U, order - 1))
