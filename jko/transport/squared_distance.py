"""Half the squared distance to a given measure, as a functional: barycentres and interpolation as flows."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import functionals as fn
from functionals import Functional
from functionals.sliced import (
    order_of,
    require_measure,
    require_same_dimension,
    squared_distance_on_the_line,
)
from jko.measures import Measure, Particles


@fn.register("squared_distance")
class SquaredDistance(Functional):
    """F(ρ) = ½W₂²(ρ, ν): δF/δρ is the Kantorovich potential, ∇_W F = x − T(x), T the optimal map to ν.

    Its flow runs along the geodesic to ν by an exponential clock, ρ_t = ((1 − s)id + sT)_#ρ₀ with s = 1 −
    e^{−t} [AmbrosioGigliSavare2008]; Σλᵢ SquaredDistance(νᵢ) with Σλᵢ = 1 flows to the barycentre
    [AguehCarlier2011]. `target` is ν. Clouds are matched to clouds, exactly: by their order on the line, else
    by the network simplex [BonneelEtAl2011]; every other pair as `jko.wasserstein` does. Of a measure of mass
    M it is that of ρ/M, so that ∫δF/δρ dρ = 0 and no mass is wanted. Convex along mixtures; on the line
    1-convex along geodesics, in more dimensions not.
    """

    example = "jko.transport.SquaredDistance(jko.Gaussian.of(0.0, 1.0, dimension=1).sample(50, seed=1))"
    linearly_convex = True

    def __init__(self, target: Measure):
        require_measure(target)
        self.target: Any = target

    def energy(self, mu):
        require_same_dimension(self.target, mu)
        if isinstance(mu, Particles) and isinstance(self.target, Particles):
            return self._between_clouds(mu)
        from jko.transport.wasserstein import wasserstein

        return 0.5 * float(wasserstein(_of_mass_one(mu), self.target)) ** 2

    def _between_clouds(self, mu: Particles):
        x = jnp.asarray(mu.positions)
        y, b = (jnp.asarray(a, x.dtype) for a in (self.target.positions, self.target.weights))
        w = jnp.asarray(mu.weights, x.dtype)
        w = w / jnp.sum(w)
        if mu.dimension == 1:
            order = order_of(y[:, 0])
            line = x[:, 0]
            return 0.5 * squared_distance_on_the_line(line, order_of(line), w, y[order, 0], b[order])
        size = mu.n + self.target.n
        shapes = (
            *(jax.ShapeDtypeStruct((size,), jnp.int32),) * 2,
            *(jax.ShapeDtypeStruct((n, x.dtype.itemsize // 4), jnp.uint32) for n in (size, mu.n)),
        )
        frozen = (_as_bits(jax.lax.stop_gradient(a)) for a in (x, w, y, b))
        plan = partial(_plan, x.dtype)
        rows, columns, *bits = jax.pure_callback(plan, shapes, *frozen, vmap_method="sequential")
        sent, potential = (_from_bits(a, x.dtype) for a in bits)
        cost = 0.5 * jnp.sum(sent * jnp.sum((x[rows] - y[columns]) ** 2, axis=1))
        # the plan is optimal, so that weights change the cost by the potential
        return cost + jnp.sum(potential * (w - jax.lax.stop_gradient(w)))

    def first_variation(self, mu):
        if isinstance(mu, Particles) and isinstance(self.target, Particles):
            return super().first_variation(mu)
        from jko.transport.wasserstein import wasserstein

        require_same_dimension(self.target, mu)
        if mu.is_periodic:
            raise ValueError(
                f"measure: {self!r} has no potentials on a torus, got {mu!r}: take a box, or "
                "fn.EnergyDistance or fn.MMD with a periodic kernel"
            )
        potential = wasserstein(_of_mass_one(mu), self.target).potentials[0]
        values = np.ravel(potential(mu.points) if callable(potential) else potential)
        masses = np.asarray(mu.masses, dtype=float).ravel()
        return mu.at_points((values - masses @ values / masses.sum()) / masses.sum())

    def wasserstein_gradient(self, mu):
        if isinstance(mu, Particles) and isinstance(self.target, Particles):
            return super().wasserstein_gradient(mu)
        from jko.transport.maps.brenier import brenier_map

        require_same_dimension(self.target, mu)
        points = np.asarray(mu.points)
        moved = points - brenier_map(_of_mass_one(mu), self.target)(points)
        return mu.at_points(moved / np.sum(mu.masses))

    def displacement_modulus(self, dimension: int):
        return 1.0 if dimension == 1 else None

    def __repr__(self):
        return f"SquaredDistance({self.target!r})"


def _of_mass_one(mu: Any) -> Any:
    """A measure divided by its mass, itself where that is 1."""
    return mu if float(getattr(mu, "mass", 1.0)) == 1.0 else mu.normalized()


def _as_bits(x):
    """The bits of x `[...]` as words `[..., 1 or 2]`: jax hands float64 to a callback, and takes it back, as
    float32 where the thread that calls has not been told of it."""
    words = jax.lax.bitcast_convert_type(x, jnp.uint32)
    return words if x.dtype.itemsize == 8 else words[..., None]


def _from_bits(words, dtype):
    """What `_as_bits` was made of."""
    return jax.lax.bitcast_convert_type(words if dtype.itemsize == 8 else words[..., 0], dtype)


def _plan(dtype, *bits):
    """An optimal plan for ½|x − y|² between weights w at x and b at y, as (rows, columns, weights), padded to
    n + m, and the potential at x; numbers come and go as bits."""
    from jko.transport.distances.atoms import plan_between_atoms

    words = (np.ascontiguousarray(a) for a in bits)
    x, w, y, b = (a.view(dtype)[..., 0].astype(float) for a in words)
    found = plan_between_atoms(x, _of_sum_one(w), y, _of_sum_one(b))
    missing = len(x) + len(y) - len(found.rows)
    rows, columns = (np.pad(a, (0, missing)).astype(np.int32) for a in (found.rows, found.columns))
    numbers = np.pad(found.weights, (0, missing)), 0.5 * found.first
    return rows, columns, *(a.astype(dtype)[:, None].view(np.uint32) for a in numbers)


def _of_sum_one(weights) -> np.ndarray:
    weights = np.asarray(weights, dtype=float)
    return weights / weights.sum()
