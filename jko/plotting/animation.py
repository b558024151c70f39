"""A run as an animated GIF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jko.errors import positive_number, whole_number
from jko.plotting.frames import painter_for
from jko.plotting.inputs import require_one_species
from jko.trajectory import Trajectory
from jko.writing import make_folder, whole

_COLOURS = 128  # of a frame's palette: half of what GIF holds, and no band is seen


def animate(trajectory: Trajectory, path, *, fps: float = 15.0, frames: int = 60) -> Path:
    """Write a run as an animated GIF of at most `frames` stored times, evenly spaced in time, `fps` a second.

    Densities on the line are curves, in the plane heat maps, in space three marginals; particles are dots,
    in space projected on the three planes; Gaussians are curves or ellipses of 1, 2 and 3 standard
    deviations. In more than three dimensions the first two coordinates are shown. The file is written beside
    and renamed.
    """
    from PIL import Image

    if not isinstance(trajectory, Trajectory):
        raise TypeError(f"trajectory: expected what jko.flow returns, got {type(trajectory).__name__}")
    require_one_species(trajectory)
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"path: expected a file that ends in .gif, got {path.name!r}")
    fps, frames = positive_number("fps", fps), whole_number("frames", frames)
    chosen = _frame_indices(trajectory.times, frames)
    figure, paint = painter_for([trajectory.measures[i] for i in chosen])
    pictures = [_picture(figure, paint, trajectory, i) for i in chosen]
    images = [Image.fromarray(pixels) for pixels in pictures]
    palette = _palette(images[len(images) // 2])
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    duration = [round(1000.0 / fps)] * len(images)
    duration[-1] = max(duration[-1], 1200)
    make_folder(path.parent)
    with whole(path) as beside:
        images[0].save(beside, "GIF", save_all=True, append_images=images[1:], duration=duration, loop=0)
    return path


def _frame_indices(times, frames):
    wanted = np.linspace(times[0], times[-1], min(frames, len(times)))
    return np.unique([int(np.argmin(np.abs(times - t))) for t in wanted])


def _picture(figure, paint, trajectory, index) -> np.ndarray:
    paint(trajectory.measures[index], trajectory.times[index])
    figure.canvas.draw()
    figure.set_layout_engine("none")  # laid out once: the axes must not jump between frames
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _palette(image):
    """An image whose palette fits this one, its lightest colour being white: the paper stays white."""
    reduced = image.quantize(_COLOURS)
    colours = reduced.getpalette()
    lightest = max(range(0, len(colours), 3), key=lambda i: sum(colours[i : i + 3]))
    colours[lightest : lightest + 3] = [255, 255, 255]
    reduced.putpalette(colours)
    return reduced
