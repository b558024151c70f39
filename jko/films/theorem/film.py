"""The five scenes one after another, as a film and as stills."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from jko.errors import positive_number, shown
from jko.films.theorem.bridge import Bridge
from jko.films.theorem.forge import Forge
from jko.films.theorem.look import GROUND, ease
from jko.films.theorem.numbers import Theorem
from jko.films.theorem.river import River
from jko.films.theorem.together import Together
from jko.films.theorem.tolerances import TOLERANCES
from jko.films.theorem.two_galaxies import TwoGalaxies
from jko.films.writer import FPS, SIZE, film_path, film_size, write_film
from jko.writing import make_folder, whole


class Scene(Protocol):
    """A scene draws itself at u in [0, 1]; how long it lasts, and where its still is taken."""

    seconds: ClassVar[float]
    still: ClassVar[float]

    def __init__(self, theorem: Theorem, size: tuple[int, int]): ...

    def draw(self, u: float) -> np.ndarray:
        """The pixels `[height, width, 4]` at u."""
        ...


SCENES: dict[int, type[Scene]] = {1: TwoGalaxies, 2: Bridge, 3: River, 4: Forge, 5: Together}


def theorem_film(
    path,
    *,
    scenes: tuple[int, ...] = tuple(SCENES),
    seconds: float | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    stills=None,
    theorem: Theorem | None = None,
    progress: bool | None = None,
) -> Path:
    """Write W₂² = min ∫∫|v|² dα_t dt [BenamouBrenier2000] as a film; returns its path.

    Five scenes: two spiral galaxies; the bridge of their product coupling; the river of least kinetic energy
    beside two dearer paths; the forge of Brenier's map; all of it, the static value beside the dynamic one.
    Every number on the screen is one of `theorem`, which is computed unless given (some 15 CPU seconds).

    `scenes` are numbers from 1 to 5, which last for `seconds` together, as long as they were made for unless
    given. An MP4 has 1280 × 720 pixels and 30 frames a second, a GIF 480 × 270 and 10, unless `size` and
    `fps` say otherwise; see `write_film` for the file. `stills` is a folder for a PNG of each scene.
    """
    path, chosen, lengths, size, fps = checked_settings(path, scenes, seconds, size, fps)
    theorem = Theorem.of() if theorem is None else theorem
    drawn = [SCENES[number](theorem, size) for number in chosen]
    if stills is not None:
        write_stills(theorem, stills, chosen, size)
    reel = _Reel(drawn, lengths)
    count = max(2, round(lengths.sum() * fps))
    return write_film(path, lambda k: reel.draw((k + 0.5) / fps), count, fps=fps, progress=progress)


def checked_settings(path, scenes, seconds, size, fps) -> tuple:
    """The path, the scenes, how long each of them lasts, the size and the frames a second of a film."""
    path = film_path(path)
    moving = path.suffix.lower() == ".gif"
    size = film_size(
        ((TOLERANCES.gif_width, TOLERANCES.gif_height) if moving else SIZE) if size is None else size
    )
    fps = positive_number("fps", (TOLERANCES.gif_fps if moving else FPS) if fps is None else fps)
    chosen = _chosen(scenes)
    lengths = np.array([SCENES[number].seconds for number in chosen])
    if seconds is not None:
        lengths *= positive_number("seconds", seconds) / lengths.sum()
    return path, chosen, lengths, size, fps


def write_stills(theorem: Theorem, folder, scenes=tuple(SCENES), size: tuple[int, int] = SIZE) -> list[Path]:
    """Write a picture of each scene, `film_1.png` and so on, into a folder; returns their paths."""
    from PIL import Image

    folder, paths = make_folder(folder), []
    for number in _chosen(scenes):
        scene = SCENES[number](theorem, film_size(size))
        path = folder / f"film_{number}.png"
        with whole(path) as beside:
            Image.fromarray(scene.draw(scene.still)[..., :3]).save(beside, "PNG", optimize=True)
        paths.append(path)
    return paths


class _Reel:
    """Scenes one after another, each out of the dark and back."""

    def __init__(self, scenes: list, lengths: np.ndarray):
        self.scenes, self.ends = scenes, np.cumsum(lengths)
        self.lengths = lengths

    def draw(self, time: float) -> np.ndarray:
        """The frame at a time in seconds."""
        number = min(int(np.searchsorted(self.ends, time, side="right")), len(self.scenes) - 1)
        length = self.lengths[number]
        into = min(max(time - (self.ends[number] - length), 0.0), length)
        fade = min(TOLERANCES.fade, 0.15 * length)
        pixels = self.scenes[number].draw(into / length)
        return _faded(pixels, ease(into / fade) * ease((length - into) / fade))


def _faded(pixels: np.ndarray, share: float) -> np.ndarray:
    """The pixels with `share` of their light, the dark ground at 0."""
    if share >= 1.0:
        return pixels
    for channel, ground in enumerate(GROUND.astype(float)):
        table = np.round(ground + share * (np.arange(256) - ground)).astype(np.uint8)
        pixels[..., channel] = table[pixels[..., channel]]
    return pixels


def _chosen(scenes) -> list[int]:
    known = isinstance(scenes, (tuple, list)) and all(
        isinstance(n, int) and not isinstance(n, bool) and n in SCENES for n in scenes
    )
    if not known or not scenes or len(set(scenes)) < len(scenes):
        raise ValueError(
            f"scenes: expected some of {', '.join(map(str, SCENES))}, each once, got {shown(scenes)}"
        )
    return list(scenes)
