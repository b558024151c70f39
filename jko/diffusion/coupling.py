"""Points of two measures in pairs, and what a network is to learn from them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jko.diffusion.tolerances import TOLERANCES
from jko.errors import finite_array
from jko.measures import Density, Gaussian, Measure, Particles

COUPLINGS = ("independent", "optimal")
TOGETHER = 1024


def pool(name: str, measure: Measure, n: int, seed: int) -> np.ndarray:
    """Positions `[·, d]` of the measure's law: a cloud of equal weights as it is, else n draws."""
    if not isinstance(measure, Density | Gaussian | Particles):
        raise TypeError(
            f"{name}: expected Particles, a Density or a Gaussian, got {type(measure).__name__}; arrays of "
            "points [n, d] go through jko.Particles"
        )
    if abs(measure.mass - 1.0) > TOLERANCES.same_mass:
        raise ValueError(f"{name}: expected mass 1, got {measure.mass:.6g}: call .normalized()")
    if not isinstance(measure, Particles):
        return measure.sample(n, seed=seed).positions
    cloud = measure.subsample(n, seed=seed)
    return finite_array(name, cloud.positions)


def matched(start: np.ndarray, end: np.ndarray, pairs: int, seed: int):
    """At least as many pairs of draws, optimal for |x − y|² in batches of 1024 [TongEtAl2024]."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    generator = np.random.default_rng(seed)
    size = min(TOGETHER, pairs)
    first, second = [], []
    for _ in range(-(-pairs // size)):
        x, y = (
            points[generator.choice(len(points), size, replace=size > len(points))] for points in (start, end)
        )
        rows, columns = linear_sum_assignment(cdist(x, y, "sqeuclidean"))
        first.append(x[rows])
        second.append(y[columns])
    return np.concatenate(first), np.concatenate(second)


def straight(start: np.ndarray, end: np.ndarray, together: bool):
    """Draws of (x, t, target) on segments x = (1 − t)x₀ + t x₁, target x₁ − x₀, pairs kept or drawn anew."""

    def draw(generator, shape: tuple):
        i = generator.integers(len(start), size=shape)
        j = i if together else generator.integers(len(end), size=shape)
        t = spread_times(generator, shape)
        return start[i] + t[..., None] * (end[j] - start[i]), t, end[j] - start[i]

    return draw


def conditional(path, end: np.ndarray):
    """Draws of (x, t, target) from a `GaussianPath` to the points, target its conditional velocity."""
    each = jax.jit(jax.vmap(jax.vmap(path.draw)))

    def draw(generator, shape):
        x1 = end[generator.integers(len(end), size=shape)]
        t, noise = spread_times(generator, shape), generator.normal(size=x1.shape)
        with jax.enable_x64(True):
            x, target = each(jnp.asarray(x1, float), jnp.asarray(t), jnp.asarray(noise))
        return np.asarray(x), t, np.asarray(target)

    return draw


def spread_times(generator, shape: tuple):
    """Times in [0, 1], one in each of as many equal intervals as the last axis is long."""
    return (np.arange(shape[-1]) + generator.random(shape)) / shape[-1]
