"""Scene 5: all of it together, and the theorem."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from jko.films.theorem.look import CYAN, DIM, GOLD, PALE, WHITE, Camera, Sky, between, blend
from jko.films.theorem.mesh import Mesh
from jko.films.theorem.numbers import Theorem
from jko.films.theorem.streams import Streams

_THEOREM = (
    r"$W_2^2(\alpha_0,\alpha_1)\;=\;\min_{\pi}\int\hspace{0.35}|x-y|^2\,d\pi\;=\;"
    r"\min_{\partial_t\alpha+\nabla\cdot(\alpha v)=0}\,\int_0^1\!\int\hspace{0.35}|v_t|^2\,d\alpha_t\,dt$"
)


class Together:
    """The flow, the grid and the streamlines at once; the static value beside the dynamic one."""

    seconds: ClassVar[float] = 12.0
    still: ClassVar[float] = 0.83  # of the scene, where its picture is taken

    def __init__(self, theorem: Theorem, size: tuple[int, int]):
        self.theorem, self.sky = theorem, Sky(size, Camera((0.0, -0.95), 5.0))
        sky = self.sky
        sky.ghosts(theorem.first.positions, theorem.second.positions)
        self.mesh, self.streams = Mesh(theorem, sky, 0.7), Streams(theorem, sky, 110, 1.2)
        n, grid = f"{theorem.first.n:,}".replace(",", " "), theorem.support.grid
        steps = len(theorem.dynamic.velocity)
        self.static = [
            sky.text(0.3, 0.395, "static", 17, GOLD),
            sky.text(0.3, 0.315, theorem.shown(theorem.static), 42, WHITE),
            sky.text(0.3, 0.245, f"exact plan between {n} and {n} stars", 15, DIM),
        ]
        self.dynamic = [
            sky.text(0.7, 0.395, "dynamic", 17, CYAN),
            sky.text(0.7, 0.315, theorem.shown(theorem.dynamic_value), 42, WHITE),
            sky.text(0.7, 0.245, f"fluid on {grid.cells[0]} × {grid.cells[1]} cells, {steps} times", 15, DIM),
        ]
        self.equal = sky.text(0.5, 0.315, "=", 42, PALE)
        self.theorem_line = sky.text(0.5, 0.115, _THEOREM, 22.5, WHITE)
        self.heading = sky.heading(5, "The theorem")

    def draw(self, u: float) -> np.ndarray:
        """The frame at u in [0, 1]."""
        t = 0.5 - 0.5 * np.cos(3.0 * np.pi * u)
        self.heading.set_alpha(between(u, 0.0, 0.08))
        for words in self.static:
            words.set_alpha(between(u, 0.1, 0.2))
        for words in self.dynamic:
            words.set_alpha(between(u, 0.25, 0.35))
        self.equal.set_alpha(between(u, 0.4, 0.48))
        self.theorem_line.set_alpha(between(u, 0.5, 0.62))
        moving = between(u, 0.02, 0.12) * (1.0 - between(u, 0.92, 0.98))
        self.mesh.set(t, blend(t), 0.3 * between(u, 0.0, 0.1))
        self.streams.set(t, tuple(0.5 + 0.5 * c for c in blend(t)), 0.8 * moving)
        return self.sky.frame((self.theorem.displaced(t), blend(t), 0.75))
