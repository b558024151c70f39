"""Fokker-Planck with a quadratic trap whose centre moves, from a Gaussian."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from jko.errors import finite_array
from jko.exact.base import ExactSolution, gaussian_formula, time_since_start, vector
from jko.exact.ornstein_uhlenbeck import OrnsteinUhlenbeck
from jko.measures import Gaussian

_PANELS = 16  # parts of [0, 1], each with 64 Gauss nodes: drives of many waves are integrated to rounding


def _composite():
    """Nodes and weights of Gauss's rule with 64 nodes on each of 16 equal parts of [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(64)
    parts = (np.arange(_PANELS)[:, None] + 0.5 * (1.0 + nodes)) / _PANELS
    return parts.ravel(), np.tile(0.5 * weights / _PANELS, _PANELS)


_NODES, _WEIGHTS = _composite()


class MovingTrap(ExactSolution):
    """The flow of F(t) = θ ∫ρ log ρ + ∫ (λ/2)|x − c(t)|² ρ from N(mean, std²).

    ∂ₜρ = θΔρ + λ∇·((x − c(t))ρ) stays Gaussian: the covariance is that of `OrnsteinUhlenbeck`, and m(t) =
    e^{−λt}m₀ + λ∫₀ᵗ e^{−λ(t−s)}c(s) ds. `centre` c is a jax function of the time with values `[d]` (a number
    in one dimension), smooth on the scale of t/500: the integral is taken by Gauss's rule with 1024 nodes.
    `stiffness` λ > 0. Raises ValueError for shapes that do not fit.
    """

    def __init__(
        self,
        centre: Callable,
        mean: float | list = 0.0,
        std: float = 1.0,
        stiffness: float = 1.0,
        temperature: float = 1.0,
    ):
        self.rate = float(finite_array("stiffness", stiffness))
        if self.rate <= 0.0:
            raise ValueError(f"stiffness: expected a number > 0, got {self.rate:g}")
        self._still = OrnsteinUhlenbeck(mean, std, self.rate, temperature)
        if not callable(centre):
            raise TypeError(
                f"centre: expected a jax function of the time, got {centre!r}: lambda t: {centre!r}"
            )
        self.centre, self.dimension = centre, self._still.dimension
        if self.centre_at(0.0).size != self.dimension:
            got = self.centre_at(0.0).tolist()
            raise ValueError(f"centre: expected values of {self.dimension} coordinates, got {got}")

    def centre_at(self, t: float) -> np.ndarray:
        """c(t) `[d]`, in float64."""
        with jax.enable_x64(True):
            return vector("centre", self.centre(jnp.asarray(float(t))))

    def potential(self, x: Array, t: Array):
        """(λ/2)|x − c(t)|², a jax function of a point and the time for `fn.Potential`."""
        return 0.5 * self.rate * jnp.sum((x - jnp.atleast_1d(jnp.asarray(self.centre(t)))) ** 2)

    def at(self, t: float) -> Gaussian:
        """N(m(t), S(t)); raises ValueError for a time before the start."""
        still = self._still.at(time_since_start(t))
        with jax.enable_x64(True):
            pulled = np.asarray(self._pulled(jnp.asarray(float(t))))
        return Gaussian(still.mean() + pulled, still.covariance())

    def formula(self, t: Array, x: Array):
        mean, covariance = self._still._moments(t, jnp)
        return gaussian_formula(x, mean + self._pulled(t), covariance)

    def _pulled(self, t: Array):
        """λ∫₀ᵗ e^{−λ(t−s)}c(s) ds `[d]`."""
        s = t * _NODES
        centres = jax.vmap(lambda at: jnp.atleast_1d(jnp.asarray(self.centre(at))))(s)
        weights = t * _WEIGHTS * self.rate * jnp.exp(-self.rate * (t - s))
        return weights @ centres
