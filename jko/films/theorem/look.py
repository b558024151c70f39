"""The look of the film: dark ground, light of stars, letters, and how things come and go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.films.stage import stage_of
from jko.films.theorem.tolerances import TOLERANCES

GROUND = np.array([6, 8, 17], dtype=np.uint8)
BLUE, ROSE, GOLD = (0.30, 0.56, 1.0), (0.93, 0.42, 0.66), (1.0, 0.70, 0.24)
WHITE, PALE, DIM = "#f4f2ea", "#c3c9d9", "#8d95ad"
CYAN, VIOLET = "#8fe3ff", "#a58cff"


def ease(u: float) -> float:
    """From 0 at u ≤ 0 to 1 at u ≥ 1 without a jolt: 6u⁵ − 15u⁴ + 10u³."""
    u = min(max(u, 0.0), 1.0)
    return u**3 * (10.0 + u * (6.0 * u - 15.0))


def between(u: float, start: float, end: float) -> float:
    """How far u has come from start to end, eased."""
    return ease((u - start) / (end - start))


def seen(u: float, start: float, end: float, fade: float = 0.06) -> float:
    """An opacity: in at `start`, out at `end`, each over `fade`."""
    return between(u, start, start + fade) * (1.0 - between(u, end - fade, end))


def blend(t: float) -> tuple[float, float, float]:
    """The colour at t from blue through rose to gold."""
    first, second, share = (BLUE, ROSE, 2.0 * t) if t < 0.5 else (ROSE, GOLD, 2.0 * t - 1.0)
    red, green, blue = ((1.0 - share) * a + share * b for a, b in zip(first, second, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class Camera:
    """What is seen: the middle of the picture and its height, in the plane's units."""

    centre: tuple[float, float] = (0.0, 0.0)
    height: float = 3.6

    def limits(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """x from, x to, y from, y to."""
        half, wide = 0.5 * self.height, 0.5 * self.height * size[0] / size[1]
        return self.centre[0] - wide, self.centre[0] + wide, self.centre[1] - half, self.centre[1] + half

    def pixels(self, x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Columns and rows `[n, 2]` of points `[n, 2]`, row 0 at the top."""
        left, _, _, top = self.limits(size)
        return np.stack([x[:, 0] - left, top - x[:, 1]], axis=1) * (size[1] / self.height)


class Sky:
    """The picture that a scene draws on: pixels for light, and matplotlib's artists over them.

    `artists` are drawn in their z-order in every frame; `axes` spans the picture in the plane's units.
    """

    def __init__(self, size: tuple[int, int], camera: Camera):
        self.size, self.camera = size, camera
        self.scale = size[1] / 720.0
        self.stage = stage_of(size, self.scale)
        self.figure = self.stage.figure
        self.figure.set_layout_engine("none")
        self.figure.patch.set_visible(False)
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0), frameon=False, label="plane")
        self.axes.set_axis_off()
        self.look_at(camera)
        self._ground = self._dusty()
        self._artists: list = []

    def look_at(self, camera: Camera) -> None:
        """Move the camera."""
        self.camera = camera
        left, right, low, high = camera.limits(self.size)
        self.axes.set_xlim(left, right)
        self.axes.set_ylim(low, high)

    def add(self, artist):
        """Draw an artist in every frame; returns it."""
        self._artists.append(artist)
        self._artists.sort(key=lambda a: a.get_zorder())
        return artist

    def text(self, x: float, y: float, words: str, size: float = 15.0, colour: str | tuple = PALE, **look):
        """Words at a fraction of the picture."""
        look = {"ha": "center", "va": "center", "fontfamily": "STIXGeneral", "math_fontfamily": "stix"} | look
        return self.add(self.figure.text(x, y, words, fontsize=size, color=colour, **look))

    def heading(self, number: int, words: str):
        """The scene's name, above on the left."""
        self.text(0.04, 0.935, f"{number}", 24, WHITE, ha="left")
        return self.text(0.067, 0.933, words, 17, PALE, ha="left")

    def lines(self, **look):
        """An empty collection of lines in the plane."""
        from matplotlib.collections import LineCollection

        collection = LineCollection([], capstyle="round", **look)
        self.axes.add_collection(collection, autolim=False)
        return self.add(collection)

    def ghosts(self, first: np.ndarray, second: np.ndarray) -> None:
        """Leave both galaxies faintly in the ground of all frames."""
        pixels = self.frame((first, BLUE, TOLERANCES.ghost), (second, GOLD, TOLERANCES.ghost))
        self._ground = pixels[..., :3].copy()

    def frame(self, *lights: tuple) -> np.ndarray:
        """The picture `[height, width, 4]` with lights, each (points, colour, strength), and all artists."""
        canvas = self.figure.canvas
        canvas.get_renderer()
        pixels = np.asarray(canvas.buffer_rgba())
        pixels[..., :3] = self._ground
        pixels[..., 3] = 255
        for points, colour, strength in lights:
            if strength > 0.0:
                _shine(pixels, self.camera.pixels(points, self.size), colour, strength, self.scale)
        for artist in self._artists:
            if artist.get_visible() and artist.get_alpha() != 0.0:
                self.figure.draw_artist(artist)
        return pixels

    def _dusty(self) -> np.ndarray:
        width, height = self.size
        ground = np.broadcast_to(GROUND, (height, width, 3)).copy()
        generator = np.random.default_rng(7)
        rows, columns = (generator.integers(0, side, TOLERANCES.dust) for side in (height, width))
        ground[rows, columns] += generator.integers(8, 70, TOLERANCES.dust).astype(np.uint8)[:, None]
        return ground


def _shine(pixels: np.ndarray, at: np.ndarray, colour: tuple, strength: float, scale: float) -> None:
    """Add the light of stars at pixels `[n, 2]`: 1 − e^{−light·colour}, white where there is much of it."""
    height, width = pixels.shape[:2]
    reach = int(np.ceil(TOLERANCES.reach * max(scale, 0.6)))
    margin = int(3.0 * TOLERANCES.far * scale) + reach
    low = np.maximum(np.floor(at.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(at.max(axis=0)).astype(int) + margin, [width, height])
    if np.any(high <= low):
        return
    columns, rows = high - low
    light = _points(at - low, (rows, columns), reach, TOLERANCES.core * max(scale, 0.6))
    for spread, share, step in (
        (TOLERANCES.near, TOLERANCES.near_light, 4),
        (TOLERANCES.far, TOLERANCES.far_light, 8),
    ):
        light += _glow(at - low, (rows, columns), spread * scale, share * scale**2, step)
    weight = strength * min(1.0, (4000.0 / len(at)) ** 0.75)
    level = np.minimum(
        light * (weight * TOLERANCES.levels / TOLERANCES.brightest), TOLERANCES.levels - 1
    ).astype(np.int16)
    table = 1.0 - np.exp(
        -np.linspace(0.0, TOLERANCES.brightest, TOLERANCES.levels)[:, None] * np.asarray(colour)
    )
    bytes_of = np.round(255.0 * table).astype(np.uint8)
    part = pixels[low[1] : high[1], low[0] : high[0], :3]
    added = bytes_of[level]
    np.minimum(part, 255 - added, out=part)
    part += added


def _points(at: np.ndarray, shape: tuple, reach: int, spread: float) -> np.ndarray:
    """Light `[rows, columns]` of Gaussian stars, one at their middles."""
    rows, columns = shape
    offsets = np.arange(-reach, reach + 1)
    whole = np.floor(at).astype(int)
    column, row = (whole[:, a, None] + offsets for a in (0, 1))
    across, down = (
        np.exp(-0.5 * ((whole[:, a, None] + offsets + 0.5 - at[:, a, None]) / spread) ** 2) for a in (0, 1)
    )
    across, down = across * ((column >= 0) & (column < columns)), down * ((row >= 0) & (row < rows))
    index = np.clip(row, 0, rows - 1)[:, :, None] * columns + np.clip(column, 0, columns - 1)[:, None, :]
    light = np.bincount(index.ravel(), (down[:, :, None] * across[:, None, :]).ravel(), rows * columns)
    return light.reshape(rows, columns).astype(np.float32)


def _glow(at: np.ndarray, shape: tuple, spread: float, share: float, step: int) -> np.ndarray:
    """Wide Gaussian light `[rows, columns]`, `share` of it a star, made on pixels `step` times as wide."""
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    rows, columns = (-(-n // step) for n in shape)
    column, row = np.clip((at / step).astype(int), 0, [columns - 1, rows - 1]).T
    counted = np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)
    smooth = gaussian_filter(counted.astype(np.float32) * (share / step**2), spread / step, mode="constant")
    wide = Image.fromarray(smooth).resize((columns * step, rows * step), Image.Resampling.BICUBIC)
    return np.maximum(np.asarray(wide)[: shape[0], : shape[1]], 0.0)
