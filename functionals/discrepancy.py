"""Maximum mean discrepancy to a target measure."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np

from functionals import pointwise
from functionals.algebra import Composite
from functionals.array import Array
from functionals.base import Functional
from functionals.interaction import Interaction
from functionals.potential import Potential
from functionals.registry import register

_CHUNK = 256  # points of the target summed at a time: memory is n × 256


@register("mmd")
class MMD(Composite):
    """F(ρ) = ½‖ρ − ν‖²_k = ½∬k(x − y) d(ρ − ν)(x) d(ρ − ν)(y), half of MMD² [GrettonEtAl2012].

    δF/δρ = k∗ρ − k∗ν up to a constant and ∇_W F = ∇k∗ρ − ∇k∗ν [ArbelKorbaSalimGretton2019]. F dissolves into
    Interaction(k) + Potential(½∬k dνdν − k∗ν), so every scheme that takes those two takes it. `target` is a
    measure: `Particles`, a `Density`, or a `Gaussian` (in closed form under the kernel "gaussian", else by
    its nodes). `kernel` is a name with its parameters as for `Interaction`, or a function of a difference
    with `linearly_convex=True`; it must be positive definite, if only on zero-mass differences as −|z| is,
    `MMD(target, "power", exponent=1.0, strength=-1.0)`: F is then half of the squared energy
    distance, `EnergyDistance`.

    F is convex in ρ, and not along geodesics: the flow may stop short of ν, which
    `descent.NoiseInjection` counters. Raises TypeError for a target that is no measure, ValueError for a
    kernel that is not positive definite or infinite at 0.
    """

    example = "fn.MMD(jko.Gaussian.of(0.0, 1.0, dimension=1))"
    linearly_convex = True

    def __init__(self, target, kernel: Callable | str = "gaussian", **parameters):
        if not all(hasattr(target, name) for name in ("points", "masses", "difference_integrate")):
            raise TypeError(
                f"target: expected a measure such as jko.Particles(points), got {type(target).__name__}"
            )
        self.target = target
        self.interaction = Interaction(kernel, **parameters)
        if self.interaction.general or self.interaction.linearly_convex is not True:
            raise ValueError(
                f"kernel: expected a positive definite one, got {self.interaction!r}: take 'gaussian', or "
                "declare it with linearly_convex=True"
            )
        if not np.isfinite(pointwise.values(self.interaction.W, np.zeros((1, target.dimension)))[0]):
            raise ValueError(
                f"kernel: {self.interaction!r} is infinite at 0, where a discrepancy between samples has no "
                "meaning: take 'gaussian', or 'power' with a positive exponent"
            )
        width = parameters.get("width", 1.0) if kernel == "gaussian" else None
        self._scale = None if width is None else (float(parameters.get("strength", 1.0)), float(width))

    @cached_property
    def potential(self):
        """Potential(½∬k dνdν − k∗ν)."""
        offset = 0.5 * float(self.target.difference_integrate(self.interaction.W))
        if self._scale is not None and hasattr(self.target, "log_density_function"):
            return Potential(_SmoothedGaussian(self.target, *self._scale, offset), modulus=self._dent)
        return Potential(MeanEmbedding(self.target, self.interaction, offset), modulus=self._dent)

    @property
    def _dent(self):
        """The least that an eigenvalue of −D²k∗ν can be: −2e^{−3/2}s/w² for k = s exp(−|z|²/2w²)."""
        return None if self._scale is None else -2.0 * math.exp(-1.5) * self._scale[0] / self._scale[1] ** 2

    @cached_property
    def _terms(self):
        return (1.0, self.interaction), (1.0, self.potential)

    def __repr__(self):
        return f"MMD({self.target!r}, {self.interaction!r})"


@register("energy_distance")
class EnergyDistance(MMD):
    """F(ρ) = E|X − Y| − ½E|X − X′| − ½E|Y − Y′|, X, X′ ~ ρ and Y, Y′ ~ ν: half of the squared energy distance
    to ν [SzekelyRizzo2013].

    The `MMD` of the kernel −|z|, with its engines. On the line F = ∫(F_ρ − F_ν)² dx and quantiles move by
    Q′(q) = 2(q − F_ν(Q(q))). `target` is ν, a measure.
    """

    example = "fn.EnergyDistance(jko.Gaussian.of(0.0, 1.0, dimension=1).sample(50, seed=1))"

    def __init__(self, target):
        super().__init__(target, "power", exponent=1.0, strength=-1.0)

    def __repr__(self):
        return f"EnergyDistance({self.target!r})"


class MeanEmbedding:
    """x ↦ c − Σ_j b_j k(x − y_j), its gradient likewise by chunks: memory does not grow with n × m.

    `W` is k, `points` `[m, d]` the y, `masses` `[m]` the b and `offset` c: for sums that are taken in another
    way than by jax, as `summation` says.
    """

    def __init__(self, target, interaction: Functional, offset: float):
        W, self.summation = interaction.W, interaction.summation
        masses = np.asarray(target.masses, dtype=float).ravel()
        points = np.asarray(target.points, dtype=float)[masses > 0.0]
        masses, chunk = masses[masses > 0.0], min(_CHUNK, len(points))
        self.W, self.points, self.masses, self.offset = W, points, masses, offset
        missing = -len(points) % chunk
        padded = np.concatenate([points, np.repeat(points[-1:], missing, axis=0)])
        self._chunks = (
            padded.reshape(-1, chunk, points.shape[1]),
            np.concatenate([masses, np.zeros(missing)]).reshape(-1, chunk),
        )

        @jax.custom_jvp
        def value(x: Array):
            return jnp.asarray(offset, x.dtype) - self._sum(self._values, x, jnp.zeros((), x.dtype))

        def slope(x: Array):
            return -self._sum(self._slopes, x, jnp.zeros_like(x))

        value.defjvp(lambda primals, tangents: (value(*primals), slope(*primals) @ tangents[0]))
        self._value = value

    def _sum(self, f: Callable, x: Array, zero: Array):
        def add(total: Array, chunk: tuple):
            y, b = chunk
            # coordinates one by one: each is a loop over pairs without vectors of d
            return total + f([x[i] - y[:, i] for i in range(len(x))], b), None

        # in the precision of x from the start: one loop must not be traced for two of them
        chunks = tuple(jnp.asarray(array, x.dtype) for array in self._chunks)
        return jax.lax.scan(add, zero, chunks)[0]

    def _values(self, z: list, b: Array):
        """Σ_j b_j k(z_j), of the coordinates of z, `[m]` each."""
        if hasattr(self.W, "of_square"):
            return self.W.of_square(_squares(z)) @ b
        return jax.vmap(pointwise.scalar(self.W), -1)(jnp.stack(z)) @ b

    def _slopes(self, z: list, b: Array):
        """Σ_j b_j ∇k(z_j) `[d]`, 0 at z = 0 as it is for an even kernel, whatever a kink there gives."""
        if not hasattr(self.W, "of_square"):
            gradient = partial(_gradient_off_zero, pointwise.scalar(self.W))
            return jax.vmap(gradient, -1, -1)(jnp.stack(z)) @ b
        squares = _squares(z)
        away = squares > 0
        apart = jnp.where(away, squares, 1)
        slopes = jax.jvp(self.W.of_square, (apart,), (2 * b,))[1]
        slopes = jnp.where(away, slopes, 0)
        return jnp.stack([coordinates @ slopes for coordinates in z])

    def __call__(self, x: Array):
        _require_dimension(x, self.points.shape[-1])
        return self._value(x)

    def __repr__(self):
        return "mean embedding of the target"


def _squares(z: list):
    """|z|² of coordinates."""
    return sum((coordinates**2 for coordinates in z[1:]), z[0] ** 2)


def _require_dimension(x: Array, dimension: int) -> None:
    """Refuse a point `[d]` of another dimension than the target's: it would be broadcast."""
    if x.shape != (dimension,):
        raise ValueError(
            f"target: expected a measure in {x.shape[-1]}D like the one it is compared with, got {dimension}D"
        )


