"""One writer for every film: MP4 by an encoder of its own (the extra `film`), or GIF by Pillow."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from jko.errors import file_path, positive_number, shortened, shown, whole_number
from jko.films.tolerances import TOLERANCES
from jko.progress import progress_bar
from jko.writing import make_folder, whole

FPS = 30.0
SIZE = (1280, 720)

Draw = Callable[[int], np.ndarray]


def write_film(
    path, draw: Draw, count: int, *, fps: float = FPS, progress: bool | None = None, label: str = "film"
) -> Path:
    """Write `count` frames as a film, beside and renamed; returns its path.

    `draw(k)` gives frame k as `[height, width, 3 or 4]` bytes, all of one size; an odd last row or column is
    left out, which MP4 cannot hold. The ending of the path says how it is encoded: `.mp4` (H.264, by
    imageio-ffmpeg, the extra `film`) or `.gif` (Pillow; times are whole hundredths of a second, and the last
    frame stands for longer). A path without an ending gets `.mp4` where there is the extra, `.gif` where
    there is none.

    Raises ValueError for another ending, ModuleNotFoundError for an MP4 without the extra, NotWritten where
    the disk is full. A frame that fails leaves nothing behind.
    """
    path = film_path(path)
    fps, count = positive_number("fps", fps), whole_number("count", count)
    make_folder(path.parent)
    encode = {".mp4": _mp4, ".gif": _gif}[path.suffix.lower()]
    with whole(path) as beside, progress_bar(progress, count, label, "frame") as advance:
        encode(beside, _counted(draw, advance), count, fps)
    return path


def film_path(path) -> Path:
    """A path whose ending says how the film is encoded; see `write_film`."""
    path = file_path("path", path)
    if path.suffix == "" and path.name:
        path = path.with_suffix(".mp4" if has_encoder() else ".gif")
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise ValueError(f"path: expected a film that ends in .mp4 or .gif, got {path.name!r}")
    if path.suffix.lower() == ".mp4" and not has_encoder():
        raise ModuleNotFoundError(
            f"path: {path.name!r} needs an encoder that is not installed: pip install 'jko[film]', or end "
            "the name in .gif"
        )
    return path


def has_encoder() -> bool:
    """Whether the extra `film` is installed."""
    return find_spec("imageio_ffmpeg") is not None


def film_size(size) -> tuple[int, int]:
    """Width and height in pixels, even whole numbers."""
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise TypeError(f"size: expected (width, height) in pixels, got {shown(size)}")
    for pixels in size:
        whole_number("size", pixels)
        if pixels % 2 or not TOLERANCES.smallest <= pixels <= TOLERANCES.largest:
            between = f"{TOLERANCES.smallest} to {TOLERANCES.largest}"
            raise ValueError(f"size: expected even numbers of {between} pixels, got {shown(tuple(size))}")
    return int(size[0]), int(size[1])


def _counted(draw: Draw, advance: Callable) -> Draw:
    def frame(k: int) -> np.ndarray:
        picture = np.asarray(draw(k))
        advance(1)
        height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
        return np.ascontiguousarray(picture[:height, :width])

    return frame


def _mp4(path: Path, draw: Draw, count: int, fps: float) -> None:
    first = draw(0)
    with _encoder(path, first.shape, fps) as send:
        send(first)
        for k in range(1, count):
            send(draw(k))


@contextmanager
def _encoder(path: Path, shape: tuple, fps: float) -> Iterator[Callable]:
    """A function that takes the frames; ffmpeg is ended with the block, however that ends."""
    import imageio_ffmpeg

    layout, rate = "rgba" if shape[2] == 4 else "rgb24", Fraction(fps).limit_denominator(1001)
    taken = f"-f rawvideo -s {shape[1]}x{shape[0]} -pix_fmt {layout} -r {rate} -i -"
    # the colours that players expect of high definition, and the index in front, for the web
    colours = "-vf scale=out_color_matrix=bt709:out_range=tv -colorspace bt709 -color_primaries bt709"
    colours += " -color_trc bt709 -movflags +faststart"
    given = f"-c:v libx264 -crf {TOLERANCES.rate} -pix_fmt yuv420p {colours} -f mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *f"-y -v error {taken} {given}".split(), str(path.absolute())]
    with tempfile.TemporaryFile() as said:
        # a process group of its own, since Ctrl-C is ours to answer; the library's own start would fork jax
        own_group: dict = {} if sys.platform == "win32" else {"process_group": 0}
        encoder: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, **own_group
        )
        try:
            with suppress(BrokenPipeError), encoder.stdin as frames:  # why it broke stands in what it said
                yield frames.write
            code = encoder.wait()
        finally:
            encoder.kill()
            encoder.wait()
        if code:
            said.seek(0)
            raise OSError(
                f"the encoder stopped: {shortened(RuntimeError(said.read().decode(errors='replace')))}"
            )


def _gif(path: Path, draw: Draw, count: int, fps: float) -> None:
    from PIL import Image

    sampled = np.unique(np.linspace(0, count - 1, min(TOLERANCES.sampled, count)).round().astype(int))
    known = {int(k): draw(int(k))[..., :3].copy() for k in sampled}
    palette = _palette(np.concatenate(list(known.values())))

    def image(k: int):
        pixels = known.pop(k) if k in known else draw(k)[..., :3]
        return Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.NONE)

    ends = np.round(100.0 * np.arange(count + 1) / fps).astype(int) * 10
    duration = np.maximum(np.diff(ends), 20).tolist()  # browsers slow down what is faster than 50 a second
    duration[-1] = max(duration[-1], TOLERANCES.hold)
    later = (image(k) for k in range(1, count))
    image(0).save(path, "GIF", save_all=True, append_images=later, duration=duration, loop=0)


def _palette(pixels: np.ndarray):
    """An image whose palette fits these pixels and has their commonest colour, the ground, as it is.

    A colour counts by a root of how often it is there, lest a large dark ground take the bright ones' places.
    """
    from PIL import Image

    flat = pixels.reshape(-1, 3)
    packed = flat.astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
    values, counts = np.unique(packed, return_counts=True)
    commonest = values[np.argmax(counts)]
    weights = np.ceil(counts**TOLERANCES.evenness).astype(int)
    spread = np.repeat(values, weights)[:, None] >> np.array([16, 8, 0], dtype=np.uint32) & 255
    reduced = Image.fromarray(spread[None].astype(np.uint8)).quantize(TOLERANCES.colours)
    colour = (commonest >> np.array([16, 8, 0], dtype=np.uint32) & 255).astype(int)
    colours = np.array(reduced.getpalette()).reshape(-1, 3)
    colours[np.argmin(np.sum((colours - colour) ** 2, axis=1))] = colour
    reduced.putpalette(colours.ravel().tolist())
    return reduced
