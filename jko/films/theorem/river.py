"""Scene 3: the river, the path of least kinetic energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from jko.films.theorem.look import (
    CYAN,
    DIM,
    PALE,
    ROSE,
    VIOLET,
    WHITE,
    Camera,
    Sky,
    between,
    blend,
)
from jko.films.theorem.numbers import Theorem
from jko.films.theorem.streams import Streams
from jko.films.theorem.tolerances import TOLERANCES


class River:
    """The optimal velocity through α_t, the continuity equation, and the kinetic energy of three paths."""

    seconds: ClassVar[float] = 16.0
    still: ClassVar[float] = 0.6  # of the scene, where its picture is taken

    def __init__(self, theorem: Theorem, size: tuple[int, int]):
        self.theorem, self.sky = theorem, Sky(size, Camera((1.08, -0.1), 4.2))
        sky = self.sky
        sky.ghosts(theorem.first.positions, theorem.second.positions)
        self.streams = Streams(theorem, sky)
        self.swinging = np.random.default_rng(3).permutation(theorem.first.n)[: TOLERANCES.swinging]
        look = {"markersize": 2.4, "markeredgewidth": 0, "zorder": 1.5}
        self.dots = sky.add(sky.axes.plot([], [], "o", color=VIOLET, **look)[0])
        self.words = [
            sky.heading(3, "The river"),
            sky.text(0.33, 0.145, r"$\partial_t \alpha_t + \nabla\!\cdot(\alpha_t v_t) = 0$", 25, WHITE),
            sky.text(0.33, 0.065, "of all the ways to flow, the one of least kinetic energy", 17, PALE),
        ]
        self._panel()

    def _panel(self) -> None:
        sky, theorem = self.sky, self.theorem
        axes = sky.figure.add_axes((0.73, 0.34, 0.23, 0.4), frameon=False, label="energies")
        times = self.times = np.linspace(0.0, 1.0, TOLERANCES.samples)
        river, detour = theorem.river_energy(times), theorem.detour_energy(times)
        highest = max(detour.max(), theorem.product)
        low = theorem.static - 0.35 * (highest - theorem.static)
        axes.set_xlim(0.0, 1.0)
        top = highest + 0.08 * (highest - low)
        axes.set_ylim(low, top)
        axes.set_axis_off()
        for x, y in (((0, 1), (low, low)), ((0, 0), (low, highest))):
            sky.add(axes.plot(x, y, color=DIM, linewidth=1.1)[0])
        self.curves = [
            (np.full(times.size, theorem.product), sky.add(axes.plot([], [], color=ROSE, linewidth=2.0)[0])),
            (detour, sky.add(axes.plot([], [], color=VIOLET, linewidth=2.0)[0])),
            (river, sky.add(axes.plot([], [], color=CYAN, linewidth=3.2)[0])),
        ]
        self.panel_words = [
            sky.text(0.845, 0.81, r"kinetic energy  $\mathbb{E}\,|\,\dot{x}_t|^2$", 17, PALE),
            sky.text(0.73, 0.305, r"$t=0$", 15, DIM),
            sky.text(0.96, 0.305, r"$t=1$", 15, DIM),
            sky.text(0.722, 0.34, theorem.shown(low), 14, DIM, ha="right"),
            sky.text(
                0.722, 0.34 + 0.4 * (highest - low) / (top - low), theorem.shown(highest), 14, DIM, ha="right"
            ),
            sky.text(0.96, 0.25, r"$\int_0^t\,\ldots\;ds$", 15, DIM, ha="right"),
        ]
        rows: tuple[tuple[str, Callable, str | tuple], ...] = (
            ("product coupling", lambda t: t * theorem.product, ROSE),
            ("a detour", theorem.detour_action, VIOLET),
            ("the river", theorem.river_action, CYAN),
        )
        self.totals = [
            (
                sky.text(0.73, y, name, 17, colour, ha="left"),
                sky.text(0.96, y, "", 20, colour, ha="right"),
                action,
            )
            for y, (name, action, colour) in zip((0.195, 0.13, 0.065), rows, strict=True)
        ]

    def draw(self, u: float) -> np.ndarray:
        """The frame at u in [0, 1]."""
        t = between(u, 0.08, 0.82)
        for words in self.words:
            words.set_alpha(between(u, 0.0, 0.07))
        for words in self.panel_words:
            words.set_alpha(between(u, 0.04, 0.12))
        for name, total, action in self.totals:
            name.set_alpha(between(u, 0.06, 0.13))
            total.set_alpha(between(u, 0.06, 0.13))
            total.set_text(self.theorem.shown(action(t)))
        upto = max(round(t * (self.times.size - 1)), 1) + 1
        for values, line in self.curves:
            line.set_data(self.times[:upto], values[:upto])
        moving = between(u, 0.05, 0.14) * (1.0 - between(u, 0.82, 0.93))
        self.dots.set_data(*self.theorem.swung(t)[self.swinging].T)
        self.dots.set_alpha(0.6 * moving)
        self.streams.set(t, tuple(0.45 + 0.55 * c for c in blend(t)), moving)
        return self.sky.frame((self.theorem.displaced(t), blend(t), 0.8))
