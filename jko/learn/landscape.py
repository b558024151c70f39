"""What was learnt as jax functions of a point, or of a point and the time, which every engine takes."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import functionals as fn
from functionals.array import Array
from functionals.programs import kept_for_both
from functionals.time_dependence import AtTime
from jko.learn.features import Bumps, EvenPowers, Features, Monomials, Together
from jko.learn.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class Landscape:
    """x ↦ Σ c_jφ_j(x)."""

    features: Features
    coefficients: np.ndarray
    name: str = "learnt V"

    @property
    def __name__(self):
        return self.name

    def __call__(self, x: Array):
        return self.features.at(x, self.coefficients)

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


@dataclass(frozen=True, eq=False)
class ByInterval:
    """(x, t) ↦ V_k(x) for t_k ≤ t < t_{k+1}: the first one before, the last one after."""

    landscapes: tuple[Landscape, ...]
    times: np.ndarray
    name: str = "learnt V, an interval each"

    depends_on_time = True

    @property
    def __name__(self):
        return self.name

    def __call__(self, x: Array, t: float):
        inner = jnp.asarray(self.times[1:-1] - TOLERANCES.early * np.diff(self.times)[:-1])
        index = jnp.sum(t >= inner)
        return jax.lax.switch(index, [lambda x, f=f: f(x) for f in self.landscapes], x)


@dataclass(frozen=True, eq=False)
class PolynomialInTime:
    """(x, t) ↦ Σ_p s^p Σ_j c_pjφ_j(x), s = (t − middle)/half the span of the data, held at its ends
    outside."""

    features: Features
    table: np.ndarray
    first: float
    last: float
    name: str = "learnt V(x, t)"

    depends_on_time = True

    @property
    def __name__(self):
        return self.name

    def __call__(self, x: Array, t: float):
        s = jnp.clip(2.0 * (t - self.first) / (self.last - self.first) - 1.0, -1.0, 1.0)
        powers = jnp.stack([jnp.asarray(s**p, x.dtype) for p in range(len(self.table))])
        return self.features.at(x, powers @ jnp.asarray(self.table, x.dtype))


def time_factors(times: np.ndarray, per_interval: bool, degree: int) -> np.ndarray:
    """The b_p of each interval `[K, P]`: means over it."""
    count = len(times) - 1
    if per_interval:
        return np.eye(count)
    s = 2.0 * (times - times[0]) / (times[-1] - times[0]) - 1.0
    powers = np.arange(degree + 1)
    return np.diff(s[:, None] ** (powers + 1), axis=0) / ((powers + 1) * np.diff(s)[:, None])


def assembled(V: Landscape, W, temperature: float, dimension: int) -> fn.Functional:
    """∫V dρ + ½∬W dρdρ + θ∫ρ log ρ of what is there."""
    terms = []
    if V is not None:
        terms.append(_potential(V))
    if W is not None:
        square = W.modulus
        terms.append(fn.Interaction(W) if square is None else fn.Interaction("quadratic", strength=square))
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
        return fn.Potential(_with_operands(V))
    slope, stiffness = V.quadratic
    if np.linalg.cond(stiffness) > TOLERANCES.singular:
        return fn.Potential(V, modulus=modulus)
    return fn.Potential("quadratic", stiffness=stiffness, center=-np.linalg.solve(stiffness, slope))


def _with_operands(V: Landscape | ByInterval | PolynomialInTime):
    """V, its numbers operands of one program for all landscapes of its form: each interval has its own V."""
    if not isinstance(V, Landscape):
        return V
    families = V.features.families if isinstance(V.features, Together) else (V.features,)
    if not all(isinstance(family, (Bumps, Monomials)) for family in families):
        return V
    form = tuple(
        (family.size, family.dimension) if isinstance(family, Bumps) else _Exponents.of(family)
        for family in families
    )
    numbers = [np.ravel(array) for family in families for array in _arrays(family)]
    return AtTime(_function_of(form), np.concatenate([V.coefficients, *numbers]))


def _arrays(family: Bumps | Monomials) -> tuple:
    return (family.centres, family.width) if isinstance(family, Bumps) else (family.middle, family.scale)


@dataclass(frozen=True)
class _Exponents:
    """The exponents of monomials, as what a program is known by."""

    rows: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, family: Monomials) -> _Exponents:
        return cls(tuple(map(tuple, family.exponents.tolist())))


@kept_for_both
def _function_of(form: tuple):
    """(x, all numbers in a row) ↦ Σ c_jφ_j(x) of bumps (their number and dimension) and monomials."""
    size = sum(len(part.rows) if isinstance(part, _Exponents) else part[0] for part in form)

    def function(x: Array, numbers: Array):
        families, place = [], size
        for part in form:
            d = len(part.rows[0]) if isinstance(part, _Exponents) else part[1]
            if isinstance(part, _Exponents):
                middle, scale = numbers[place : place + d], numbers[place + d : place + 2 * d]
                families.append(Monomials(np.array(part.rows), middle, scale))
                place += 2 * d
            else:
                after = place + part[0] * d
                families.append(Bumps(numbers[place:after].reshape(-1, d), numbers[after]))
                place = after + 1
        return Together(tuple(families)).at(x, numbers[:size])

    function.__name__ = "learnt V"
    return function
