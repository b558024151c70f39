"""The one writer of films: what is read back is what was drawn; what fails leaves nothing behind."""

import dataclasses
import subprocess

import numpy as np
import pytest
from PIL import Image

import jko.films.writer as writer
from jko.errors import NotWritten
from jko.films import write_film


def grey(k, height=96, width=128, channels=4):
    """Frame k, one grey that grows with k, and a white mark on the left above."""
    frame = np.full((height, width, channels), 20 * k, dtype=np.uint8)
    frame[:16, :32] = 255
    return frame


def read(path):
    """The settings that the library reads, and the frames `[k, height, width, 3]`."""
    import imageio_ffmpeg

    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    with subprocess.Popen(
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-v",
            "error",
            "-i",
            path,
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-",
        ],
        stdout=subprocess.PIPE,
    ) as process:
        return count, seconds, np.frombuffer(process.stdout.read(), dtype=np.uint8)


@pytest.mark.filterwarnings("ignore:os.fork")  # of the library that reads the film back
def test_an_mp4_has_the_frames_the_size_and_the_rate_that_were_asked_for(tmp_path):
    path = write_film(tmp_path / "new" / "film.mp4", grey, 10, fps=25.0)
    count, seconds, pixels = read(path)
    assert (count, seconds) == (10, pytest.approx(0.4, abs=0.01))
    frames = pixels.reshape(10, 96, 128, 3)
    assert [int(f.mean()) for f in frames[:, 40:, 40:]] == pytest.approx([20 * k for k in range(10)], abs=3)
    assert frames[:, 2:12, 4:28].min() > 235
    assert [p.name for p in path.parent.iterdir()] == ["film.mp4"]


@pytest.mark.filterwarnings("ignore:os.fork")
def test_an_odd_row_and_column_are_left_out(tmp_path):
    path = write_film(tmp_path / "film.mp4", lambda k: grey(k, 97, 129, 3), 3)
    assert read(path)[2].size == 3 * 96 * 128 * 3


def test_a_gif_keeps_its_ground_and_its_speed(tmp_path):
    ground = np.array([6, 8, 17], dtype=np.uint8)

    def draw(k):
        frame = np.broadcast_to(ground, (60, 80, 3)).copy()
        frame[10:30, 5 * k : 5 * k + 20] = [250, 180, 60]
        return frame

    path = write_film(tmp_path / "film.gif", draw, 10, fps=30.0)
    with Image.open(path) as film:
        assert film.n_frames == 10
        durations = []
        for k in range(10):
            film.seek(k)
            durations.append(film.info["duration"])
            pixels = np.asarray(film.convert("RGB"))
            np.testing.assert_array_equal(pixels[-1, -1], ground)
            assert np.abs(pixels[20, 5 * k + 10].astype(int) - [250, 180, 60]).max() < 12
    assert sum(durations[:-1]) == pytest.approx(1000 * 9 / 30, abs=10)
    assert durations[-1] == 1200


def test_without_the_extra_a_film_is_a_gif(tmp_path, monkeypatch):
    assert write_film(tmp_path / "film", grey, 3).name == "film.mp4"
    monkeypatch.setattr(writer, "find_spec", lambda name: None)
    assert write_film(tmp_path / "film", grey, 3).name == "film.gif"
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jko\[film\]'"):
        write_film(tmp_path / "other.mp4", grey, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.gif", "film.mp4"]


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
@pytest.mark.parametrize("failing", [0, 4])
def test_a_frame_that_fails_leaves_what_was_there(tmp_path, name, failing):
    def draw(k):
        if k == failing:
            raise ArithmeticError("no such frame")
        return grey(k)

    with pytest.raises(ArithmeticError, match="no such frame"):
        write_film(tmp_path / name, draw, 9)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).write_bytes(b"the old film")
    with pytest.raises(ArithmeticError):
        write_film(tmp_path / name, draw, 9)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(name, b"the old film")]


def test_an_encoder_that_stops_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "TOLERANCES", dataclasses.replace(writer.TOLERANCES, rate="no"))
    with pytest.raises(NotWritten, match=r"film\.mp4' could not be written: the encoder stopped"):
        write_film(tmp_path / "film.mp4", grey, 9)
    assert list(tmp_path.iterdir()) == []


def test_refusals(tmp_path):
    for name in ("film.avi", "film.png", "film.mp4.txt"):
        with pytest.raises(ValueError, match=r"path: expected a film that ends in \.mp4 or \.gif"):
            write_film(tmp_path / name, grey, 3)
    with pytest.raises(ValueError, match="fps: expected a positive number"):
        write_film(tmp_path / "film.gif", grey, 3, fps=0.0)
    with pytest.raises(ValueError, match="count: expected a whole number of at least 1"):
        write_film(tmp_path / "film.gif", grey, 0)
    with pytest.raises(TypeError, match="progress: expected True, False or None"):
        write_film(tmp_path / "film.gif", grey, 3, progress=1)
    for size in ((1281, 720), (20, 20), (99999, 720)):
        with pytest.raises(ValueError, match="size: expected even numbers of 64 to 4096 pixels"):
            writer.film_size(size)
    with pytest.raises(TypeError, match=r"size: expected \(width, height\)"):
        writer.film_size(720)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_frame_once(tmp_path, capsys):
    write_film(tmp_path / "film.gif", grey, 12, progress=True, label="twelve")
    said = capsys.readouterr().err
    assert "twelve" in said
    assert "12/12" in said or "/12" in said
