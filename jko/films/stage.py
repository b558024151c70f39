"""A figure of so many pixels whose still parts are drawn once and whose moving artists over them."""

from __future__ import annotations

import numpy as np

from jko.films.tolerances import TOLERANCES


class Stage:
    """A figure for a film: `moving(artist)` is drawn in each frame, all else once, at the first.

    Moving artists lie above what is still, in the order of their z-orders.
    """

    def __init__(self, figure):
        self.figure = figure
        self._moving: list = []
        self._still = None

    def moving(self, *artists):
        """Draw these in every frame; returns the first."""
        for artist in artists:
            artist.set_animated(True)
            self._moving.append(artist)
        self._moving.sort(key=lambda artist: artist.get_zorder())
        return artists[0]

    def frame(self) -> np.ndarray:
        """The pixels `[height, width, 4]` as they are now; good until the next frame is drawn."""
        canvas = self.figure.canvas
        if self._still is None:
            if not self.figure.axes or self.figure.axes[0].get_subplotspec() is None:
                self.figure.set_layout_engine("none")  # axes that were put where they are
            canvas.draw()
            self.figure.set_layout_engine("none")  # laid out once: the axes must not jump between frames
            self._still = canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self._still)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        return np.asarray(canvas.buffer_rgba())


def stage_of(size: tuple[int, int], scale: float = 1.0) -> Stage:
    """A stage of `size` pixels; with `scale` 2 letters and lines are twice as large on it."""
    from jko.plotting import style

    dpi = TOLERANCES.dots_per_inch * scale
    figure = style.new_figure(size[0] / dpi, size[1] / dpi)
    figure.set_dpi(dpi)
    return Stage(figure)
