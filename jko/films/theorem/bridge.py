"""Scene 2: the bridge of the product coupling."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from jko.films.theorem.clock import Clock
from jko.films.theorem.look import PALE, WHITE, Camera, Sky, between, blend
from jko.films.theorem.numbers import Theorem
from jko.films.theorem.tolerances import TOLERANCES


class Bridge:
    """α_t = ((1 − t)P₀ + tP₁)_#(α₀ ⊗ α₁): every star to every star, and all shape is lost half-way."""

    seconds: ClassVar[float] = 12.0
    still: ClassVar[float] = 0.47  # of the scene, where its picture is taken

    def __init__(self, theorem: Theorem, size: tuple[int, int]):
        self.theorem, self.sky = theorem, Sky(size, Camera((0.0, -0.2), 4.2))
        sky = self.sky
        sky.ghosts(theorem.first.positions, theorem.second.positions)
        self.threads = sky.lines(linewidths=0.8, colors=[(0.85, 0.88, 1.0)])
        self.clock = Clock(sky, 0.905, 0.8, 0.062)
        formula = r"$\alpha_t = \left((1-t)\,P_0 + t\,P_1\right)_\#\,(\alpha_0 \otimes \alpha_1)$"
        story = "each star sends its mass to every star: half-way all shape is lost"
        self.words = [
            sky.heading(2, "The bridge of the product coupling"),
            sky.text(0.5, 0.145, formula, 25, WHITE),
            sky.text(0.5, 0.065, story, 17, PALE),
        ]
        paid = theorem.shown(theorem.product)
        paid = r"$\iint\hspace{0.35}|x-y|^2\,d\alpha_0\,d\alpha_1 = " + f"{paid}$"
        self.cost = sky.text(0.04, 0.8, paid, 20, WHITE, ha="left")

    def draw(self, u: float) -> np.ndarray:
        """The frame at u in [0, 1]."""
        t = between(u, 0.1, 0.86)
        for words in self.words:
            words.set_alpha(between(u, 0.0, 0.08))
        self.cost.set_alpha(between(u, 0.52, 0.6))
        some = self.theorem.pairs[: TOLERANCES.threads]
        ways = np.stack(
            [self.theorem.first.positions[some[:, 0]], self.theorem.second.positions[some[:, 1]]], axis=1
        )
        drawn = between(u, 0.04, 0.3)
        ways[:, 1] = ways[:, 0] + drawn * (ways[:, 1] - ways[:, 0])
        self.threads.set_segments(ways)
        self.threads.set_alpha(0.13 * (1.0 - 0.8 * between(u, 0.7, 0.95)))
        self.clock.set(t, blend(t))
        return self.sky.frame((self.theorem.mixed(t), blend(t), 0.95))
