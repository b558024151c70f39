"""Finished members in a folder, one file each."""

from __future__ import annotations

from pathlib import Path

from jko.errors import file_path
from jko.packing import pack, unpack
from jko.writing import make_folder, write_whole


class Store:
    """The folder of an ensemble, or none; a file is named by the problem that it answers."""

    def __init__(self, folder, problem):
        self._problem = problem
        self._folder = None if folder is None else file_path("folder", folder)
        if self._folder is not None:
            if self._folder.exists() and not self._folder.is_dir():
                raise ValueError(f"folder: {str(folder)!r} is a file: give the path of a folder")
            make_folder(self._folder)

    def get(self, member) -> dict | None:
        """What was kept of a member; None where it has not finished."""
        path = self._path(member)
        if path is None or not path.exists():
            return None
        try:
            return unpack(path.read_bytes())
        except Exception:  # a file that was cut off or is none of ours is made anew
            return None

    def put(self, member, result: dict) -> None:
        """Keep a member that finished; one that failed is tried again next time."""
        path = None if result["failure"] else self._path(member)
        if path is not None:
            write_whole(path, pack(result))

    def _path(self, member) -> Path | None:
        if self._folder is None:
            return None
        try:
            return self._folder / f"{self._problem.name_of(member)}.member"
        except Exception:  # a member that cannot even be made has no file
            return None
