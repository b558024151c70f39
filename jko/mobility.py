"""Mobilities M(ρ) of ∂_tρ = ∇·(M(ρ)∇ξ): what is declared of one, for every scheme that takes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from functionals.pointwise import describe, elementwise, namespace, scalar
from functionals.programs import kept
from functionals.tolerances import TOLERANCES
from jko.errors import positive_number, shown


@dataclass(frozen=True)
class Mobility:
    """M(ρ) ≥ 0 on 0 ≤ ρ ≤ cap with M(0) = 0, and M(cap) = 0 where the cap is finite.

    `function` is a jax function of one density. No density goes beyond the `cap`, inf for none. `concave`
    declares whether M is, True, False or None for not known; those that are have a distance, in which
    |q|²/M(ρ) is jointly convex [DolbeaultNazaretSavare2009]. What is declared is checked at densities up to
    the cap, or up to the largest one of a run. Raises TypeError for what is no function, ValueError for a cap
    ≤ 0 and for an M that is negative, not finite, or not 0 where it has to be.
    """

    function: Callable
    cap: float = math.inf
    concave: bool | None = None

    def __post_init__(self):
        if not callable(self.function):
            raise TypeError(
                f"mobility: expected a jax function of a density, got {shown(self.function)}: write "
                "jko.Exclusion(cap), or jko.Mobility(lambda s: ...)"
            )
        if self.cap != math.inf:
            positive_number("cap", self.cap)
        if self.concave not in (True, False, None):
            raise TypeError(f"concave: expected True, False or None, got {shown(self.concave)}")
        if self.cap != math.inf:
            self.require(self.cap)

    @classmethod
    def of(cls, given: Mobility | Callable | str) -> Mobility:
        """A mobility from one, from a jax function of a density, or from the name of one, "exclusion"."""
        if isinstance(given, str):
            if given != "exclusion":
                raise ValueError(
                    f'mobility: expected "exclusion", or a jax function of a density, got {given!r}'
                )
            return Exclusion()
        return given if isinstance(given, Mobility) else Mobility(given)

    def values(self, s: np.ndarray):
        """M(s), elementwise."""
        return elementwise(scalar(self.function), s)

    def derivative(self, s: np.ndarray):
        """M′(s), elementwise."""
        return elementwise(_slope_of(self.function), s)

    def peak(self, largest: float) -> float:
        """The density up to the cap and the largest one at which M is greatest; the cap where M still rises
        there."""
        s = np.linspace(0.0, min(self.cap, largest), TOLERANCES.asked_densities)
        highest = int(np.argmax(np.nan_to_num(self.values(s), nan=-np.inf)))
        return self.cap if highest == len(s) - 1 else float(s[highest])

    def require(self, largest: float) -> None:
        """Refuse an M that is not as declared at densities up to the largest, by ValueError."""
        s = np.linspace(0.0, largest, TOLERANCES.asked_densities)
        values = np.asarray(self.values(s))
        what = describe(self.function)
        rounding = TOLERANCES.curvature * np.abs(values[np.isfinite(values)]).max(initial=0.0)
        wrong = ~(np.isfinite(values) & (values >= -rounding))
        if wrong.any():
            raise ValueError(
                f"mobility: expected M(ρ) ≥ 0 and finite, but {what} is {values[wrong][0]:.3g} at "
                f"ρ = {s[wrong][0]:.3g}: give another M, or the cap below which the density stays, "
                "jko.Mobility(M, cap=)"
            )
        ends = {0.0: values[0]} | ({self.cap: values[-1]} if largest == self.cap else {})
        for where, value in ends.items():
            if value > rounding:
                raise ValueError(
                    f"mobility: expected M({where:g}) = 0, got {value:.3g} of {what}: a density of {where:g} "
                    f"{'gives nothing away' if where == 0.0 else 'takes nothing up'}"
                )
        if self.concave and np.any(np.diff(values, 2) > rounding):
            worst = s[1:-1][np.argmax(np.diff(values, 2))]
            raise ValueError(
                f"concave: declared True, but {what} lies below its chord at ρ = {worst:.3g}: leave concave "
                "out"
            )


@dataclass(frozen=True)
class Exclusion(Mobility):
    """M(ρ) = ρ(1 − ρ/cap): particles that keep others out of their places, of which there are `cap` a volume.

    Concave. With `fn.FermiDirac(cap)` the diffusion is linear [BurgerDiFrancescoPietschmannSchlake2010].
    """

    function: Callable = field(init=False, repr=False, compare=False, default=None)  # type: ignore[assignment]
    cap: float = 1.0
    concave: bool | None = field(init=False, repr=False, default=True)

    def __post_init__(self):
        positive_number("cap", self.cap)
        object.__setattr__(self, "function", self.values)

    def values(self, s: np.ndarray):
        """s(1 − s/cap)."""
        return s * (1.0 - s / self.cap)

    def derivative(self, s: np.ndarray):
        """1 − 2s/cap."""
        return 1.0 - 2.0 * namespace(s).asarray(s) / self.cap

    def require(self, largest: float) -> None:
        """It holds by its formula."""


@kept
def _slope_of(function: Callable):
    return jax.grad(lambda s: scalar(function)(jnp.asarray(s)))
