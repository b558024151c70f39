"""Files that are there whole or not at all: written beside, brought to the disk, then renamed."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from jko.errors import NotWritten

_KEPT_OF_NAME = 40  # letters of the file's name in that of the partial one, which must stay below 255 bytes


@contextmanager
def whole(path: Path):
    """A path beside `path` to write to; when the block ends it is brought to the disk and takes the name.

    Raises NotWritten where the disk is full or the folder cannot be written to; `path` is then as it was.
    """
    path = Path(path)
    with saying_what_is_kept(path):
        beside = path.with_name(f".{path.name[:_KEPT_OF_NAME]}.{os.getpid()}-{threading.get_ident()}.partial")
        try:
            yield beside
            with open(beside, "rb+") as file:
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)


@contextmanager
def saying_what_is_kept(path: Path, kept: str = ""):
    """Turn an OSError of the block into NotWritten: which file, why, and what of it is `kept`."""
    try:
        yield
    except NotWritten:
        raise
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        kept = kept or ("what it held before is kept" if path.exists() else "nothing of it was left behind")
        raise NotWritten(
            f"{str(path)!r} could not be written: {reason[0].lower()}{reason[1:]}; {kept}: "
            "make room, or give another place"
        ) from error


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that a reader meets the old one or the new one, never half of it."""
    with whole(path) as beside:
        beside.write_bytes(content)
    return Path(path)


def write_text(path, text: str) -> Path:
    """Write a text file whole; its folder is made if there is none."""
    make_folder(Path(path).parent)
    return write_whole(path, text.encode())


def make_folder(path: Path) -> Path:
    """Make a folder and those above it, unless it is there; raises NotWritten where that cannot be."""
    path = Path(path)
    with saying_what_is_kept(path, "no file was touched"):
        path.mkdir(parents=True, exist_ok=True)
    return path
