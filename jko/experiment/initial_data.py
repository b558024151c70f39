"""Initial measures that come as data: points, an image, values on the grid."""

from __future__ import annotations

import numpy as np

from jko.experiment.files import read_array, read_image
from jko.experiment.forms import Initial, of_density
from jko.experiment.table import prefixed, show
from jko.measures import Density, Grid, Particles


def points(table, grid: Grid, exact, files):
    """A file of points: particles start from them, grids from a kernel density estimate."""
    path = files.find(table)
    columns = table.value("columns", None)
    whole = isinstance(columns, list) and columns and all(type(c) is int and c >= 0 for c in columns)
    if columns is not None and not whole:
        table.refuse("columns", f"expected a list of column numbers from 0, got {show(columns)}")
    with prefixed(table.at("file")):
        if path.suffix.lower() == ".csv":
            cloud = Particles.from_csv(path, columns)
        else:
            array = read_array(path, table, "file")
            cloud = Particles(array if columns is None else array[:, columns])
    bandwidth = table.numbers("bandwidth", None)

    def draw(n, seed: int):
        if n is not None and n > cloud.n:
            raise ValueError(f"particles: expected {cloud.n} at most, the points of the file, got {n}")
        return cloud if n is None else cloud.subsample(n, seed)

    if grid is None:
        return Initial("points", cloud.dimension, None, draw)
    width = "Silverman's bandwidth" if bandwidth is None else f"bandwidth {bandwidth}"
    note = f"grid runs start from a Gaussian kernel density estimate of the {cloud.n} points of {path.name}"
    estimate = of_density(table, "file", lambda: Density.kernel_estimate(cloud, grid, bandwidth), grid)
    return Initial("points", cloud.dimension, estimate.density, draw, note=f"{note} ({width})")


def image(table, grid: Grid, exact, files):
    """An image as a density: bright is dense, unless `invert`."""
    if grid is None or len(grid.cells) != 2:
        table.refuse("kind", "an image needs a [grid] of 2 dimensions")
    from PIL import Image

    values = read_image(files.find(table), table, "file")
    values = 1.0 - values if table.flag("invert", False) else values
    columns, rows = grid.cells
    picture = Image.fromarray(values.astype(np.float32)).resize((columns, rows), Image.Resampling.BOX)
    averaged = np.asarray(picture, dtype=float)
    pixels = "×".join(map(str, values.shape[::-1]))
    note = f"an image of {pixels} pixels averaged to the grid's {columns}×{rows} cells"
    return of_density(
        table,
        "file",
        lambda: Density(grid, Density.from_image(averaged, grid.lower, grid.upper).values),
        grid,
        note,
    )


def gridded(table, grid: Grid, exact, files):
    """The density's values in the grid's cells."""
    values = read_array(files.find(table), table, "file", 1 if grid is None else len(grid.cells))
    return of_density(table, "file", lambda: grid.density(values).normalized(), grid)
