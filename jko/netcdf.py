"""Labelled arrays as a netCDF file that can tell whether it is whole.

The last line of the file holds the SHA-256 of every byte before it. HDF5 does not read what lies behind its
own data, so other tools open the file as any other. `read` compares before HDF5 sees a byte: on damaged files
that library raises errors of many kinds, returns other numbers, or does not return.
"""

from __future__ import annotations

import hashlib
import io
import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jko.errors import file_path, shortened
from jko.writing import write_whole

_WORD = b"jko sha256"  # stands in the last line and in an attribute: one damaged place does not hide both
_ATTRIBUTE = "checksum"
_SAYS = f"{_WORD.decode()} of all bytes before it is the last line of this file"
_LINE = len(_WORD) + 67  # a line's end, the words, a space, 64 digits, a line's end


class Labelled(NamedTuple):
    """Arrays whose axes have names: (names of axes, values) by name, the axes' own values, and facts."""

    variables: dict[str, tuple[tuple[str, ...], np.ndarray]]
    coordinates: dict[str, np.ndarray]
    attributes: dict

    @property
    def dataset(self):
        """The same as an xarray.Dataset."""
        import xarray

        return xarray.Dataset(self.variables, coords=self.coordinates, attrs=self.attributes)


def write(labelled: Labelled, path: Path) -> Path:
    """Write arrays beside and rename the file; it is made in memory, for HDF5 does not survive a full disk.

    By h5netcdf alone: xarray, which reads it again, takes a second to import.
    Raises ValueError for what netCDF cannot hold, NotWritten where the file cannot be written.
    """
    import h5netcdf

    buffer = io.BytesIO()
    try:
        with h5netcdf.File(buffer, "w") as file:
            _fill(file, labelled)
    except (TypeError, ValueError, UnicodeError) as error:
        raise ValueError(f"run: netCDF cannot hold all of it: {shortened(error)}") from error
    content = buffer.getvalue()
    return write_whole(path, content + _last_line(hashlib.sha256(content)))


def _fill(file, labelled: Labelled) -> None:
    """The arrays as xarray writes them: truth values as small integers that say so, texts of any length."""
    import h5py

    file.attrs.update(labelled.attributes | {_ATTRIBUTE: _SAYS})
    axes = {name: ((name,), values) for name, values in labelled.coordinates.items()}
    for name, (dimensions, values) in (axes | labelled.variables).items():
        values = np.asarray(values)
        for dimension, size in zip(dimensions, values.shape, strict=True):
            if dimension not in file.dimensions:
                file.dimensions[dimension] = size
        kind = values.dtype.kind
        stored = {"b": np.int8, "O": h5py.string_dtype(), "U": h5py.string_dtype()}.get(kind, values.dtype)
        variable = file.create_variable(name, dimensions, stored, data=values.astype(stored))
        if kind == "b":
            variable.attrs["dtype"] = "bool"


def read(path: Path | str):
    """The Dataset of a netCDF file; one without a checksum, of an earlier version or another tool, as it is.

    Raises ValueError, in one sentence, for a file that is missing, damaged, changed, or none of netCDF.
    """
    import xarray

    path = file_path("path", path)
    if not path.exists():
        raise ValueError(f"path: no file {str(path)!r}")
    _require_whole(path)
    try:
        with xarray.open_dataset(path, engine="h5netcdf", phony_dims="access") as stored:
            dataset = stored.load()
    except Exception as error:  # h5py, h5netcdf and xarray raise errors of any kind on bytes of any kind
        raise ValueError(f"path: {str(path)!r} is not a netCDF file of a run: {shortened(error)}") from error
    dataset.attrs.pop(_ATTRIBUTE, None)
    return dataset


def _require_whole(path: Path) -> None:
    """Refuse an empty file, and one that once had a checksum and is not what was written then."""
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(
            f"path: {str(path)!r} is empty, expected a netCDF file of a run: save the run again, or take "
            "another file"
        )
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(_WORD) < 0:
                return
            with memoryview(content) as view:
                kept = hashlib.sha256(view[:-_LINE])
            if content[-_LINE:] == _last_line(kept):
                return
    except (OSError, ValueError) as error:  # a folder, a file that may not be read
        raise ValueError(f"path: {str(path)!r} is not a netCDF file of a run: {shortened(error)}") from error
    raise ValueError(
        f"path: {str(path)!r} is damaged, or was changed by another tool: its bytes are not those that "
        "Trajectory.save wrote; run it again, or read it with xarray if you changed it"
    )


def _last_line(checksum) -> bytes:
    return b"\n%s %s\n" % (_WORD, checksum.hexdigest().encode())
