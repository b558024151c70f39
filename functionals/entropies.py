"""Internal energies in closed form: two entropies, and the powers of slow and fast diffusion."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from functionals.internal import InternalEnergy
from functionals.numbers import is_number
from functionals.pointwise import namespace
from functionals.registry import register
from functionals.tolerances import TOLERANCES


@register("entropy")
class Entropy(InternalEnergy):
    """F(ρ) = ∫ρ log ρ, with δF/δρ = log ρ + 1 and ∇_W F = ∇log ρ, the score; its flow is the heat equation.

    [JordanKinderlehrerOtto1998]. Displacement convex in every dimension.
    """

    example = "fn.Entropy()"
    is_entropy = True

    def __init__(self):
        super().__init__(_entropy_density, displacement_convex=True)

    def _require_facts(self):
        """They hold."""

    def displacement_modulus(self, dimension: int):
        return 0.0

    def density(self, s: np.ndarray):
        xp = namespace(s)
        s = xp.asarray(s)
        return xp.where(s > 0, s * xp.log(xp.where(s > 0, s, 1.0)), 0.0)

    def derivative(self, s: np.ndarray):
        xp = namespace(s)
        with np.errstate(divide="ignore"):
            return xp.log(s) + 1.0

    def second_derivative(self, s: np.ndarray):
        with np.errstate(divide="ignore"):
            return 1.0 / namespace(s).asarray(s)

    def conjugate_derivative(self, p: np.ndarray):
        return namespace(p).exp(p - 1.0)

    conjugate = conjugate_derivative

    def __eq__(self, other):
        return type(other) is Entropy

    def __hash__(self):
        return hash(Entropy)

    def __repr__(self):
        return "Entropy()"


def _entropy_density(s):
    positive = s > 0
    return jnp.where(positive, s * jnp.log(jnp.where(positive, s, 1.0)), 0.0)


@register("fermi_dirac")
class FermiDirac(InternalEnergy):
    """F(ρ) = ∫ρ log(ρ/c) + (c − ρ) log(1 − ρ/c), 0 ≤ ρ ≤ c the `cap`; δF/δρ = log(ρ/(c − ρ)).

    The entropy of particles that keep others out of their places, c of them a volume; +∞ beyond the cap, and
    ∫ρ log(ρ/c) − ρ for c → ∞. With V it rests at Fermi's law ρ = c/(1 + e^{V − μ}). Its Wasserstein flow is
    ∂_tρ = −cΔ log(1 − ρ/c); with `jko.Exclusion(c)` as mobility it is the heat equation
    [BurgerDiFrancescoPietschmannSchlake2010]. Displacement convex in every dimension. Raises ValueError for a
    cap ≤ 0.
    """

    example = "fn.FermiDirac(4.0)"

    def __init__(self, cap: float = 1.0):
        if not (is_number(cap) and cap > 0):
            raise ValueError(f"cap must be a positive number, got {cap!r}")
        self.cap = cap = float(cap)
        super().__init__(lambda s: _fermi_dirac(jnp, s, cap), displacement_convex=True)

    def _require_facts(self):
        """They hold."""

    def displacement_modulus(self, dimension: int):
        return 0.0

    def density(self, s: np.ndarray):
        return _fermi_dirac(namespace(s), s, self.cap)

    def derivative(self, s: np.ndarray):
        xp = namespace(s)
        s = xp.asarray(s) / self.cap
        with np.errstate(divide="ignore"):
            return xp.log(s) - xp.log(xp.maximum(1.0 - s, np.finfo(float).epsneg))

    def second_derivative(self, s: np.ndarray):
        xp = namespace(s)
        s = xp.asarray(s)
        with np.errstate(divide="ignore"):
            return 1.0 / s + 1.0 / xp.maximum(self.cap - s, np.finfo(float).epsneg * self.cap)

    def conjugate_derivative(self, p: np.ndarray):
        xp = namespace(p)
        tail = xp.exp(-xp.abs(p))
        return self.cap * xp.where(xp.asarray(p) > 0.0, 1.0, tail) / (1.0 + tail)

    def conjugate(self, p: np.ndarray):
        return self.cap * namespace(p).logaddexp(0.0, p)

    def __eq__(self, other):
        return type(other) is FermiDirac and other.cap == self.cap

    def __hash__(self):
        return hash((FermiDirac, self.cap))

    def __repr__(self):
        return f"FermiDirac({self.cap:g})"


def _fermi_dirac(xp, s: np.ndarray, cap: float):
    share = xp.asarray(s) / cap
    inner = (share > 0.0) & (share < 1.0)
    held = xp.where(inner, share, 0.5)
    value = cap * (held * xp.log(held) + (1.0 - held) * xp.log1p(-held))
    return xp.where(inner, value, xp.where(share > 1.0 + TOLERANCES.quotient, xp.inf, 0.0))


@register("power")
class Power(InternalEnergy):
    """F(ρ) = ∫ρ^m/(m−1), m > 0, m ≠ 1; δF/δρ = mρ^{m−1}/(m−1) and the flow is ∂_tρ = Δρ^m [Otto2001].

    m > 1 is slow diffusion (porous medium, compact support), 0 < m < 1 fast diffusion. Displacement convex
    iff m ≥ 1 − 1/d. Raises ValueError for m ≤ 0 or m = 1, where the entropy takes its place.
    """

    example = "fn.Power(2.0)"

    def __init__(self, m: float):
        if not (is_number(m) and m > 0):
            raise ValueError(f"m must be a positive number other than 1, got {m!r}")
        if m == 1.0:
            raise ValueError("m must differ from 1, got 1: the limit m → 1 is Entropy()")
        self.m = m = float(m)
        super().__init__(lambda s: _power(jnp, s, m) / (m - 1.0))

    def _require_facts(self):
        """They hold."""

    def displacement_modulus(self, dimension: int):
        return 0.0 if self.m >= 1.0 - 1.0 / dimension else None

    def density(self, s: np.ndarray):
        return _power(namespace(s), s, self.m) / (self.m - 1.0)

    def derivative(self, s: np.ndarray):
        return self.m / (self.m - 1.0) * _power(namespace(s), s, self.m - 1.0)

    def second_derivative(self, s: np.ndarray):
        return self.m * _power(namespace(s), s, self.m - 2.0)

    def conjugate_derivative(self, p: np.ndarray):
        xp, m = namespace(p), self.m
        base = (m - 1.0) / m * xp.asarray(p)
        with np.errstate(divide="ignore"):
            if m > 1:
                return xp.maximum(base, 0.0) ** (1.0 / (m - 1.0))
            # U′ is negative and increases to 0: a p ≥ 0 asks for infinite density.
            return xp.where(base > 0, xp.where(base > 0, base, 1.0) ** (1.0 / (m - 1.0)), xp.inf)

    def conjugate(self, p: Array):
        # p = U′(s) gives ps − U(s) = s^m; for m > 1 and p ≤ 0 both sides vanish.
        return self.conjugate_derivative(p) ** self.m

    def __eq__(self, other):
        return type(other) is Power and other.m == self.m

    def __hash__(self):
        return hash((Power, self.m))

    def __repr__(self):
        return f"Power({self.m:g})"


def _power(xp, s: np.ndarray, exponent: float):
    with np.errstate(divide="ignore"):
        if exponent == 2.0:
            return xp.asarray(s) * s
        if exponent == 1.0:
            return xp.asarray(s) * 1.0
        if exponent == 0.0:
            return xp.ones_like(xp.asarray(s) * 1.0)
        return xp.asarray(s) ** exponent
