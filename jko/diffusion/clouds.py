"""Two clouds in the plane that generative models are tried on."""

from __future__ import annotations

import numpy as np

from jko.errors import positive_number, seed_number, whole_number
from jko.measures import Particles


def two_moons(n: int, seed: int, *, noise: float = 0.1) -> Particles:
    """n draws from two interlocking half circles of radius 1.5 about the origin, with Gaussian noise."""
    n, generator = whole_number("n", n), np.random.default_rng(seed_number("seed", seed))
    angle, lower = np.pi * generator.random(n), generator.random(n) < 0.5
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    moons = np.where(lower[:, None], [1.0, 0.5] - arc, arc)
    jitter = positive_number("noise", noise) * generator.normal(size=(n, 2))
    return Particles(1.5 * (moons - [0.5, 0.25]) + jitter)


def eight_gaussians(n: int, seed: int, *, radius: float = 2.0, std: float = 0.15) -> Particles:
    """n draws from eight Gaussians of equal weight, evenly on a circle."""
    n, generator = whole_number("n", n), np.random.default_rng(seed_number("seed", seed))
    angle = 0.25 * np.pi * generator.integers(8, size=n)
    middle = positive_number("radius", radius) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Particles(middle + positive_number("std", std) * generator.normal(size=(n, 2)))
