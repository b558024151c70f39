"""Files that an experiment names: found beside it, read without running anything in them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from jko.errors import shortened
from jko.experiment.table import Table, nearest, show
from jko.measures.number_table import read_table

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif")


class Files:
    """The files of one experiment: paths begin at `folder`; `copies` says where copies lie instead."""

    def __init__(self, folder: Path, copies: dict[str, str] | None = None):
        self.folder, self.copies = Path(folder), copies or {}
        self.used: dict[str, Path] = {}

    def find(self, table: Table, key: str = "file") -> Path:
        """The path that a key names, relative to the experiment's folder."""
        name = table.text(key)
        path = self.folder / self.copies.get(name, name)
        if not path.is_file():
            table.refuse(key, f"no file {name!r} in {str(self.folder)!r}")
        self.used[name] = path
        return path


def sample_path(table: Table, key: str = "sample") -> Path:
    """A file of matplotlib's own sample data, found without importing matplotlib."""
    name = table.text(key)
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        table.refuse(
            key, "matplotlib, whose sample data this names, is not installed: install it, or give a file"
        )
    folder = Path(found.origin).parent / "mpl-data" / "sample_data"
    names = sorted(path.name for path in folder.glob("*.np[yz]"))
    if name not in names:
        table.refuse(key, f"no sample {name!r} in matplotlib's sample data; {nearest(name, names)}")
    return folder / name


def read_array(path: Path, table: Table, where: str, dimension: int | None = None) -> np.ndarray:
    """Numbers from .npy, .npz (with the table's `key`), .csv or an image (in [0, 1], rows as stored).

    Where `dimension` is 1 a .csv of one column or one row, which stores no shape, is `[cells]`.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _from_archive(path, table, where)
    if "key" in table:
        table.refuse("key", f"only a .npz file has keys, {path.name!r} is none")
    if suffix in IMAGES:
        return read_image(path, table, where)
    if suffix not in (".npy", ".csv"):
        table.refuse(where, f"expected a .npy, .npz, .csv or image file, got {path.name!r}")
    try:
        if suffix == ".npy":
            with open(path, "rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
        else:
            array = read_table(path)
            array = array.ravel() if dimension == 1 and 1 in array.shape else array
    except Exception as error:  # damaged bytes raise errors of any kind in numpy and what it uses
        table.refuse(where, f"{path.name!r} cannot be read as numbers: {shortened(error, 400)}")
    return _numeric(array, table, where)


def read_image(path: Path, table: Table, where: str) -> np.ndarray:
    """The intensities of an image `[rows, columns]` in [0, 1]; colours by their luminance."""
    from PIL import Image

    if path.suffix.lower() not in IMAGES:
        table.refuse(where, f"expected an image ({', '.join(IMAGES)}), got {path.name!r}")
    try:
        with Image.open(path) as image:
            deep = image.mode.startswith(("I", "F"))
            values = np.asarray(image if deep else image.convert("L"), dtype=float)
    except Exception as error:  # damaged bytes raise errors of any kind in Pillow and what it uses
        table.refuse(where, f"{path.name!r} cannot be read as an image: {shortened(error)}")
    return values / (max(values.max(), 1.0) if deep else 255.0)


def _from_archive(path, table, where):
    key = table.text("key")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            names = archive.files
            array = archive[key] if key in names else None
    except Exception as error:  # as above: zipfile and zlib have their own
        table.refuse(where, f"{path.name!r} cannot be read as a .npz file: {shortened(error)}")
    if array is None:
        table.refuse("key", f"no array {key!r} in {path.name!r}; {nearest(key, names)}")
    return _numeric(array, table, where)


def _numeric(array, table, where):
    if array.dtype.kind not in "biuf" or array.size == 0:
        table.refuse(where, f"expected an array of numbers, got dtype {array.dtype} and shape {array.shape}")
    array = np.asarray(array, dtype=float)
    if not np.all(np.isfinite(array)):
        table.refuse(where, f"expected finite numbers, got {np.sum(~np.isfinite(array))} NaN or infinite")
    return array


def gridded_values(table: Table, files: Files, dimension: int) -> np.ndarray:
    """Samples `[*cells]` of a potential from the table's `file` or `sample`.

    In this order: `crop` [[first, stop], …] along the stored axes; `rows_down` turns an image's [row, column]
    into [x1, x2]; `coarsen` averages blocks; `normalise` maps the range to [0, 1]; `scale` multiplies.
    """
    where = table.exactly_one(("file", "sample"))
    path = files.find(table, where) if where == "file" else sample_path(table, where)
    values = read_array(path, table, where, dimension)
    if values.ndim != dimension:
        table.refuse(where, f"expected {dimension} dimensions, the experiment's, got shape {values.shape}")
    if "crop" in table:
        values = _crop(values, table)
    if table.flag("rows_down", path.suffix.lower() in IMAGES):
        if dimension != 2:
            table.refuse("rows_down", f"only an array of 2 dimensions has rows, got {dimension}")
        values = values[::-1].T
    values = _coarsen(values, table)
    if table.flag("normalise", False):
        spread = float(np.ptp(values))
        values = (values - values.min()) / (spread if spread > 0 else 1.0)
    scale = table.numbers("scale", 1.0)
    if isinstance(scale, list):
        table.refuse("scale", "expected one number")
    return values * scale


def _crop(values, table):
    ranges = table.numbers("crop")
    if np.shape(ranges) != (values.ndim, 2):
        table.refuse("crop", f"expected [first, stop] for each of {values.ndim} axes, got {show(ranges)}")
    for (first, stop), length in zip(ranges, values.shape, strict=True):
        if not (isinstance(first, int) and isinstance(stop, int) and 0 <= first < stop <= length):
            table.refuse(
                "crop", f"expected whole numbers 0 <= first < stop <= {length}, got [{first}, {stop}]"
            )
    return values[tuple(slice(first, stop) for first, stop in ranges)]


def _coarsen(values, table):
    factor = table.whole("coarsen", 1)
    if min(values.shape) < 4 * factor:
        table.refuse("coarsen", f"{factor} leaves fewer than 4 samples an axis of shape {values.shape}")
    for axis in range(values.ndim):
        count = values.shape[axis] // factor
        values = np.take(values, range(count * factor), axis=axis)
        shape = (*values.shape[:axis], count, factor, *values.shape[axis + 1 :])
        values = values.reshape(shape).mean(axis=axis + 1)
    return values
