"""Jumps: how often, and where to."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from functionals.array import Array
from jko.diffusion.arguments import instance
from jko.diffusion.density_path import DensityPath
from jko.diffusion.given_function import checked_function
from jko.diffusion.noised_mixture import NoisedMixture
from jko.diffusion.tilted_mixture import gauss_hermite
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import finite_array, positive_number, shown


class Kernel:
    """Where a jump leads: a law k(y | x, t) of the new point y, given the old one and the time.

    `draw(key, x, t)` `[d]` is a draw by a key of jax, `log_density(y, x, t)` the logarithm of the density;
    both are jax functions of points. Without a density there is no forward equation and no reversal.
    """

    def __init__(self, draw: Callable, log_density: Callable | None = None):
        if not callable(draw):
            raise TypeError(
                f"draw: expected a jax function of (key, x, t), got {type(draw).__name__}: a MixtureKernel "
                "has one"
            )
        self.draw = draw
        self.log_density = (
            None if log_density is None else checked_function("log_density", log_density, (), of="(y, x, t)")
        )

    def expectation(self, f: Callable, x: Array, t: Array) -> Array:
        """E f(y), which kernels in closed form have by quadrature."""
        raise ValueError("kernel: its expectations are not known: take a MixtureKernel or a LawKernel")


class MixtureKernel(Kernel):
    """k(y | x, t) = Σⱼ wⱼ N(y; mⱼ(x, t), s²I).

    `means(x, t)` is a jax function that returns `[k, d]`, or `[d]` for one Gaussian; `std` is s > 0 and
    `weights` `[k]` are in proportion, equal unless given. Expectations are by Gauss–Hermite quadrature.
    """

    def __init__(self, means: Callable, std: float, weights: ArrayLike | None = None):
        if not callable(means):
            raise TypeError(f"means: expected a jax function of (x, t), got {type(means).__name__}")
        self._means = checked_function(
            "means", lambda x, t: jnp.atleast_2d(jnp.asarray(means(x, t))), (None, "d")
        )
        self.std = positive_number("std", std)
        self.weights = None if weights is None else finite_array("weights", weights)
        if self.weights is not None:
            if self.weights.ndim != 1 or not self.weights.size or self.weights.min() <= 0.0:
                raise ValueError(f"weights: expected positive numbers [k], got {shown(weights)}")
            self.weights = self.weights / self.weights.sum()
        super().__init__(self._draw, self._log_density)

    def _parts(self, x: Array, t: Array):
        means = self._means(x, t)
        k = means.shape[0]
        if self.weights is not None and len(self.weights) != k:
            raise ValueError(f"weights: expected {k} of them, one for each mean, got {len(self.weights)}")
        weights = np.full(k, 1.0 / k) if self.weights is None else self.weights
        return means, jnp.asarray(np.log(weights), means.dtype)

    def _draw(self, key, x: Array, t: Array):
        means, log_weights = self._parts(x, t)
        which, noise = jax.random.split(key)
        chosen = jax.random.categorical(which, log_weights)
        return means[chosen] + self.std * jax.random.normal(noise, (means.shape[1],), means.dtype)

    def _log_density(self, y: Array, x: Array, t: Array):
        means, log_weights = self._parts(x, t)
        squares = jnp.sum((y - means) ** 2, axis=1) / self.std**2
        size = 0.5 * means.shape[1] * np.log(2.0 * np.pi * self.std**2)
        return jax.scipy.special.logsumexp(log_weights - 0.5 * squares) - size

    def expectation(self, f: Callable, x: Array, t: Array) -> Array:
        means, log_weights = self._parts(x, t)
        nodes, log_shares = gauss_hermite(TOLERANCES.kernel_nodes, means.shape[1])
        points = means[:, None] + self.std * jnp.asarray(nodes, means.dtype)
        values = jax.vmap(jax.vmap(f))(points)
        return jnp.exp(log_weights) @ values @ jnp.exp(jnp.asarray(log_shares, means.dtype))


class LawKernel(Kernel):
    """Jumps to a fresh draw of a Gaussian mixture, a `NoisedMixture` at t = 0, wherever they start."""

    def __init__(self, law: NoisedMixture):
        self.law = instance("law", law, NoisedMixture, ": PointsKernel is for points")
        super().__init__(self._draw, lambda y, x, t: law.log_density(y, 0.0))

    def expectation(self, f: Callable, x: Array, t: Array) -> Array:
        law = self.law
        nodes, log_shares = gauss_hermite(TOLERANCES.kernel_nodes, law.dimension)
        turned = np.einsum("kab,kqb->kqa", law._axes, np.sqrt(law._variances)[:, None] * nodes)
        values = jax.vmap(jax.vmap(f))(jnp.asarray(law.means[:, None] + turned, x.dtype))
        return jnp.asarray(law.weights, x.dtype) @ values @ jnp.exp(jnp.asarray(log_shares, x.dtype))

    def _draw(self, key, x: Array, t: Array):
        law = self.law
        which, noise = jax.random.split(key)
        k = jax.random.categorical(which, jnp.log(jnp.asarray(law.weights, x.dtype)))
        axes, variances, means = (
            jnp.asarray(part, x.dtype)[k] for part in (law._axes, law._variances, law.means)
        )
        return means + axes @ (jnp.sqrt(variances) * jax.random.normal(noise, means.shape, x.dtype))


class PointsKernel(Kernel):
    """Jumps to one of the points `[n, d]`, wherever they start; it has no density."""

    def __init__(self, points: ArrayLike):
        self.points = finite_array("points", points)
        if self.points.ndim != 2 or not self.points.size:
            raise ValueError(f"points: expected an array [n, d], got shape {self.points.shape}")
        super().__init__(self._draw)

    def expectation(self, f: Callable, x: Array, t: Array) -> Array:
        return jnp.mean(jax.vmap(f)(jnp.asarray(self.points, x.dtype)))

    def _draw(self, key, x: Array, t: Array):
        return jnp.asarray(self.points, x.dtype)[jax.random.randint(key, (), 0, len(self.points))]


class Jumps:
    """At rate λ(x, t) ≥ 0, a jax function of a point, from x to a draw of a `Kernel`.

    Raises TypeError for a rate that is no function and for what is no kernel.
    """

    def __init__(self, rate: Callable, kernel: Kernel):
        self.rate = checked_function("rate", rate, ())
        self.kernel = instance("kernel", kernel, Kernel, ": take a MixtureKernel, say")


def reversed_jumps(jumps: Jumps, law: DensityPath) -> Jumps:
    """The jumps of the process run backward: from y to x at the rate λ(x) k(y | x) p(x)/p(y), by cells.

    λ(x) k(y | x) p(x) is taken at the centres of the cells of the law's grid, once for each time, linear in y
    between them: of second order in the cells, and x is drawn among the cells and evenly within.
    """
    log_density = require_density(jumps.kernel)
    grid = law.grid
    cells, n = grid.points, np.array(grid.cells)

    def table(t, dtype):
        """λ(x) k(y | x) p(x) |c|, summed over x and cumulated, by y."""
        x = jnp.asarray(cells, dtype)
        rate = jnp.maximum(jax.vmap(jumps.rate, in_axes=(0, None))(x, t), 0.0)
        flow = rate * jnp.exp(jax.vmap(law.log_density, in_axes=(0, None))(x, t)) * grid.cell_volume
        each = jax.vmap(jax.vmap(log_density, in_axes=(None, 0, None)), in_axes=(0, None, None))
        total = jnp.cumsum(flow * jnp.exp(each(x, x, t)), axis=1)
        return total[:, -1], total

    def corners(y):
        """The cells around y, and the share of each."""
        # no sum after a product: see GriddedFunction
        first = jnp.asarray(grid.points[0], y.dtype)
        place = jnp.clip((y - first) / jnp.asarray(grid.spacing, y.dtype), 0.0, n - 1.0)
        low = jnp.minimum(jnp.floor(place).astype(int), n - 2)
        offsets = np.stack(np.meshgrid(*[[0, 1]] * grid.dimension, indexing="ij"), axis=-1)
        offsets = offsets.reshape(-1, grid.dimension)
        shares = jnp.prod(jnp.where(offsets == 1, place - low, 1.0 - (place - low)), axis=1)
        strides = np.append(np.cumprod(n[::-1])[-2::-1], 1) if grid.dimension > 1 else np.ones(1, int)
        return (low + offsets) @ strides, shares

    def rate(y, t):
        sums, _ = table(t, y.dtype)
        where, shares = corners(y)
        return shares @ sums[where] * jnp.exp(-law.log_density(y, t))

    def draw(key, y, t):
        first, second, third = jax.random.split(key, 3)
        sums, total = table(t, y.dtype)
        where, shares = corners(y)
        row = where[jax.random.categorical(first, jnp.log(shares * sums[where]))]
        chance = sums[row] * jax.random.uniform(second, (), y.dtype)
        cell = jnp.minimum(_first_above(total, row, chance), len(cells) - 1)
        inside = jax.random.uniform(third, (grid.dimension,), y.dtype) - 0.5
        return jnp.asarray(cells, y.dtype)[cell] + inside * jnp.asarray(grid.spacing, y.dtype)

    return Jumps(rate, Kernel(draw))


def _first_above(total, row, value):
    """The first place in a row of increasing numbers `[m, n]` that is above a value, by halving."""
    low, high = jnp.zeros((), int), jnp.full((), total.shape[1], int)
    for _ in range(int(np.ceil(np.log2(total.shape[1]))) + 1):
        middle = (low + high) // 2
        above = total[row, jnp.minimum(middle, total.shape[1] - 1)] > value
        low, high = jnp.where(above | (low >= high), low, middle + 1), jnp.where(above, middle, high)
    return low


def require_density(kernel: Kernel) -> Callable:
    """log k(y | x, t), refused where the kernel has none."""
    if kernel.log_density is None:
        raise ValueError(
            "kernel: expected one with a log_density(y, x, t): the forward equation and the reversal need it"
        )
    return kernel.log_density
