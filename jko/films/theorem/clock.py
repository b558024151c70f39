"""A clock that shows t in [0, 1]."""

from __future__ import annotations

from jko.films.theorem.look import DIM, WHITE, Sky


class Clock:
    """A dial at a fraction of the picture whose wedge is t of the whole turn."""

    def __init__(self, sky: Sky, x: float, y: float, radius: float):
        from matplotlib.patches import Circle, Wedge

        wide, high = sky.size[0] / sky.size[1], 1.0
        axes = sky.figure.add_axes(
            (x - radius * high / wide, y - radius, 2.0 * radius / wide, 2.0 * radius),
            frameon=False,
            label="clock",
        )
        axes.set_axis_off()
        axes.set_xlim(-1.08, 1.08)
        axes.set_ylim(-1.08, 1.08)
        self.wedge = sky.add(axes.add_patch(Wedge((0.0, 0.0), 1.0, 90.0, 90.0, alpha=0.5, linewidth=0)))
        sky.add(axes.add_patch(Circle((0.0, 0.0), 1.0, fill=False, edgecolor=DIM, linewidth=1.4)))
        self.words = sky.text(x, y - radius - 0.04, "t = 0.00", 17, WHITE)

    def set(self, t: float, colour: tuple) -> None:
        """Show t."""
        self.wedge.set_theta1(90.0 - 360.0 * t)
        self.wedge.set_visible(t > 0.0)
        self.wedge.set_facecolor(colour)
        self.words.set_text(f"$t = {t:.2f}$")
