"""The sliced Wasserstein distance to data."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from functionals.base import Functional
from functionals.registry import register


def require_measure(target) -> None:
    """Refuse a target without points and masses."""
    if not all(hasattr(target, name) for name in ("points", "masses", "dimension")):
        raise TypeError(
            f"target: expected a measure such as jko.Particles(points), got {type(target).__name__}"
        )


def require_same_dimension(target, mu) -> None:
    """Refuse a measure of another dimension than the target's."""
    if target.dimension != mu.dimension:
        raise ValueError(
            f"target: expected a measure in {mu.dimension}D like the one it is compared with, "
            f"got {target.dimension}D"
        )


def order_of(x):
    """The order along the last axis; by numpy where x is known, which a compiler takes minutes to sort."""
    return jnp.argsort(x) if isinstance(x, jax.core.Tracer) else np.argsort(x, axis=-1, kind="stable")


def squared_distance_on_the_line(x, order, w, y, b):
    """W₂² of Σ wᵢδ_{xᵢ}, of which `order` is the order, and Σ b_jδ_{y_j}, y in order, in jax: quantiles
    matched level by level, each sum of weights divided by itself."""
    x, first = x[order], jnp.cumsum(w[order])
    second = jnp.cumsum(b)
    first, second = first / first[-1], second / second[-1]
    levels = jnp.concatenate([first, second])
    ranks = jnp.argsort(levels)
    levels = levels[ranks]
    before = jnp.concatenate([jnp.zeros(1, levels.dtype), levels[:-1]])
    # below the k-th level lie as many ends of steps of either quantile function as came before it
    of_first = (ranks < x.size).astype(ranks.dtype)
    passed = jnp.cumsum(of_first) - of_first
    rows = jnp.minimum(passed, x.size - 1)
    columns = jnp.minimum(jnp.arange(levels.size) - passed, y.size - 1)
    return jnp.sum((levels - before) * (x[rows] - y[columns]) ** 2)


@register("sliced_wasserstein")
class SlicedWasserstein(Functional):
    """F(ρ) = ½ mean over θ of W₂²(θ#ρ, θ#ν), the sliced Wasserstein distance to ν
    [BonneelRabinPeyrePfister2015].

    θ#ρ is ρ projected on a line, where W₂ is by quantiles. `target` is ν, a measure by its points and masses,
    `directions` the number of θ, evenly spread in the plane, drawn from `seed` in more dimensions. ∇_W F is
    the mean of θ(θ·x − T_θ(θ·x)), T_θ the monotone map. Convex along mixtures, as W₂² is; on the line it is
    ½W₂², 1-convex along geodesics.
    """

    example = "fn.SlicedWasserstein(jko.Gaussian.of(0.0, 1.0, dimension=1).sample(50, seed=1))"
    linearly_convex = True

    def __init__(self, target, directions: int = 50, seed: int = 0):
        require_measure(target)
        if not isinstance(directions, int) or directions < 1:
            raise ValueError(f"directions must be a whole number of at least 1, got {directions!r}")
        self.target, self.directions, self.seed = target, directions, seed
        masses = np.asarray(target.masses, dtype=float).ravel()
        points = np.asarray(target.points, dtype=float)[masses > 0.0]
        masses = masses[masses > 0.0] / masses.sum()
        self.axes = _directions(target.dimension, directions, seed)
        projected = points @ self.axes.T
        order = np.argsort(projected, axis=0)
        self._points = np.take_along_axis(projected, order, axis=0).T.copy()
        self._masses = masses[order].T.copy()

    def energy(self, mu):
        require_same_dimension(self.target, mu)
        x, w = jnp.asarray(mu.points), jnp.asarray(mu.masses)
        w = w / jnp.sum(w)  # no mass is wanted
        known = not isinstance(mu.points, jax.core.Tracer)
        points, lines = (np.asarray(mu.points), self.axes) if known else (x, jnp.asarray(self.axes, x.dtype))
        projected = (points @ lines.T).T.astype(x.dtype)
        ordered, masses = jnp.asarray(self._points, x.dtype), jnp.asarray(self._masses, x.dtype)
        squared = jax.vmap(squared_distance_on_the_line, in_axes=(0, 0, None, 0, 0))(
            projected, order_of(projected), w.astype(x.dtype), ordered, masses
        )
        return 0.5 * jnp.mean(squared)

    def displacement_modulus(self, dimension: int):
        return 1.0 if dimension == 1 else None

    def __repr__(self):
        return f"SlicedWasserstein({self.target!r}, directions={self.directions})"


def _directions(dimension: int, number: int, seed: int) -> np.ndarray:
    if dimension == 1:
        return np.ones((1, 1))
    generator = np.random.default_rng(seed)
    if dimension == 2:
        angles = (np.arange(number) + generator.random()) * np.pi / number
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    drawn = generator.normal(size=(number, dimension))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