def _gradient_off_zero(kernel: Callable, z: Array):
    """∇k(z), 0 at z = 0 as it is for an even kernel, whatever a kink there gives."""
    away = jnp.any(z != 0)
    slope = jax.grad(kernel)(jnp.where(away, z, jnp.ones_like(z)))
    return jnp.where(away, slope, jnp.zeros_like(slope))


class _SmoothedGaussian:
    """x ↦ c − k∗ν for ν = N(m, Σ) and k(z) = s exp(−|z|²/2w²): a Gaussian of covariance Σ + w²I."""

    def __init__(self, target, strength: float, width: float, offset: float):
        covariance = np.asarray(target.covariance(), dtype=float)
        wide = covariance + width**2 * np.eye(len(covariance))
        self.mean, self.precision = np.asarray(target.mean(), dtype=float), np.linalg.inv(wide)
        self.peak = strength * width ** len(wide) / math.sqrt(np.linalg.det(wide))
        self.offset = offset

    def __call__(self, x: Array):
        _require_dimension(x, len(self.mean))
        z = x - jnp.asarray(self.mean, x.dtype)
        return self.offset - self.peak * jnp.exp(-0.5 * z @ jnp.asarray(self.precision, x.dtype) @ z)

    def __repr__(self):
        return "mean embedding of the target"
