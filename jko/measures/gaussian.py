"""Gaussian measures, the closed-form world."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from functionals import Functional, pointwise
from functionals.array import Array
from functionals.quadratic_form import quadratic_form
from jko.errors import finite_array, own_array, positive_number, seed_number, whole_number
from jko.measures import fields
from jko.measures.line_grid import LineGrid
from jko.measures.measure import Measure

# standard deviations between nodes, and to the last, beyond which lies 1e-19
_NODE_SPACING, _NODE_REACH = 0.3, 9.0
_SEEN = 6.0  # standard deviations of the box that holds what is to be seen
_SAME = 1e-10  # of ∫|V|: two sums that agree so well are the integral
_MOST_NODES = 2**17  # beyond, the nodes are not halved again: a kink then leaves 1e-9 in 1D, 1e-4 in 3D


class Gaussian(Measure):
    """N(m, Σ) with m `[d]` and Σ `[d, d]` symmetric positive definite, in any dimension.

    Integrals of quadratic functions and the entropy are exact in any d; others, for d ≤ 3, are trapezoidal
    sums at nodes in whitened coordinates (spacing 0.3 to ±9σ: spectrally accurate for smooth functions), and
    integrals of V and W at ever closer ones until two sums agree.
    A scalar mean or covariance is a Gaussian in one dimension; `Gaussian.of(mean, std)` takes a std.
    """

    def __init__(self, mean: ArrayLike, covariance: ArrayLike):
        if isinstance(mean, jax.core.Tracer) or isinstance(covariance, jax.core.Tracer):
            self._mean, self._covariance = mean, covariance
            return
        m = own_array(np.atleast_1d(finite_array("mean", mean)), mean)
        S = finite_array("covariance", covariance)
        S = S.reshape(1, 1) if S.ndim == 0 else S
        if m.ndim != 1 or S.shape != (len(m), len(m)):
            raise ValueError(
                f"covariance: expected shape {(len(m), len(m))} to match the mean, got {S.shape}"
            )
        if not np.allclose(S, S.T) or np.linalg.eigvalsh(S).min() <= 0:
            raise ValueError(
                "covariance: expected a symmetric positive definite matrix; its least eigenvalue is "
                f"{np.linalg.eigvalsh(0.5 * (S + S.T)).min():g}"
            )
        self._mean, self._covariance = m, 0.5 * (S + S.T)

    @classmethod
    def of(
        cls, mean: float | tuple, std: float | None = None, *, covariance=None, dimension: int | None = None
    ) -> Gaussian:
        """N(mean, std² I) or N(mean, covariance); a scalar mean is repeated in `dimension` dimensions."""
        m = np.atleast_1d(finite_array("mean", mean))
        m = np.full(dimension, m[0]) if dimension and m.size == 1 else m
        if dimension and m.shape != (dimension,):
            raise ValueError(f"mean: expected {dimension} numbers, got {m.size}")
        if (std is None) == (covariance is None):
            raise ValueError("a Gaussian needs either std or covariance: give one of them")
        if std is not None:
            stds = np.broadcast_to(finite_array("std", std), m.shape)
            covariance = np.diag([positive_number("std", float(s)) ** 2 for s in stds])
        return cls(m, np.eye(len(m)) * covariance if np.ndim(covariance) == 0 else covariance)

    mass = 1.0

    def packed(self):
        return {"mean": self.mean(), "covariance": self.covariance()}

    def unpacked(self, arrays):
        return Gaussian(arrays["mean"], arrays["covariance"])

    @classmethod
    def fields_of(cls, measures: list):
        means, covariances = (
            np.stack(part) for part in zip(*((mu.mean(), mu.covariance()) for mu in measures))
        )
        return (
            {"mean": (("time", "axis"), means), "covariance": (("time", "axis", "axis2"), covariances)},
            {},
            {},
        )

    @classmethod
    def from_fields(cls, dataset):
        return [cls(m, S) for m, S in zip(dataset["mean"].values, dataset["covariance"].values, strict=True)]

    @property
    def extent(self):
        spread = _SEEN * np.sqrt(np.diag(self.covariance()))
        return self.mean() - spread, self.mean() + spread

    @property
    def dimension(self) -> int:
        """The dimension d of the points."""
        return len(self._mean)

    def mean(self) -> np.ndarray:
        return self._mean

    def covariance(self) -> np.ndarray:
        return self._covariance

    @cached_property
    def _root(self) -> np.ndarray:
        return np.linalg.cholesky(self._covariance)

    @cached_property
    def _nodes(self):
        return self._nodes_apart(_NODE_SPACING)

    def _nodes_apart(self, spacing: float):
        if self.dimension > 3:
            raise ValueError(
                f"a Gaussian in {self.dimension} dimensions integrates quadratic functions only: "
                "sample it into Particles"
            )
        line = np.arange(-_NODE_REACH, _NODE_REACH + 0.5 * spacing, spacing)
        z = np.stack(np.meshgrid(*[line] * self.dimension, indexing="ij"), axis=-1).reshape(
            -1, self.dimension
        )
        weights = np.exp(-0.5 * np.sum(z**2, axis=1))
        keep = weights > 1e-18
        return self._mean + z[keep] @ self._root.T, weights[keep] / weights[keep].sum()

    @property
    def points(self):
        return self._nodes[0]

    @property
    def masses(self):
        return self._nodes[1]

    def integrate(self, V: Callable):
        form = quadratic_form(V, self.dimension, self._mean)
        if form is not None:
            return form.c + 0.5 * np.trace(form.A @ self._covariance)
        spacing, coarse = _NODE_SPACING, self._summed(V, 2.0 * _NODE_SPACING)[0]
        while True:
            fine, size, nodes = self._summed(V, spacing)
            if abs(fine - coarse) <= _SAME * size or nodes > _MOST_NODES:
                return fine
            spacing, coarse = 0.5 * spacing, fine

    def _summed(self, V: Callable, spacing: float):
        """The sum of V over nodes so far apart, that of |V|, and the number of nodes."""
        points, weights = self._nodes_apart(spacing)
        values = pointwise.values(V, points)
        return float(weights @ values), float(weights @ np.abs(values)), len(points)

    def difference_integrate(self, W: Callable):
        self._refuse_singular(W)
        return Gaussian(np.zeros(self.dimension), 2.0 * self._covariance).integrate(W)

    def convolve(self, W: Callable):
        self._refuse_singular(W)
        return super().convolve(W)

    def convolve_gradient(self, W: Callable):
        self._refuse_singular(W)
        return super().convolve_gradient(W)

    def _refuse_singular(self, W: Callable):
        if fields.is_singular(W, self.dimension):
            raise ValueError(
                "a kernel that is infinite at 0 is not integrated on a Gaussian: use a Density or Particles"
            )

    def density_values(self):
        return np.exp(self.log_density(self.points))

    def integrate_internal(self, U: Functional):
        if getattr(U, "is_entropy", False):
            return -0.5 * (self.dimension * math.log(2.0 * math.pi * math.e) + self._log_determinant)
        exponent = getattr(U, "m", None)
        if exponent is not None:
            # ∫ρ^m of a Gaussian, whose tails a sum at nodes would cut off for m < 1
            log_integral = (
                0.5 * (1.0 - exponent) * (self.dimension * math.log(2.0 * math.pi) + self._log_determinant)
            )
            return math.exp(log_integral - 0.5 * self.dimension * math.log(exponent)) / (exponent - 1.0)
        density = self.density_values()
        return (self.masses * U.density(density) / density).sum()

    def internal_gradient(self, U: Functional):
        density = self.density_values()
        return (U.second_derivative(density) * density)[:, None] * self._score

    def integrate_squared_gradient(self, F: Functional):
        density, score = self.density_values(), self._score
        return (self.masses * F.slope(density) ** 2 * density * np.sum(score**2, axis=1)).sum()

    def laplacian(self, F: Functional):
        density, squared = self.density_values(), np.sum(self._score**2, axis=1)
        curvature = squared - np.trace(np.linalg.inv(self._covariance))
        return F.bend(density) * density**2 * squared + F.slope(density) * density * curvature

    def gradient_of_variation(self, F: Functional):
        return pointwise.gradients(F.first_variation_function(self), self.points)

    @property
    def _score(self) -> np.ndarray:
        """∇log ρ at the nodes `[n, d]`."""
        return -np.linalg.solve(self._covariance, (self.points - self._mean).T).T

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """log ρ at points `[n, d]`."""
        z = np.linalg.solve(self._root, (np.atleast_2d(x) - self._mean).T)
        return -0.5 * (
            np.sum(z**2, axis=0) + self.dimension * math.log(2.0 * math.pi) + self._log_determinant
        )

    @cached_property
    def _log_determinant(self) -> float:
        return 2.0 * float(np.log(np.diag(self._root)).sum())

    @cached_property
    def log_density_function(self):
        """log ρ as a jax function of a point `[d]`."""
        precision = np.linalg.inv(self._covariance)
        shift = -0.5 * (self.dimension * math.log(2.0 * math.pi) + self._log_determinant)

        def log_density(x: Array):
            away = x - jnp.asarray(self._mean, x.dtype)
            return shift - 0.5 * away @ jnp.asarray(precision, x.dtype) @ away

        return log_density

    @property
    def log_concavity(self) -> float:
        """λ of V = −log ρ, the least eigenvalue of Σ⁻¹."""
        return float(1.0 / np.linalg.eigvalsh(self._covariance).max())

    def vertical_derivative(self, energy: Callable):
        raise ValueError(
            "a user's functional is differentiated on a Density or on Particles: use mu.on(grid) or mu.sample"
        )

    def horizontal_derivative(self, energy, first_variation):
        return self.vertical_derivative(energy)

    def sample(self, n: int, seed: int):
        """n particles of equal weight."""
        from jko.measures.particles import Particles

        z = np.random.default_rng(seed_number("seed", seed)).standard_normal(
            (whole_number("n", n), self.dimension)
        )
        return Particles(self._mean + z @ self._root.T)

    def on(self, grid):
        """The density by its values at a grid's centres, normalised to mass 1; in a room that inside.

        Raises ValueError where next to nothing is on the grid, or less than half in the room.
        """
        if grid.dimension != self.dimension:
            raise ValueError(
                f"grid: expected dimension {self.dimension}, the Gaussian's, got {grid.dimension}"
            )
        if isinstance(grid, LineGrid) and grid.radial and not grid.shows_radial(self.log_density):
            raise ValueError(
                f"the Gaussian of mean {self._mean.tolist()} is no function of |x| alone, as a radial grid "
                "needs: take the mean 0 and one std, or Grid.uniform"
            )
        values = np.exp(self.log_density(grid.points)).reshape(grid.cells)
        if not np.sum(values * grid.cell_volume) > 1e-12:
            raise ValueError(
                f"the Gaussian of mean {self._mean.tolist()} has no mass on the grid {grid!r}: move the grid"
            )
        within = values * grid.inside
        if not 2.0 * within.sum() >= values.sum():
            raise ValueError(
                f"the room cuts {1.0 - within.sum() / values.sum():.0%} of the Gaussian of mean "
                f"{self._mean.tolist()} off: move the mean inside, or make the room larger"
            )
        return grid.density(within).normalized()

    def __repr__(self) -> str:
        return f"Gaussian({self._mean.tolist()}, {self._covariance.tolist()})"
