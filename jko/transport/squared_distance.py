"""Half the squared distance to a given measure, as a functional: barycentres and interpolation as flows."""

from __future__ import annotations

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
            jax.ShapeDtypeStruct((size,), x.dtype),
            jax.ShapeDtypeStruct((mu.n,), x.dtype),
        )
        frozen = (jax.lax.stop_gradient(a) for a in (x, w, y, b))
        rows, columns, sent, potential = jax.pure_callback(_plan, shapes, *frozen, vmap_method="sequential")
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


def _plan(x, w, y, b):
    """An optimal plan for ½|x − y|² as (rows, columns, weights), padded to n + m, and the potential at x."""
    from jko.transport.distances.atoms import plan_between_atoms

    first, second = (np.asarray(a, dtype=float) for a in (x, y))
    found = plan_between_atoms(first, _of_sum_one(w), second, _of_sum_one(b))
    missing = len(x) + len(y) - len(found.rows)
    rows, columns = (np.pad(a, (0, missing)).astype(np.int32) for a in (found.rows, found.columns))
    weights = np.pad(found.weights, (0, missing)).astype(x.dtype)
    return rows, columns, weights, (0.5 * found.first).astype(x.dtype)


def _of_sum_one(weights) -> np.ndarray:
    weights = np.asarray(weights, dtype=float)
    return weights / weights.sum()
