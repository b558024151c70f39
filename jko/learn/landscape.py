"""What was learnt as jax functions of a point, or of a point and the time, which every engine takes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import functionals as fn
from functionals.array import Array
from functionals.time_dependence import NumbersInTime
from jko.learn.features import Combination, EvenPowers, Features, Monomials, combined
from jko.learn.tolerances import TOLERANCES


class Landscape(Combination):
    """x ↦ Σ c_jφ_j(x), with a name."""

    def __init__(self, features: Features, coefficients: np.ndarray, name: str = "learnt V"):
        super().__init__(features, coefficients)
        self.__dict__["name"] = name

    @property
    def __name__(self):
        return self.name

    @property
    def quadratic(self) -> tuple[np.ndarray, np.ndarray] | None:
        """∇V(0) `[d]` and D²V `[d, d]` where V is quadratic; else None."""
        f = self.features
        square = isinstance(f, EvenPowers) and f.count == 1
        if not (square or (isinstance(f, Monomials) and f.exponents.sum(axis=1).max() <= 2)):
            return None
        slopes = f.slopes(
            np.concatenate([np.zeros((1, f.dimension)), np.eye(f.dimension)]), self.coefficients
        )
        curvature = slopes[1:] - slopes[0]
        return slopes[0], 0.5 * (curvature + curvature.T)

    @property
    def modulus(self) -> float | None:
        """λ, the least eigenvalue of D²V, where V is quadratic; else None."""
        return None if self.quadratic is None else float(np.linalg.eigvalsh(self.quadratic[1]).min())


class _InTime(NumbersInTime):
    """A function of a point and the time, with a name and numbers that are operands of programs."""

    def __init__(self, function: Callable, numbers: object, name: str):
        super().__init__(function, numbers)
        self.__dict__["name"] = name  # beside the fields of a frozen dataclass

    @property
    def __name__(self):
        return self.name

    def __call__(self, x: Array, t: float):
        return self.function(x, (self.numbers, t))


class ByInterval(_InTime):
    """(x, t) ↦ V_k(x) for t_k ≤ t < t_{k+1}: the first one before, the last one after."""

    def __init__(self, landscapes: tuple[Landscape, ...], times: np.ndarray):
        inner = times[1:-1] - TOLERANCES.early * np.diff(times)[:-1]
        numbers = tuple(V.t for V in landscapes), inner
        super().__init__(_by_interval, numbers, "learnt V, an interval each")
        self.__dict__.update(landscapes=landscapes, times=times)


def _by_interval(x: Array, numbers: tuple):
    (landscapes, inner), t = numbers
    branches = [lambda x, given=given: combined(x, given) for given in landscapes]
    return jax.lax.switch(jnp.sum(t >= jnp.asarray(inner)), branches, x)


class PolynomialInTime(_InTime):
    """(x, t) ↦ Σ_p s^p Σ_j c_pjφ_j(x), s = (t − middle)/half the span of the data, held at its ends
    outside."""

    def __init__(self, features: Features, table: np.ndarray, first: float, last: float):
        super().__init__(_polynomial, (features, table, first, last), "learnt V(x, t)")
        self.__dict__.update(features=features, table=table)


def _polynomial(x: Array, numbers: tuple):
    (features, table, first, last), t = numbers
    s = jnp.clip(2.0 * (t - first) / (last - first) - 1.0, -1.0, 1.0)
    powers = jnp.stack([jnp.asarray(s**p, x.dtype) for p in range(len(table))])
    return features.at(x, powers @ jnp.asarray(table, x.dtype))


def time_factors(times: np.ndarray, per_interval: bool, degree: int) -> np.ndarray:
    """The b_p of each interval `[K, P]`: means over it."""
    count = len(times) - 1
    if per_interval:
        return np.eye(count)
    s = 2.0 * (times - times[0]) / (times[-1] - times[0]) - 1.0
    powers = np.arange(degree + 1)
    return np.diff(s[:, None] ** (powers + 1), axis=0) / ((powers + 1) * np.diff(s)[:, None])


def interaction_of(W: Landscape) -> fn.Functional:
    """½∬W dρdρ, the named quadratic one where W is one, which is what closed forms take."""
    square = W.modulus
    return fn.Interaction(W) if square is None else fn.Interaction("quadratic", strength=square)


def assembled(V: Landscape | None, interaction: fn.Functional | None, temperature: float) -> fn.Functional:
    """∫V dρ + ½∬W dρdρ + θ∫ρ log ρ of what is there."""
    terms = []
    if V is not None:
        terms.append(_potential(V))
    if interaction is not None:
        terms.append(interaction)
    if temperature > 0.0:
        terms.append(temperature * fn.Entropy())
    total = terms[0] if terms else fn.Potential("quadratic", stiffness=0.0)
    for term in terms[1:]:
        total = total + term
    return total


def _potential(V: Landscape) -> fn.Potential:
    """The named quadratic potential where V is one, which is what closed forms take; else V as it is."""
    modulus = getattr(V, "modulus", None)
    if modulus is None:
        return fn.Potential(V)
    slope, stiffness = V.quadratic
    if np.linalg.cond(stiffness) > TOLERANCES.singular:
        return fn.Potential(V, modulus=modulus)
    return fn.Potential("quadratic", stiffness=stiffness, center=-np.linalg.solve(stiffness, slope))
