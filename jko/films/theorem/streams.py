"""Streamlines of the optimal velocity that ride on the mass."""

from __future__ import annotations

import numpy as np

from jko.films.theorem.numbers import Theorem
from jko.films.theorem.tolerances import TOLERANCES


class Streams:
    """Streamlines of v_t through some of the stars, brighter where a pulse of light runs along them."""

    def __init__(self, theorem: Theorem, sky, count: int = 170, width: float = 1.5):
        generator = np.random.default_rng(5)
        self.theorem = theorem
        self.chosen = generator.permutation(theorem.first.n)[:count]
        self.phase = generator.random(len(self.chosen))
        self.lines = sky.lines(linewidths=width * sky.scale)

    def set(self, t: float, colour: tuple, strength: float) -> None:
        """Show the streamlines at t in a colour."""
        if strength <= 0.0:
            self.lines.set_visible(False)
            return
        self.lines.set_visible(True)
        curves = self._curves(self.theorem.displaced(t)[self.chosen], t)
        segments = np.stack([curves[:, :-1], curves[:, 1:]], axis=2).reshape(-1, 2, 2)
        along = np.linspace(0.0, 1.0, TOLERANCES.stream_steps)
        wave = 0.5 + 0.5 * np.cos(2.0 * np.pi * (along - TOLERANCES.pulses * t - self.phase[:, None]))
        alpha = strength * np.sin(np.pi * along) ** 0.7 * (0.14 + 0.86 * wave**3)
        rgba = np.empty((alpha.size, 4))
        rgba[:, :3], rgba[:, 3] = colour, alpha.ravel()
        self.lines.set_segments(list(segments))
        self.lines.set_color(rgba)

    def _curves(self, x: np.ndarray, t: float) -> np.ndarray:
        """Points `[n, steps + 1, 2]` of the streamlines of v_t through x, by the midpoint rule."""
        h, back, ahead = TOLERANCES.stream_length / TOLERANCES.stream_steps, [x], [x]
        for side, sense in ((back, -1.0), (ahead, 1.0)):
            for _ in range(TOLERANCES.stream_steps // 2):
                here = side[-1]
                middle = here + 0.5 * sense * h * self.theorem.velocity(here, t)
                side.append(here + sense * h * self.theorem.velocity(middle, t))
        return np.stack([*back[:0:-1], *ahead], axis=1)
