"""Spiral galaxies as clouds of stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.films.theorem.tolerances import TOLERANCES
from jko.measures import Particles


@dataclass(frozen=True)
class Galaxy:
    """Arms that wind as r ↦ `winding`·r/radius, a bulge and a halo, flattened by `flatness` and turned by
    `angle`; a negative winding turns the other way."""

    arms: int
    winding: float
    centre: tuple[float, float]
    radius: float
    flatness: float
    angle: float
    seed: int

    def stars(self, n: int) -> Particles:
        """n stars of equal weight."""
        generator = np.random.default_rng(self.seed)
        kind, r = generator.random(n), np.sqrt(generator.uniform(0.02, 1.0, n))
        arm = 2.0 * np.pi * generator.integers(0, self.arms, n) / self.arms
        scatter = generator.normal(size=(n, 2))
        in_an_arm, bulge = kind >= TOLERANCES.bulge + TOLERANCES.halo, kind < TOLERANCES.bulge
        phase = np.where(in_an_arm, self.winding * r + arm, generator.uniform(0.0, 2.0 * np.pi, n))
        x = r[:, None] * np.stack([np.cos(phase), np.sin(phase)], axis=1)
        x = np.where(bulge[:, None], TOLERANCES.bulge_width * scatter, x)
        x += np.where(in_an_arm[:, None], TOLERANCES.arm_width * scatter * (0.6 + r)[:, None], 0.0)
        x *= [1.0, self.flatness]
        c, s = np.cos(self.angle), np.sin(self.angle)
        return Particles(self.radius * x @ np.array([[c, s], [-s, c]]) + self.centre)


FIRST = Galaxy(2, 5.4, (-1.21, 0.0), 1.28, 0.5, 1.22, seed=1)
SECOND = Galaxy(3, -4.6, (1.21, 0.0), 1.2, 0.46, -0.3, seed=2)
