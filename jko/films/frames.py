"""What a panel of a film shows, by the kind and the dimension of the measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jko.films.stage import Stage
from jko.films.tolerances import TOLERANCES
from jko.measures import Density, Measure, Particles
from jko.plotting import draw, style
from jko.plotting.inputs import extent

Update = Callable[[Any], object]


def painter_for(measures: Sequence[Any]) -> tuple[Stage, Callable]:
    """A stage for the measures alone and `paint(measure, t)`, which puts one of them onto it."""
    dimension = measures[0].coordinates
    lower, upper = box(measures)
    if dimension == 1:
        stage = Stage(style.new_figure(5.6, 3.5))
        axes = style.tidy(stage.figure.subplots(), "x", "density ρ")
        updates = [line_panel(stage, axes, measures, lower[0], upper[0], style.colour(0))]
        style.legend(axes)
    else:
        planes = planes_of(dimension)
        ratio = (upper[planes[0][1]] - lower[planes[0][1]]) / (upper[0] - lower[0])
        figure = style.new_figure(3.3 * len(planes) + 0.9, 3.2 * min(max(ratio, 0.6), 1.5) + 0.9)
        stage = Stage(figure)
        panels = figure.subplots(1, len(planes), squeeze=False)[0]
        updates = [
            plane_panel(stage, axes, measures, plane, lower, upper, style.colour(0))
            for axes, plane in zip(panels, planes, strict=True)
        ]
    stage.figure.set_dpi(100)  # as screens have them
    clock = clock_of(stage)

    def paint(mu: Measure, t: float) -> None:
        clock(t)
        for update in updates:
            update(mu)

    return stage, paint


def clock_of(stage: Stage) -> Callable[[float], None]:
    """The time above all panels, to be set."""
    title = stage.figure.suptitle("t = 0.000", fontsize=11, family="monospace")
    stage.moving(title)
    return lambda t: title.set_text(f"t = {t:.3f}")


def planes_of(dimension: int) -> list[tuple[int, int]]:
    """The coordinate planes in which a measure of two dimensions and more is shown."""
    return [(0, 1), (0, 2), (1, 2)] if dimension == 3 else [(0, 1)]


def box(measures: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box that holds all of the measures."""
    corners = [extent(mu) for mu in measures]
    return np.min([c[0] for c in corners], axis=0), np.max([c[1] for c in corners], axis=0)


def line_panel(
    stage: Stage, axes, measures: Sequence[Any], low: float, high: float, colour: str, start: bool = True
) -> Update:
    """The density on the line, a cloud as its histogram; where it started in grey."""
    axes.set_xlim(low, high)
    if start:
        grey = {"color": "#aaaaaa", "linewidth": 1.2, "label": "start"}
        draw.curve(axes, measures[0], grey, low, high)
    artist = draw.curve(axes, measures[0], {"color": colour, "linewidth": 2.0}, low, high)
    if isinstance(measures[0], Particles):
        artist.set_alpha(0.55)
    stage.moving(artist)
    axes.set_ylim(0.0, 1.05 * max(_height(mu, low, high) for mu in measures))

    def update(mu: Measure) -> None:
        if isinstance(mu, Particles):
            artist.set_data(_histogram(mu, low, high))
        else:
            artist.set_data(*draw.line_values(mu, low, high))

    return update


def _histogram(mu: Particles, low: float, high: float) -> np.ndarray:
    edges = np.linspace(low, high, TOLERANCES.bins + 1)
    weights = np.asarray(mu.weights)
    return np.histogram(np.asarray(mu.positions)[:, 0], bins=edges, weights=weights)[0] / np.diff(edges)


def _height(mu: Measure, low: float, high: float) -> float:
    shown = _histogram(mu, low, high) if isinstance(mu, Particles) else draw.line_values(mu, low, high)[1]
    return float(shown.max())


def plane_panel(
    stage: Stage, axes, measures: Sequence[Any], plane: tuple, lower, upper, colour: str, highest=None
) -> Update:
    """A measure in one coordinate plane: densities as heat maps up to `highest`, particles as dots,
    Gaussians as ellipses of 1, 2 and 3 standard deviations."""
    a, b = plane
    dimension = measures[0].dimension
    style.tidy(axes, style.coordinate(a, dimension), style.coordinate(b, dimension))
    axes.grid(False)
    axes.set_aspect("equal")
    limits = {"xlim": (lower[a], upper[a]), "ylim": (lower[b], upper[b])}
    axes.set(**limits)
    if isinstance(measures[0], Density):
        update = _heat(stage, axes, measures, plane, highest)
        axes.set(**limits)
        return update
    if isinstance(measures[0], Particles):
        return _dots(stage, axes, measures[0], plane, colour)
    return _ellipses(stage, axes, plane, colour)


def highest_of(measures: Sequence[Any], plane: tuple) -> float:
    """The end of a colour scale: a few early peaks may be beyond it, so that what is late is seen."""
    return float(np.quantile([draw.plane_values(mu, plane).max() for mu in measures], 0.75))


def _heat(stage: Stage, axes, measures: Sequence[Any], plane: tuple, highest) -> Update:
    grid = measures[0].grid
    corners = [corner[axis] for axis in plane for corner in (grid.lower, grid.upper)]
    highest = highest_of(measures, plane) if highest is None else highest
    image = stage.moving(draw.heat(axes, draw.plane_values(measures[0], plane), corners, highest))
    stage.moving(*axes.spines.values())  # above the image
    label = "density ρ" if grid.dimension == 2 else "marginal density"
    axes.figure.colorbar(image, ax=axes, shrink=0.75, extend="max").set_label(label, fontsize=8.5)
    return lambda mu: image.set_data(draw.plane_values(mu, plane).T)


def _dots(stage: Stage, axes, cloud: Particles, plane: tuple, colour: str) -> Update:
    generator = np.random.default_rng(0)
    shown = np.sort(generator.permutation(cloud.n)[: draw.MOST_DOTS])  # the same particles in every frame
    size = 30.0 / max(np.sqrt(len(shown)) / 6.0, 1.0)
    # one marker drawn many times: a tenth of the time of a collection
    look = {"marker": "o", "markersize": np.sqrt(size), "markeredgewidth": 0, "alpha": 0.6}
    artist = stage.moving(axes.plot([], [], linestyle="", color=colour, **look)[0])

    def update(mu: Particles) -> None:
        here = shown if mu.n == cloud.n else shown[shown < mu.n]
        artist.set_data(*mu.positions[here][:, list(plane)].T)

    return update


def _ellipses(stage: Stage, axes, plane: tuple, colour: str) -> Update:
    from jko.measures import Gaussian

    look = [{"color": colour, "linewidth": 2.2 - 0.5 * r, "label": f"{r}σ"} for r in (1, 2, 3)]
    lines = [stage.moving(axes.plot([], [], **chosen)[0]) for chosen in look]
    centre = stage.moving(axes.plot([], [], "o", color=style.colour(1), markersize=4)[0])

    def update(mu: Gaussian) -> None:
        index = list(plane)
        flat = Gaussian(mu.mean()[index], mu.covariance()[np.ix_(index, index)])
        centre.set_data([flat.mean()[0]], [flat.mean()[1]])
        for radius, artist in enumerate(lines, start=1):
            artist.set_data(*draw.ellipse_points(flat, radius).T)

    return update
