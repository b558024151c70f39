"""Energies of the density at its place: ∫U(x, ρ(x)) dx."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from functionals.base import Functional
from functionals.conjugate import conjugate_at, invert_derivative
from functionals.pointwise import describe, namespace
from functionals.programs import kept
from functionals.reading import as_it_reads_now
from functionals.registry import register
from functionals.tolerances import TOLERANCES

_DENSITIES = np.geomspace(1e-6, 1e6, 61)  # as many densities, five a decade


@register("local_energy")
class LocalEnergy(Functional):
    """F(ρ) = ∫U(x, ρ) dx, δF/δρ = ∂U/∂s(x, ρ): an internal energy that depends on the place.

    `U` is a jax function U(x, s) of a point `[d]` and a density s > 0, convex in s, or with `convex=False`
    not: then `limits.FiniteVolume` takes it beside an energy of the gradient. Convexity is checked where the
    functional meets its points; ValueError where it fails.
    """

    example = "fn.LocalEnergy(lambda x, s: (1.0 + x[0] ** 2) * s**2)"
    kind = "local"
    outer: Callable | None = None  # F = h(∫u dx): (h, h′, h″) of the integral, None for the integral itself

    def __init__(self, U: Callable, *, convex: bool = True):
        if not callable(U):
            raise TypeError(f"U must be a jax function of a point and a density, got {U!r}")
        if not isinstance(convex, bool):
            raise TypeError(f"convex: expected True or False, got {convex!r}")
        self.U, self.linearly_convex = U, convex

    def on(self, points: np.ndarray) -> LocalDensity:
        """U at points `[n, d]`, as a function of densities there."""
        found = _Written(self.U, points)
        if self.linearly_convex:
            self._require_convex(points)
        return found

    def _require_convex(self, points: np.ndarray) -> None:
        points = np.asarray(points, dtype=float)[:: max(1, len(points) // TOLERANCES.asked_points)]
        each = np.repeat(points, _DENSITIES.size, axis=0)
        bends = _Written(self.U, each).second_derivative(np.tile(_DENSITIES, len(points)))
        bends = bends.reshape(len(points), -1)
        bad = bends < -TOLERANCES.curvature * np.abs(bends).max(axis=1, keepdims=True)
        if bad.any():
            place, density = np.argwhere(bad)[0]
            raise ValueError(
                f"U must be convex in the density, but {describe(self.U)} is not at "
                f"x = {points[place].tolist()}, s = {_DENSITIES[density]:.3g}: declare it with convex=False"
            )

    def _there(self, mu) -> LocalDensity:
        return _Written(self.U, mu.points)

    def energy(self, mu):
        total = mu.integrate_internal(self._there(mu))
        return total if self.outer is None else self.outer(total)[0]

    def first_variation(self, mu):
        there = self._there(mu)
        variation = there.derivative(mu.density_values())
        return variation if self.outer is None else self.outer(mu.integrate_internal(there))[1] * variation

    def first_variation_function(self, mu):
        """δF/δρ as a jax function of a point, for a measure whose density is one."""
        factor = 1.0 if self.outer is None else self.outer(mu.integrate_internal(self._there(mu)))[1]
        slope = jax.grad(self.density_at, argnums=1)
        log_density = mu.log_density_function
        return lambda x: factor * slope(x, jnp.exp(log_density(x)))

    def density_at(self, x, s):
        """U(x, s) at one point, in jax."""
        return self.U(x, s)

    def wasserstein_gradient(self, mu):
        return mu.gradient_of_variation(self)

    def probe(self, mu):
        here = np.asarray(mu.points)[:64]
        return [type(self).on(self, here).derivative(np.ones(len(here)))]

    def __repr__(self):
        return f"LocalEnergy({describe(self.U)}{'' if self.linearly_convex else ', convex=False'})"


class LocalDensity:
    """u(x, s) at fixed points as a function of densities of their number, with derivatives and conjugate."""

    cap: float = np.inf  # density beyond which U is infinite

    def density(self, s: np.ndarray):
        """u(x, s), 0 at s = 0 where u is."""
        raise NotImplementedError

    def derivative(self, s: np.ndarray):
        """∂u/∂s."""
        raise NotImplementedError

    def second_derivative(self, s: np.ndarray):
        """∂²u/∂s²."""
        raise NotImplementedError

    def conjugate_derivative(self, p: np.ndarray):
        """The density at which ∂u/∂s is p; 0 where p is less than at 0."""
        return invert_derivative(self.derivative, p)

    def conjugate(self, p: np.ndarray):
        """sup over s ≥ 0 of ps − u(x, s)."""
        return conjugate_at(self.conjugate_derivative(p), p, self.density)


class _Written(LocalDensity):
    """A user's U(x, s)."""

    def __init__(self, U: Callable, points: np.ndarray):
        self.U, self.points = as_it_reads_now(U), np.asarray(points, dtype=float)

    def _taken(self, order: int, s: np.ndarray):
        if isinstance(s, jax.Array):
            return _batched(self.U, order)(self.points, s.reshape(-1)).reshape(s.shape)
        s = np.asarray(s, dtype=float)
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            return np.array(_batched(self.U, order)(self.points, s.reshape(-1))).reshape(s.shape)

    def density(self, s):
        return self._taken(0, s)

    def derivative(self, s):
        return self._taken(1, s)

    def second_derivative(self, s):
        return self._taken(2, s)


@kept
def _batched(U: Callable, order: int):
    function = U
    for _ in range(order):
        function = jax.grad(function, argnums=1)
    return jax.jit(jax.vmap(lambda x, s: jnp.reshape(function(x, s), ())))


class Relative(LocalDensity):
    """π φ(s/π) at points where log π is known, from φ and its derivatives."""

    def __init__(self, phi: tuple[Callable, Callable, Callable], log_target: np.ndarray):
        self.phi, self.log_target = phi, log_target

    def _ratio(self, s: np.ndarray):
        xp = namespace(s)
        target = xp.exp(self.log_target.reshape(np.shape(s)))
        return s / target, target

    def density(self, s):
        ratio, target = self._ratio(s)
        return target * self.phi[0](ratio)

    def derivative(self, s):
        return self.phi[1](self._ratio(s)[0])

    def second_derivative(self, s):
        ratio, target = self._ratio(s)
        return self.phi[2](ratio) / target
