"""One measure into one set of axes: curves and histograms on the line, maps, dots, ellipses in the plane."""

from __future__ import annotations

import math

import numpy as np

from jko.measures import CellDensity, Density, Gaussian, Grid, Measure, Particles
from jko.plotting import style

MOST_DOTS = 5000
_BINS = 60  # of a histogram along the picture
HEAT_CELLS = 140  # along an axis of a picture of a density, some three points each


def curve(axes, mu: Measure, look: dict, low: float, high: float):
    """The density of a measure on the line; a cloud as its histogram."""
    if isinstance(mu, Particles):
        edges = np.linspace(low, high, _BINS + 1)
        x, w = np.asarray(mu.positions[:, 0], dtype=float), np.asarray(mu.weights, dtype=float)
        heights, _ = np.histogram(x, bins=edges, weights=w)
        heights = heights / np.diff(edges)
        label, colour = look.get("label"), look["color"]
        return axes.stairs(heights, edges, fill=True, color=colour, alpha=0.3, linewidth=0, label=label)
    x, values = line_values(mu, low, high)
    if isinstance(mu, Density) and mu.grid.room is not None:
        edges = mu.grid.edges[0]
        for i in np.flatnonzero(~mu.grid.inside):
            axes.axvspan(edges[i], edges[i + 1], color=style.WALL, linewidth=0, zorder=0)
    return axes.plot(x, values, **look)[0]


def on_first_axis(x: np.ndarray, dimension: int) -> np.ndarray:
    """The points `[n, d]` of abscissae `[n]`."""
    return np.pad(x[:, None], [(0, 0), (0, dimension - 1)])


def line_values(mu: Measure, low, high):
    """Abscissae and density of a measure on the line, masked in walls."""
    if isinstance(mu, CellDensity):
        return mu.grid.axes[0], plane_values(mu, (0,))
    x = np.linspace(low, high, 400)
    return x, np.exp(mu.log_density(x[:, None]))


def heat_values(mu: Measure, lower, upper) -> tuple[np.ndarray, tuple]:
    """Values `[n1, n2]` of the density in the plane of the first two coordinates, and the extent they cover.

    Densities of three dimensions are integrated over the third; a cloud is counted in cells, fewer for a
    smaller one.
    """
    if isinstance(mu, Density):
        return plane_values(mu, (0, 1)), (
            mu.grid.lower[0],
            mu.grid.upper[0],
            mu.grid.lower[1],
            mu.grid.upper[1],
        )
    extent = (lower[0], upper[0], lower[1], upper[1])
    if isinstance(mu, Gaussian):
        cells = (HEAT_CELLS, HEAT_CELLS)
        grid = Grid.uniform(tuple(lower[:2]), tuple(upper[:2]), cells)
        flat = Gaussian(mu.mean()[:2], mu.covariance()[:2, :2])
        return np.exp(flat.log_density(grid.points)).reshape(cells), extent
    cells = int(np.clip(np.sqrt(mu.n) / 2.5, 12, HEAT_CELLS))
    edges = [np.linspace(lower[axis], upper[axis], cells + 1) for axis in range(2)]
    x, y = np.asarray(mu.positions[:, :2], dtype=float).T
    masses, *_ = np.histogram2d(x, y, bins=edges, weights=np.asarray(mu.weights, dtype=float))
    return masses / ((edges[0][1] - edges[0][0]) * (edges[1][1] - edges[1][0])), extent


def plane_values(mu: CellDensity, plane: tuple[int, ...]) -> np.ndarray:
    """The density integrated over the axes that are not in the plane, masked where there are walls alone."""
    others = tuple(a for a in range(len(mu.grid.cells)) if a not in plane)
    values = mu.values.sum(axis=others) * math.prod(mu.grid.spacing[a] for a in others)
    if mu.grid.room is None:
        return values
    return np.ma.masked_array(values, ~mu.grid.inside.any(axis=others))


def heat(axes, values, extent, highest, **options):
    """A heat map with x₁ to the right and x₂ upwards."""
    shown = {
        "cmap": style.heat_colours(),
        "vmin": 0.0,
        "vmax": highest,
        "origin": "lower",
        "aspect": "equal",
        **options,
    }
    return axes.imshow(values.T, extent=extent, interpolation="nearest", **shown)


def colour_bar(figure, image, panels, location: str = "right", shrink: float = 0.9, aspect: int = 25):
    """The colour bar of heat maps on one scale, beside all of their panels."""
    bar = figure.colorbar(
        image, ax=list(np.ravel(panels)), location=location, shrink=shrink, aspect=aspect, pad=0.02
    )
    bar.ax.tick_params(labelsize=7.5)
    bar.set_label("density ρ", fontsize=8)
    return bar


def dots(axes, cloud: Particles, colour: str, size=None, **options):
    """At most MOST_DOTS particles of a cloud in the plane of the first two coordinates."""
    shown = cloud.subsample(MOST_DOTS, seed=0) if cloud.n > MOST_DOTS else cloud
    size = 30.0 / max(np.sqrt(shown.n) / 6.0, 1.0) if size is None else size
    look = {"s": size, "color": colour, "alpha": 0.55, "linewidths": 0, **options}
    return axes.scatter(shown.positions[:, 0], shown.positions[:, 1], **look)


def ellipse_points(gaussian, radius: float, count: int = 100) -> np.ndarray:
    """The points `[count, 2]` at `radius` standard deviations, in the plane of the first two coordinates."""
    angle = np.linspace(0.0, 2.0 * np.pi, count)
    root = np.linalg.cholesky(gaussian.covariance()[:2, :2])
    return gaussian.mean()[:2] + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1) @ root.T
