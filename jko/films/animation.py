"""A run as an animation of its measure alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jko.errors import whole_number
from jko.films.frames import painter_for
from jko.films.writer import film_path, write_film
from jko.plotting.inputs import require_one
from jko.trajectory import Trajectory


def animate(
    trajectory: Trajectory, path, *, fps: float = 15.0, frames: int = 60, progress: bool | None = None
) -> Path:
    """Write a run as a GIF or an MP4 of at most `frames` stored times, evenly spaced in time, `fps` a second.

    Densities on the line are curves, in the plane heat maps, in space three marginals; particles are dots,
    in space projected on the three planes; Gaussians are curves or ellipses of 1, 2 and 3 standard
    deviations. In more than three dimensions the first two coordinates are shown. `Trajectory.film` shows
    the energy beside it. Raises as `write_film`.
    """
    if not isinstance(trajectory, Trajectory):
        raise TypeError(f"trajectory: expected what jko.flow returns, got {type(trajectory).__name__}")
    require_one(trajectory)
    path = film_path(path)
    chosen = _frame_indices(trajectory.times, whole_number("frames", frames))
    stage, paint = painter_for([trajectory.measures[i] for i in chosen])

    def draw(k: int) -> np.ndarray:
        paint(trajectory.measures[chosen[k]], trajectory.times[chosen[k]])
        return stage.frame()

    return write_film(path, draw, len(chosen), fps=fps, progress=progress, label="animation")


def _frame_indices(times: np.ndarray, frames: int) -> np.ndarray:
    wanted = np.linspace(times[0], times[-1], min(frames, len(times)))
    return np.unique([int(np.argmin(np.abs(times - t))) for t in wanted])
