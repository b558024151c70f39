"""Scene 4: the forge, the Brenier map stroke by stroke."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from jko.films.theorem.look import DIM, PALE, WHITE, Camera, Sky, between, blend, ease
from jko.films.theorem.mesh import Mesh
from jko.films.theorem.numbers import Theorem
from jko.films.theorem.tolerances import TOLERANCES


class Forge:
    """A grid on α₀ bent by T_s = (1 − s) id + sT, displacement vectors, and what has been paid so far."""

    seconds: ClassVar[float] = 13.5
    still: ClassVar[float] = 0.6  # of the scene, where its picture is taken

    def __init__(self, theorem: Theorem, size: tuple[int, int]):
        self.theorem, self.sky = theorem, Sky(size, Camera((0.0, -0.12), 4.1))
        sky = self.sky
        sky.ghosts(theorem.first.positions, theorem.second.positions)
        self.vectors = sky.lines(linewidths=0.9 * sky.scale, colors=[(1.0, 0.95, 0.85)])
        self.mesh = Mesh(theorem, sky)
        self.tips = sky.add(sky.axes.plot([], [], "o", color="#fff2d8", markersize=2.6, markeredgewidth=0)[0])
        self.chosen = np.random.default_rng(11).permutation(theorem.first.n)[: TOLERANCES.vectors]
        story = "Brenier's map, the gradient of a convex function: the grid bends and never folds over"
        self.words = [
            sky.heading(4, "The forge"),
            sky.text(0.5, 0.145, r"$T = \nabla u, \qquad T_s = (1-s)\,\mathrm{id} + s\,T$", 25, WHITE),
            sky.text(0.5, 0.065, story, 17, PALE),
        ]
        self.counted = sky.text(0.96, 0.925, "", 30, WHITE, ha="right")
        self.meaning = sky.text(
            0.96, 0.865, r"$\int\hspace{0.35}|x - T_s(x)|^2\,d\alpha_0(x)$", 16, DIM, ha="right"
        )
        self.reached = sky.text(0.96, 0.795, r"$= W_2^2(\alpha_0, \alpha_1)$", 22, WHITE, ha="right")

    def draw(self, u: float) -> np.ndarray:
        """The frame at u in [0, 1]."""
        s, flash = _struck(u)
        for words in (*self.words, self.meaning):
            words.set_alpha(between(u, 0.0, 0.07))
        self.counted.set_alpha(between(u, 0.04, 0.1))
        self.counted.set_text(self.theorem.shown(self.theorem.paid(s)))
        self.reached.set_alpha(between(u, 0.85, 0.9))
        here = self.theorem.displaced(s)
        start, tip = self.theorem.first.positions[self.chosen], here[self.chosen]
        self.vectors.set_segments(np.stack([start, tip], axis=1))
        self.vectors.set_alpha(0.28 * between(u, 0.08, 0.16))
        self.tips.set_data(*tip.T)
        self.tips.set_alpha(0.9 * between(u, 0.08, 0.16))
        hot = tuple(c + (1.0 - c) * (0.25 + 0.6 * flash) for c in blend(s))
        self.mesh.set(s, hot, (0.5 + 0.4 * flash) * between(u, 0.02, 0.12))
        return self.sky.frame((here, blend(s), 0.42 + 0.5 * flash))


def _struck(u: float) -> tuple[float, float]:
    """How far the map is made, and how bright the last stroke still glows."""
    place = (
        (u - TOLERANCES.struck_from) / (TOLERANCES.struck_to - TOLERANCES.struck_from) * TOLERANCES.strokes
    )
    stroke = int(np.clip(np.floor(place), 0, TOLERANCES.strokes - 1))
    fallen = np.clip((place - stroke - TOLERANCES.rest) / (1.0 - TOLERANCES.rest), 0.0, 1.0)
    s = (stroke + ease(fallen**0.6)) / TOLERANCES.strokes
    since = (
        place - (stroke + TOLERANCES.rest)
        if place > stroke + TOLERANCES.rest
        else place - stroke + 1.0 - TOLERANCES.rest
    )
    struck_once = place > TOLERANCES.rest
    return float(np.clip(s, 0.0, 1.0)), float(np.exp(-3.2 * since)) if struck_once else 0.0
