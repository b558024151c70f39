"""What one frame of an animation shows, by the kind and the dimension of the measure."""

from __future__ import annotations

import numpy as np

from jko.measures import Density, Measure, Particles
from jko.plotting import draw, style

_SCREEN_DPI = 100  # points an inch of an animation's frames, as screens have them


def painter_for(measures):
    """A figure and `paint(measure, t)`, which puts a measure of the same kind into it."""
    dimension = measures[0].dimension
    lower, upper = _box(measures)
    if dimension == 1:
        return _line_painter(measures, float(lower[0]), float(upper[0]))
    planes = [(0, 1), (0, 2), (1, 2)] if dimension == 3 else [(0, 1)]
    ratio = (upper[planes[0][1]] - lower[planes[0][1]]) / (upper[0] - lower[0])
    figure = style.new_figure(3.3 * len(planes) + 0.9, 3.2 * min(max(ratio, 0.6), 1.5) + 0.9)
    figure.set_dpi(_SCREEN_DPI)
    panels = figure.subplots(1, len(planes), squeeze=False)[0]
    updates = [
        _plane(axes, measures, plane, lower, upper) for axes, plane in zip(panels, planes, strict=True)
    ]
    title = figure.suptitle("t = 0.000", fontsize=11, family="monospace")

    def paint(mu: Measure, t):
        title.set_text(f"t = {t:.3f}")
        for update in updates:
            update(mu)

    return figure, paint


def _line_painter(measures, low, high):
    figure = style.new_figure(5.6, 3.5)
    figure.set_dpi(_SCREEN_DPI)
    axes = style.tidy(figure.subplots(), "x", "density ρ", "t = 0.000")
    axes.set_xlim(low, high)
    first = draw.curve(axes, measures[0], {"color": "#aaaaaa", "linewidth": 1.2}, low, high)
    artist = draw.curve(axes, measures[0], {"color": style.colour(0), "linewidth": 2.0}, low, high)
    first.set_label("start")
    style.legend(axes)
    axes.set_ylim(0.0, 1.05 * max(_height(mu, low, high) for mu in measures))

    def paint(mu: Measure, t):
        axes.set_title(f"t = {t:.3f}", fontsize=11, family="monospace")
        if isinstance(mu, Particles):
            artist.set_data(_histogram(mu, low, high))
        else:
            artist.set_data(*draw.line_values(mu, low, high))

    return figure, paint


def _histogram(mu: Measure, low, high):
    edges = np.linspace(low, high, 61)
    weights = np.asarray(mu.weights, dtype=float)
    return np.histogram(np.asarray(mu.positions[:, 0]), bins=edges, weights=weights)[0] / np.diff(edges)


def _height(mu: Measure, low, high):
    return (
        _histogram(mu, low, high).max()
        if isinstance(mu, Particles)
        else draw.line_values(mu, low, high)[1].max()
    )


def _plane(axes, measures, plane, lower, upper):
    """Axes for one coordinate plane, and the function that shows a measure in them."""
    a, b = plane
    dimension = measures[0].dimension
    style.tidy(axes, style.coordinate(a, dimension), style.coordinate(b, dimension))
    axes.grid(False)
    axes.set_aspect("equal")
    axes.set_xlim(lower[a], upper[a])
    axes.set_ylim(lower[b], upper[b])
    if isinstance(measures[0], Density):
        return _heat_update(axes, measures, plane)
    if isinstance(measures[0], Particles):
        return _dots_update(axes, measures[0], plane)
    return _ellipse_update(axes, plane)


def _heat_update(axes, measures, plane):
    grid = measures[0].grid
    extent = [corner[axis] for axis in plane for corner in (grid.lower, grid.upper)]
    limits = axes.get_xlim(), axes.get_ylim()
    highest = float(np.quantile([_marginal(mu, plane).max() for mu in measures], 0.75))
    image = draw.heat(axes, _marginal(measures[0], plane), extent, highest)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    label = "density ρ" if grid.dimension == 2 else "marginal density"
    axes.figure.colorbar(image, ax=axes, shrink=0.75, extend="max").set_label(label, fontsize=8.5)
    return lambda mu: image.set_data(_marginal(mu, plane).T)


def _marginal(mu: Measure, plane):
    values = mu.values
    for axis in reversed([a for a in range(values.ndim) if a not in plane]):
        values = values.sum(axis=axis) * mu.grid.spacing[axis]
    return values


def _dots_update(axes, cloud, plane):
    generator = np.random.default_rng(0)
    shown = np.sort(generator.permutation(cloud.n)[: draw.MOST_DOTS])  # the same particles in every frame
    size = 30.0 / max(np.sqrt(len(shown)) / 6.0, 1.0)
    artist = axes.scatter([], [], s=size, color=style.colour(0), alpha=0.6, linewidths=0)
    return lambda mu: artist.set_offsets(mu.positions[shown][:, list(plane)])


def _ellipse_update(axes, plane):
    from jko.measures import Gaussian

    lines = [
        axes.plot([], [], color=style.colour(0), linewidth=2.2 - 0.5 * r, label=f"{r}σ")[0] for r in (1, 2, 3)
    ]
    centre = axes.plot([], [], "o", color=style.colour(1), markersize=4)[0]

    def update(mu: Measure):
        index = list(plane)
        flat = Gaussian(mu.mean()[index], mu.covariance()[np.ix_(index, index)])
        centre.set_data([flat.mean()[0]], [flat.mean()[1]])
        for radius, artist in enumerate(lines, start=1):
            artist.set_data(*draw.ellipse_points(flat, radius).T)

    return update


def _box(measures):
    from jko.plotting.inputs import extent

    corners = [extent(mu) for mu in measures]
    return np.min([c[0] for c in corners], axis=0), np.max([c[1] for c in corners], axis=0)
