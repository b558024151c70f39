"""Divergences to a target of the form ∫π φ(ρ/π), and Rényi's: χ², Hellinger, Jensen–Shannon and others."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.internal import _derivative_of, _where_positive
from functionals.local_energy import LocalEnergy, Relative
from functionals.numbers import is_number
from functionals.pointwise import describe, elementwise, namespace
from functionals.registry import register
from functionals.target import log_density_of, require_dimension, target_text
from functionals.time_dependence import without_time
from functionals.tolerances import TOLERANCES

_RATIOS = np.geomspace(1e-6, 1e6, 121)  # ten a decade, at which φ is asked for its convexity


class _ToTarget(LocalEnergy):
    """∫π φ(ρ/π) dx, or a function of it; π a measure with a density, or e^{log π} of a jax function."""

    def __init__(self, target):
        self.target = target
        self._log_density = without_time("target", log_density_of("target", target))

    @property
    def phi(self) -> tuple[Callable, Callable, Callable]:
        """φ, φ′ and φ″, elementwise."""
        raise NotImplementedError

    def _log_at(self, points) -> np.ndarray:
        require_dimension(self.target, np.shape(points)[-1])
        logs = pointwise.values(self._log_density, np.asarray(points, dtype=float))
        empty = int(np.sum(~(logs > TOLERANCES.least_log)))
        if empty:
            raise ValueError(
                f"target: its density is 0 in {empty} of {len(logs)} points, where "
                "the divergence is infinite: take a smaller box, or a target with tails"
            )
        return logs

    def on(self, points):
        return Relative(self.phi, self._log_at(points))

    def _there(self, mu):
        return self.on(mu.points)

    def density_at(self, x, s):
        target = jnp.exp(self._log_density(x))
        return target * self.phi[0]((s / target)[None])[0]


@register("phi_divergence")
class PhiDivergence(_ToTarget):
    """F(ρ) = ∫π φ(ρ/π) dx for a convex φ; δF/δρ = φ′(ρ/π) [AmbrosioGigliSavare2008, section 9.4].

    φ is a jax function of a ratio r > 0: r log r is `KL`, (r − 1)² is `ChiSquared`, (√r − 1)² the squared
    Hellinger distance, −log r the reverse Kullback–Leibler divergence. `target` is π: a measure with a
    density, or log π as a jax function of a point. Near π the flow is that of φ″(1) KL: perturbations decay
    at φ″(1) times the spectral gap. Raises ValueError for a φ that is not convex.
    """

    example = "fn.PhiDivergence(jko.Gaussian.of(0.0, 1.0, dimension=1), lambda r: (jnp.sqrt(r) - 1.0) ** 2)"
    linearly_convex = True

    def __init__(self, target, phi: Callable):
        super().__init__(target)
        if not callable(phi):
            raise TypeError(f"phi must be a jax function of one number, got {phi!r}")
        self.function = without_time("phi", phi)
        values = elementwise(self.function, _RATIOS)
        if not np.all(np.isfinite(values)):
            r = _RATIOS[~np.isfinite(values)][0]
            raise ValueError(
                f"phi must be finite for ratios r > 0, but {describe(phi)} is not at r = {r:.3g}"
            )
        bends = elementwise(_derivative_of(self.function, 2), _RATIOS)
        if not np.all(bends >= -TOLERANCES.curvature * np.nanmax(np.abs(bends))):
            bad = ~(bends >= -TOLERANCES.curvature * np.nanmax(np.abs(bends)))
            raise ValueError(f"phi must be convex, but {describe(phi)} is not at r = {_RATIOS[bad][0]:.3g}")

    @property
    def phi(self):
        slopes = tuple(_derivative_of(self.function, order) for order in (1, 2))
        at_zero = float(elementwise(self.function, np.array([1e-120]))[0])
        return (
            lambda r: _where_positive(lambda t: elementwise(self.function, t), r, at_zero),
            *(lambda r, f=f: elementwise(f, r) for f in slopes),
        )

    def __repr__(self):
        return f"PhiDivergence({target_text(self.target)}, {describe(self.function)})"


@register("chi_squared")
class ChiSquared(_ToTarget):
    """F(ρ) = ∫(ρ − π)²/π dx, δF/δρ = 2ρ/π up to a constant: the χ² divergence [ChewiEtAl2020].

    Taken as ∫ρ²/π − ∫ρ, which is the same where both have mass 1. With π constant its flow is the porous
    medium equation. `target` as for `PhiDivergence`.
    """

    example = "fn.ChiSquared(jko.Gaussian.of(0.0, 1.0, dimension=1))"
    linearly_convex = True

    @property
    def phi(self):
        return lambda r: r * (r - 1.0), lambda r: 2.0 * r - 1.0, lambda r: 2.0 + 0.0 * r

    def __repr__(self):
        return f"ChiSquared({target_text(self.target)})"


@register("renyi")
class Renyi(_ToTarget):
    """F(ρ) = log(∫ρ^α π^{1−α} dx)/(α − 1), α > 0, α ≠ 1, the Rényi divergence [VanErvenHarremoes2014].

    δF/δρ = α(ρ/π)^{α−1}/((α − 1)∫ρ^α π^{1−α}); α → 1 is `KL`, and near π the flow is that of α KL. Linearly
    convex for α < 1; for α > 1 its level sets are convex. `target` as for `PhiDivergence`. Raises ValueError
    for α ≤ 0 or α = 1.
    """

    example = "fn.Renyi(jko.Gaussian.of(0.0, 1.0, dimension=1), order=2.0)"

    def __init__(self, target, order: float = 2.0):
        super().__init__(target)
        if not (is_number(order) and order > 0 and order != 1):
            raise ValueError(
                f"order must be a positive number other than 1, got {order!r}: 1 is fn.KL(target)"
            )
        self.order = float(order)
        self.linearly_convex = True if self.order < 1.0 else None

    def outer(self, total):
        """(F, dF/dE, d²F/dE²) of E = ∫ρ^α π^{1−α}."""
        a = self.order - 1.0
        return namespace(total).log(total) / a, 1.0 / (a * total), -1.0 / (a * total**2)

    @property
    def phi(self):
        a = self.order
        return (
            lambda r: r**a,
            lambda r: a * r ** (a - 1.0),
            lambda r: a * (a - 1.0) * r ** (a - 2.0),
        )

    def __repr__(self):
        return f"Renyi({target_text(self.target)}, order={self.order:g})"
