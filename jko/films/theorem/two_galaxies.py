"""Scene 1: two spiral galaxies, and the question."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from jko.films.theorem.look import BLUE, GOLD, PALE, WHITE, Camera, Sky, between, seen
from jko.films.theorem.numbers import Theorem


class TwoGalaxies:
    """α₀ and α₁ form out of scattered stars; each gets its name and its number of stars."""

    seconds: ClassVar[float] = 9.5
    still: ClassVar[float] = 0.86  # of the scene, where its picture is taken

    def __init__(self, theorem: Theorem, size: tuple[int, int]):
        self.theorem, self.sky = theorem, Sky(size, Camera(height=4.6))
        sky, n = self.sky, f"{theorem.first.n:,}".replace(",", " ")
        self.title = [
            sky.text(0.5, 0.56, "How mass moves at the least cost", 38, WHITE),
            sky.text(0.5, 0.46, "a theorem of Benamou and Brenier, seen", 20, PALE, style="italic"),
        ]
        self.names = [
            sky.text(0.305, 0.115, r"$\alpha_0$", 34, BLUE),
            sky.text(0.695, 0.115, r"$\alpha_1$", 34, GOLD),
            sky.text(0.305, 0.055, f"{n} stars, two arms", 15, PALE),
            sky.text(0.695, 0.055, f"{n} stars, three arms", 15, PALE),
        ]
        self.question = sky.text(0.5, 0.9, "One is to become the other. Which star goes where?", 20, WHITE)

    def draw(self, u: float) -> np.ndarray:
        """The frame at u in [0, 1]."""
        for words in self.title:
            words.set_alpha(seen(u, 0.03, 0.4, 0.09))
        for words in self.names:
            words.set_alpha(between(u, 0.56, 0.66))
        self.question.set_alpha(between(u, 0.68, 0.78))
        self.sky.look_at(Camera((0.0, -0.12), 4.9 - 1.0 * between(u, 0.0, 1.0)))
        formed, light = between(u, 0.05, 0.66), 0.25 + 0.75 * between(u, 0.25, 0.62)
        first = _forming(self.theorem.first.positions, formed, 1.0)
        second = _forming(self.theorem.second.positions, formed, -1.0)
        return self.sky.frame((first, BLUE, light), (second, GOLD, light))


def _forming(x: np.ndarray, formed: float, sense: float) -> np.ndarray:
    """Stars that wind inwards from far out to where they belong."""
    middle = x.mean(axis=0)
    away = x - middle
    r = np.hypot(*away.T)
    turn = sense * (1.0 - formed) * (2.6 - 1.1 * r)
    c, s = np.cos(turn), np.sin(turn)
    wound = np.stack([c * away[:, 0] - s * away[:, 1], s * away[:, 0] + c * away[:, 1]], axis=1)
    return middle + wound * (1.0 + 1.5 * (1.0 - formed))
