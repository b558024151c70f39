"""Energies of the density's gradient: ½∫|∇g(ρ)|², the Dirichlet energy, the Fisher information."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from functionals.base import Functional
from functionals.internal import _derivative_of
from functionals.pointwise import describe, elementwise, namespace
from functionals.registry import register
from functionals.time_dependence import without_time

_DENSITIES = np.geomspace(1e-6, 1e6, 49)  # where g is asked whether it is a number that rises


@register("gradient_energy")
class GradientEnergy(Functional):
    """F(ρ) = ½∫|∇g(ρ)|² dx for an increasing g; δF/δρ = −g′(ρ)Δg(ρ), and a flow of fourth order.

    `g` is a jax function of a number s > 0. g = s is `Dirichlet`, g = 2√s `FisherInformation`, g = s^{3/2}
    that of the capillary flows between them [MatthesMcCannSavare2009]. On a grid F is ½Σ over the faces of
    |c|((g(ρ) − g(σ))/h)², ρ and σ the densities of the two sides, no face at the walls; δF/δρ is the exact
    derivative of that sum. On particles F is infinite: refused. Raises TypeError for a g that is no
    function, ValueError for one that does not rise.
    """

    example = "fn.GradientEnergy(lambda s: s**1.5)"
    kind = "gradient"

    def __init__(self, g: Callable, *, linearly_convex: bool | None = None):
        if not callable(g):
            raise TypeError(f"g must be a jax function of one number, got {g!r}")
        self.function = without_time("g", g)
        self.linearly_convex = linearly_convex
        values = elementwise(self.function, _DENSITIES)
        if not np.all(np.isfinite(values)):
            s = _DENSITIES[~np.isfinite(values)][0]
            raise ValueError(f"g must be finite for s > 0, but {describe(g)} is not at s = {s:.3g}")
        slopes = elementwise(_derivative_of(self.function, 1), _DENSITIES)
        if not np.all(slopes > 0.0):
            s = _DENSITIES[np.argmax(~(slopes > 0.0))]
            raise ValueError(f"g must rise, but g′ is {slopes[~(slopes > 0.0)][0]:g} at s = {s:.3g}")

    def g(self, s: np.ndarray):
        """g(s), elementwise."""
        return elementwise(self.function, s)

    def slope(self, s: np.ndarray):
        """g′(s), elementwise."""
        return elementwise(_derivative_of(self.function, 1), s)

    def bend(self, s: np.ndarray):
        """g″(s), elementwise."""
        return elementwise(_derivative_of(self.function, 2), s)

    def energy(self, mu):
        return 0.5 * mu.integrate_squared_gradient(self)

    def first_variation(self, mu):
        with np.errstate(divide="ignore", invalid="ignore"):
            variation = -self.slope(mu.density_values()) * mu.laplacian(self)
        # 0 · ∞ in the middle of a vacuum: no neighbour pulls
        return namespace(variation).where(np.isnan(variation), 0.0, variation)

    def first_variation_function(self, mu):
        """δF/δρ as a jax function of a point, for a measure whose density is one."""
        log_density = mu.log_density_function

        def variation(x):
            def field(y):
                return self.g(jnp.exp(log_density(y))[None])[0]

            return -self.slope(jnp.exp(log_density(x))[None])[0] * jnp.trace(jax.hessian(field)(x))

        return variation

    def wasserstein_gradient(self, mu):
        return mu.gradient_of_variation(self)

    def probe(self, mu):
        return [self.g(np.array([0.01, 0.3, 1.0, 7.0]))]

    def __repr__(self):
        return f"GradientEnergy({describe(self.function)})"


@register("dirichlet")
class Dirichlet(GradientEnergy):
    """F(ρ) = ½∫|∇ρ|² dx, δF/δρ = −Δρ: its flow is the thin film ∂_tρ = −∇·(ρ∇Δρ) [Otto1998].

    With a double well beside it, κ Dirichlet() + InternalEnergy(U, convex=False), it is Cahn–Hilliard of
    mobility ρ: ∂_tρ = ∇·(ρ∇(U′(ρ) − κΔρ)), whose interfaces are √κ wide. Linearly convex; along geodesics no
    λ is known.
    """

    example = "fn.Dirichlet()"
    linearly_convex = True

    def __init__(self):
        """It has no parameters."""

    def g(self, s: np.ndarray):
        return namespace(s).asarray(s)

    def slope(self, s: np.ndarray):
        return namespace(s).ones_like(s)

    def bend(self, s: np.ndarray):
        return namespace(s).zeros_like(s)

    def __repr__(self):
        return "Dirichlet()"


@register("fisher_information")
class FisherInformation(GradientEnergy):
    """F(ρ) = ½∫ρ|∇log ρ|² = 2∫|∇√ρ|² dx, δF/δρ = −2Δ√ρ/√ρ: its flow is Derrida–Lebowitz–Speer–Spohn's.

    Half of the usual Fisher information, as the dissipation of the entropy's flow is twice of it
    [GianazzaSavareToscani2009]: ∂_tρ + ∇·(ρ∇(2Δ√ρ/√ρ)) = 0, of fourth order, positive for all times; in one
    dimension a Gaussian stays one, of variance s² = s₀² + 4t. Linearly convex, not λ-convex along geodesics
    for any λ.
    """

    example = "fn.FisherInformation()"
    linearly_convex = True

    def __init__(self):
        """It has no parameters."""

    def g(self, s: np.ndarray):
        return 2.0 * namespace(s).sqrt(s)

    def slope(self, s: np.ndarray):
        with np.errstate(divide="ignore"):
            return 1.0 / namespace(s).sqrt(s)

    def bend(self, s: np.ndarray):
        with np.errstate(divide="ignore"):
            return -0.5 / namespace(s).asarray(s) ** 1.5

    def __repr__(self):
        return "FisherInformation()"
