"""The initial measure of an experiment, in whichever form a scheme moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from functionals.expression import PointExpression
from jko.experiment.files import Files, read_array, read_image
from jko.experiment.table import Table, prefixed, show
from jko.experiment.terms import gaussian
from jko.measures import Density, Gaussian, Grid, Particles

_KEYS = {
    "gaussian": ("mean", "std", "covariance"),
    "mixture": ("means", "stds", "weights"),
    "indicator": ("lower", "upper"),
    "uniform": (),
    "expression": ("density",),
    "points": ("file", "columns", "bandwidth", "key"),
    "image": ("file", "invert"),
    "gridded": ("file", "key"),
    "exact": (),
}


@dataclass(frozen=True)
class Initial:
    """One measure, three forms: `density()` on the grid, `draw(n, seed)` particles, and a Gaussian if it is one."""

    kind: str
    dimension: int
    density: Callable[[], Density]
    draw: Callable[[int | None, int], Particles]
    gaussian: Gaussian | None = None
    note: str = ""


def initial(table: Table, grid: Grid | None, exact, files: Files) -> Initial:
    """The measure of the table [initial]."""
    kind = table.choice("kind", _KEYS)
    table.allow(("kind", *_KEYS[kind]), f" of the initial measure {kind!r}")
    with prefixed(table.path):
        made = _MAKERS[kind](table, grid, exact, files)
    if grid is not None and made.dimension != grid.dimension:
        table.refuse("kind", f"the measure has dimension {made.dimension}, the grid {grid.dimension}")
    return made


def _of_density(kind, make, grid, note="", gaussian=None) -> Initial:
    """A measure that is known by its values on the grid."""
    if grid is None:
        raise ValueError(f"kind: {kind!r} needs a table [grid]")
    made: list[Density] = []

    def density():
        if not made:
            made.append(make())
        return made[0]

    return Initial(
        kind, grid.dimension, density, _drawing(lambda n, seed: density().sample(n, seed)), gaussian, note
    )


def _drawing(draw):
    def checked(n, seed):
        if n is None:
            raise ValueError("particles: missing, how many to draw from the initial measure")
        return draw(n, seed)

    return checked


def _gaussian(table, grid, exact, files):
    mu = gaussian(table, grid.dimension if grid else None)
    return _from_gaussian("gaussian", mu, grid)


def _from_gaussian(kind, mu, grid):
    return Initial(kind, mu.dimension, lambda: mu.on(grid), _drawing(mu.sample), mu)


def _mixture(table, grid, exact, files):
    means, stds = table.value("means"), table.numbers("stds")
    if not isinstance(means, list) or not means:
        table.refuse("means", f"expected a list of means, got {show(means)}")
    dimension = grid.dimension if grid else int(np.size(means[0]))
    stds = [stds] * len(means) if not isinstance(stds, list) else stds
    if len(stds) != len(means):
        table.refuse("stds", f"expected {len(means)} numbers, one a mean, got {len(stds)}")
    weights = np.asarray(table.numbers("weights", [1.0] * len(means)), dtype=float)
    if weights.shape != (len(means),) or weights.min() <= 0:
        table.refuse("weights", f"expected {len(means)} positive numbers, one a mean, got {weights.tolist()}")
    parts = []
    for number, (mean, std) in enumerate(zip(means, stds, strict=True), start=1):
        with prefixed(table.at(f"means[{number}]")):
            parts.append(Gaussian.of(mean, std, dimension=dimension))

    def draw(n, seed):
        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(parts), size=n, p=weights / weights.sum())
        z = generator.standard_normal((n, dimension))
        roots = np.stack([np.linalg.cholesky(part.covariance()) for part in parts])
        return Particles(
            np.stack([part.mean() for part in parts])[chosen] + np.einsum("nij,nj->ni", roots[chosen], z)
        )

    return Initial("mixture", dimension, lambda: Density.mixture(grid, means, stds, weights), _drawing(draw))


def _indicator(table, grid, exact, files):
    corners = [table.numbers(side) for side in ("lower", "upper")]
    dimension = grid.dimension if grid else max(map(np.size, corners))
    for side, corner in zip(("lower", "upper"), corners, strict=True):
        if np.size(corner) not in (1, dimension):
            table.refuse(side, f"expected {dimension} numbers, got {show(corner)}")
    low, high = (np.broadcast_to(np.asarray(corner, dtype=float), (dimension,)) for corner in corners)
    if not np.all(high > low):
        table.refuse("upper", f"expected to exceed lower along every axis, got {show(corners[1])}")

    def draw(n, seed):
        return Particles(low + (high - low) * np.random.default_rng(seed).random((n, dimension)))

    return Initial("indicator", dimension, lambda: Density.uniform(grid, low, high), _drawing(draw))


def _uniform(table, grid, exact, files):
    return _of_density("uniform", lambda: Density.uniform(grid), grid)


def _expression(table, grid, exact, files):
    if grid is None:
        table.refuse("kind", "'expression' needs a table [grid]")
    with prefixed(table.at("density")):
        rho = PointExpression(table.value("density"), grid.dimension)
    return _of_density("expression", lambda: Density.from_function(grid, rho), grid)


def _points(table, grid, exact, files):
    path = files.find(table)
    columns = table.value("columns", None)
    if columns is not None and not (
        isinstance(columns, list) and all(type(c) is int and c >= 0 for c in columns)
    ):
        table.refuse("columns", f"expected a list of column numbers from 0, got {show(columns)}")
    with prefixed(table.at("file")):
        if path.suffix.lower() == ".csv":
            cloud = Particles.from_csv(path, columns)
        else:
            array = read_array(path, table, "file")
            cloud = Particles(array if columns is None else array[:, columns])
    bandwidth = table.numbers("bandwidth", None)

    def draw(n, seed):
        if n is not None and n > cloud.n:
            raise ValueError(f"particles: expected {cloud.n} at most, the points of the file, got {n}")
        return cloud if n is None else cloud.subsample(n, seed)

    note = f"grid runs start from a Gaussian kernel density estimate of the {cloud.n} points of {path.name}"
    width = "Silverman's bandwidth" if bandwidth is None else f"bandwidth {bandwidth}"
    density = (
        _of_density("points", lambda: Density.kernel_estimate(cloud, grid, bandwidth), grid).density
        if grid
        else None
    )
    return Initial("points", cloud.dimension, density, draw, note=f"{note} ({width})" if grid else "")


def _image(table, grid, exact, files):
    if grid is None or grid.dimension != 2:
        table.refuse("kind", "an image needs a [grid] of 2 dimensions")
    from PIL import Image

    values = read_image(files.find(table), table, "file")
    values = 1.0 - values if table.flag("invert", False) else values
    columns, rows = grid.cells
    averaged = np.asarray(
        Image.fromarray(values.astype(np.float32)).resize((columns, rows), Image.Resampling.BOX), dtype=float
    )
    note = f"an image of {values.shape[1]}×{values.shape[0]} pixels averaged to the grid's {columns}×{rows} cells"
    return _of_density("image", lambda: Density.from_image(averaged, grid.lower, grid.upper), grid, note)


def _gridded(table, grid, exact, files):
    values = read_array(files.find(table), table, "file")
    return _of_density("gridded", lambda: Density(grid, values).normalized(), grid)


def _exact(table, grid, exact, files):
    if exact is None:
        table.refuse("kind", "'exact' needs a table [exact]")
    if hasattr(exact, "at"):
        return _from_gaussian("exact", exact.at(0.0), grid)
    return _of_density("exact", lambda: exact.on(grid, 0.0), grid)


_MAKERS = {
    "gaussian": _gaussian,
    "mixture": _mixture,
    "indicator": _indicator,
    "uniform": _uniform,
    "expression": _expression,
    "points": _points,
    "image": _image,
    "gridded": _gridded,
    "exact": _exact,
}
