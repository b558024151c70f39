"""The initial measure of an experiment, in whichever form a scheme moves."""

from __future__ import annotations

import numpy as np

from functionals.expression import PointExpression
from jko.experiment import initial_data
from jko.experiment.files import Files
from jko.experiment.forms import Initial, blaming, drawing, of_density
from jko.experiment.table import ExperimentError, Table, counted, prefixed, show
from jko.experiment.terms import gaussian
from jko.measures import Density, Gaussian, Grid, Measure, Particles, Species

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


def initial(table: Table, grid: Grid | None, exact, files: Files) -> Initial:
    """The measure of the table [initial]."""
    kind = table.choice("kind", _KEYS)
    table.allow(("kind", *_KEYS[kind]), f" of the initial measure {kind!r}")
    with prefixed(table.path):
        made = _MAKERS[kind](table, grid, exact, files)
    if grid is not None and made.dimension != grid.dimension:
        table.refuse("kind", f"the measure has dimension {made.dimension}, the grid {grid.dimension}")
    return made


def species(table: Table, grid: Grid | None, files: Files) -> Initial:
    """The measures of the tables [species.NAME], as one `Species` in either form."""
    if not table.entries:
        table.refuse("NAME", "missing; write a table [species.NAME] for each, with the keys of [initial]")
    parts = {}
    for name in table.entries:
        if not name.isidentifier():
            table.refuse(name, "a species is named by a word of letters, digits and _")
        parts[name] = initial(table.table(name), grid, None, files)
    dimensions = {name: part.dimension for name, part in parts.items()}
    if len(set(dimensions.values())) > 1:
        raise ExperimentError(f"species: expected measures of one dimension, got {dimensions}")

    def draw(n: int | None, seed: int) -> Species:
        seeds = np.random.SeedSequence(seed).generate_state(len(parts))  # no two species alike
        drawn = zip(parts.items(), seeds, strict=True)
        return Species(**{name: part.draw(n, int(own)) for (name, part), own in drawn})

    def density() -> Species:
        return Species(**{name: part.density() for name, part in parts.items()})

    note = "; ".join(f"{name}: {part.note}" for name, part in parts.items() if part.note)
    return Initial("species", dimensions[next(iter(parts))], density, draw, note=note)


def _gaussian(table: Table, grid: Grid, exact, files: Files):
    mu = gaussian(table, grid.dimension if grid else None)
    return _from_gaussian(table, "mean", mu, grid)


def _from_gaussian(table: Table, key: str, mu: Measure, grid: Grid):
    density = blaming(table, key, lambda: mu.on(grid))
    return Initial(table.text("kind"), mu.dimension, density, drawing(mu.sample), mu)


def _mixture(table, grid: Grid, exact, files):
    means, stds = table.value("means"), table.numbers("stds")
    if not isinstance(means, list) or not means:
        table.refuse("means", f"expected a list of means, got {show(means)}")
    dimension = grid.dimension if grid else int(np.size(means[0]))
    stds = [stds] * len(means) if not isinstance(stds, list) else stds
    if len(stds) != len(means):
        table.refuse("stds", f"expected {len(means)} numbers, one a mean, got {len(stds)}")
    weights = np.asarray(table.numbers("weights", [1.0] * len(means)), dtype=float)
    if weights.shape != (len(means),) or weights.min() <= 0:
        table.refuse(
            "weights", f"expected {len(means)} positive numbers, one a mean, got {show(weights.tolist())}"
        )
    parts = []
    for number, (mean, std) in enumerate(zip(means, stds, strict=True), start=1):
        with prefixed(table.at(f"means[{number}]")):
            parts.append(Gaussian.of(mean, std, dimension=dimension))

    def draw(n, seed: int):
        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(parts), size=n, p=weights / weights.sum())
        z = generator.standard_normal((n, dimension))
        roots = np.stack([np.linalg.cholesky(part.covariance()) for part in parts])
        return Particles(
            np.stack([part.mean() for part in parts])[chosen] + np.einsum("nij,nj->ni", roots[chosen], z)
        )

    density = blaming(table, "means", lambda: Density.mixture(grid, means, stds, weights))
    return Initial("mixture", dimension, density, drawing(draw))


def _indicator(table, grid: Grid, exact, files):
    corners = [table.numbers(side) for side in ("lower", "upper")]
    dimension = grid.dimension if grid else max(map(np.size, corners))
    for side, corner in zip(("lower", "upper"), corners, strict=True):
        if np.size(corner) not in (1, dimension):
            table.refuse(side, f"expected {counted(dimension)}, got {show(corner)}")
    low, high = (np.broadcast_to(np.asarray(corner, dtype=float), (dimension,)) for corner in corners)
    if not np.all(high > low):
        table.refuse("upper", f"expected to exceed lower along every axis, got {show(corners[1])}")

    def draw(n, seed: int):
        return Particles(low + (high - low) * np.random.default_rng(seed).random((n, dimension)))

    density = blaming(table, "lower", lambda: Density.uniform(grid, low, high))
    return Initial("indicator", dimension, density, drawing(draw))


def _uniform(table: Table, grid: Grid, exact, files: Files):
    return of_density(table, "kind", lambda: Density.uniform(grid), grid)


def _expression(table, grid: Grid, exact, files):
    if grid is None:
        table.refuse("kind", "'expression' needs a table [grid]")
    with prefixed(table.at("density")):
        rho = PointExpression(table.value("density"), grid.dimension)
    return of_density(table, "density", lambda: Density.from_function(grid, rho), grid)


def _exact(table, grid: Grid, exact, files):
    if exact is None:
        table.refuse("kind", "'exact' needs a table [exact]")
    if hasattr(exact, "at"):
        return _from_gaussian(table, "kind", exact.at(0.0), grid)
    return of_density(table, "kind", lambda: exact.on(grid, 0.0), grid)


_MAKERS = {
    "gaussian": _gaussian,
    "mixture": _mixture,
    "indicator": _indicator,
    "uniform": _uniform,
    "expression": _expression,
    "points": initial_data.points,
    "image": initial_data.image,
    "gridded": initial_data.gridded,
    "exact": _exact,
}
