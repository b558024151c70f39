"""Conditional Gaussian paths, and the exact flow that they average to."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jko.diffusion.arguments import cloud, instance, moment, point
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import positive_number
from jko.measures import Gaussian, Particles


class GaussianPath:
    """Laws N(m(x₁, t), Σ(x₁, t)) that lead from a source at t = 0 to near a data point x₁ at t = 1.

    `mean(x1, t)` `[d]` and `covariance(x1, t)` `[d, d]`, positive definite on [0, 1], are jax functions of a
    point; at t = 0 they must not depend on x₁. The law moves along u = ṁ + A(x − m), A symmetric with
    AΣ + ΣA = Σ̇: of all fields that do, the gradient, with the least kinetic energy [LipmanEtAl2023].
    Raises TypeError for what is no function, ValueError for values of another shape and times outside [0, 1].
    """

    def __init__(self, mean: Callable, covariance: Callable):
        self.mean = checked_function("mean", mean, of="(x1, t)")
        self.covariance = checked_function("covariance", covariance, ("d", "d"), of="(x1, t)")

    @classmethod
    def displacement(cls, source: Gaussian, std: float = 0.05) -> GaussianPath:
        """The W₂ geodesics from a Gaussian to N(x₁, std² I): root covariance (1 − t)Σ^½ + t std I."""
        values, axes = np.linalg.eigh(instance("source", source, Gaussian).covariance())
        std, start = positive_number("std", std), source.mean()

        def covariance(x1, t):
            spread, turn = jnp.asarray(np.sqrt(values), x1.dtype), jnp.asarray(axes, x1.dtype)
            return turn @ jnp.diag(((1.0 - t) * spread + t * std) ** 2) @ turn.T

        return cls(lambda x1, t: (1.0 - t) * jnp.asarray(start, x1.dtype) + t * x1, covariance)

    def velocity(self, x, t, x1):
        """u(x, t | x₁) `[d]`, a jax function of points."""
        x, x1, t = self._read(x, x1, t)
        m, rate = self._with_rate(self.mean, x1, t)
        S, growth = self._with_rate(self.covariance, x1, t)
        values, axes = jnp.linalg.eigh(S)
        A = (axes.T @ growth @ axes) / (values[:, None] + values)
        return rate + axes @ (A @ (axes.T @ (x - m)))

    def log_density(self, x, t, x1):
        """log N(x; m, Σ), a jax function of points."""
        x, x1, t = self._read(x, x1, t)
        root = jnp.linalg.cholesky(self.covariance(x1, t))
        z = jax.scipy.linalg.solve_triangular(root, x - self.mean(x1, t), lower=True)
        return -0.5 * (z @ z + z.size * jnp.log(2.0 * jnp.pi)) - jnp.sum(jnp.log(jnp.diag(root)))

    def draw(self, x1, t, noise):
        """(x, u(x, t | x₁)) for x = m + Lε, LLᵀ = Σ."""
        x = self.mean(x1, t) + jnp.linalg.cholesky(self.covariance(x1, t)) @ noise
        return x, self.velocity(x, t, x1)

    def source(self, data) -> Gaussian:
        """The law at t = 0; raises ValueError where it depends on the data points `[n, d]`, or is none."""
        for function in (self.mean, self.covariance):
            probe(function, data.shape[1])
        with jax.enable_x64(True):
            points = jnp.asarray(data, jnp.float64)
            moments = [
                np.asarray(jax.vmap(function, in_axes=(0, None))(points, 0.0))
                for function in (self.mean, self.covariance)
            ]
        spread = float(np.sqrt(np.trace(moments[1][0])))
        sizes = np.array([spread, spread**2]), moments
        if any(
            np.abs(each - each[0]).max() > TOLERANCES.same_source * size
            for size, each in zip(*sizes, strict=True)
        ):
            raise ValueError("mean, covariance: expected the same at t = 0 for every x1: one source")
        return Gaussian(*(of_each[0] for of_each in moments))

    def marginal(self, data: Particles) -> MarginalPath:
        """What the conditional laws average to over a cloud of data, exactly."""
        cloud("data", data)
        self.source(np.asarray(data.positions))
        return MarginalPath(self, data)

    @staticmethod
    def _read(x, x1, t):
        x = point("x", x)
        t = moment(t, 0.0, 1.0)
        return x, point("x1", x1, x.size), t.astype(x.dtype)

    @staticmethod
    def _with_rate(function, x1, t):
        return jax.jvp(lambda s: function(x1, s), (t,), (jnp.ones_like(t),))


class MarginalPath:
    """pₜ = Σ wᵢ N(m(xᵢ, t), Σ(xᵢ, t)), and the velocity E[u | x] that carries it: what flow matching learns.

    `log_density(x, t)` and `velocity(x, t)` `[d]` are jax functions of a point, at the cost of a sum over the
    cloud.
    """

    known_times = (0.0, 1.0)

    def __init__(self, path: GaussianPath, data: Particles):
        self._path = path
        self._points, self._log_weights = np.asarray(data.positions, float), np.log(np.asarray(data.weights))

    def log_density(self, x, t):
        """log pₜ(x)."""
        x = point("x", x, self._points.shape[1])
        return jax.scipy.special.logsumexp(self._log_parts(x, t))

    def velocity(self, x, t):
        """Σᵢ P(xᵢ | x) u(x, t | xᵢ)."""
        x = point("x", x, self._points.shape[1])
        share = jax.nn.softmax(self._log_parts(x, t))
        return share @ jax.vmap(self._path.velocity, in_axes=(None, None, 0))(
            x, t, jnp.asarray(self._points, x.dtype)
        )

    def _log_parts(self, x, t):
        each = jax.vmap(self._path.log_density, in_axes=(None, None, 0))
        return each(x, t, jnp.asarray(self._points, x.dtype)) + jnp.asarray(self._log_weights, x.dtype)
