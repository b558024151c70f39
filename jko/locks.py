"""A file held by one process, on every system."""

from __future__ import annotations

import importlib
from contextlib import suppress
from pathlib import Path
from typing import IO, Any


class Lock:
    """The one hold on a file; it ends by `release`, or with the process, however that ends.

    Where there is `fcntl`, the file itself is held. On Windows a held byte could not be read by anybody, so
    that an empty file beside is held, `.NAME.lock`, which `release` removes. Raises BlockingIOError where
    another process holds it, or another Lock of this one.
    """

    def __init__(self, path: Path):
        path = Path(path)
        self._beside: Path | None = None
        fcntl = _module("fcntl")
        if fcntl is not None:
            self._file: IO[bytes] | None = open(path, "rb")  # noqa: SIM115 - held until `release`
            self._take(lambda held: fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB))
            return
        msvcrt = _module("msvcrt")
        self._beside = path.with_name(f".{path.name}.lock")
        self._file = open(self._beside, "ab")  # noqa: SIM115 - held until `release`
        self._take(lambda held: msvcrt.locking(held.fileno(), msvcrt.LK_NBLCK, 1))

    def _take(self, hold: Any) -> None:
        try:
            hold(self._file)
        except OSError as error:
            self._beside = None  # which is the other one's
            self.release()
            raise BlockingIOError(*error.args) from error

    def release(self) -> None:
        """Let another process take the file."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._beside is not None:
            with suppress(OSError):  # somebody else has taken it meanwhile
                self._beside.unlink()


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
