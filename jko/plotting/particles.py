"""Clouds: over the potential or over another run's density in the plane, as histogram and rug on the line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from functionals import Functional
from jko.measures import Density, Grid, Particles
from jko.plotting import draw, style
from jko.plotting.inputs import by_species, named_runs, stored_by_all, window

_CONTOUR_CELLS = 120  # along an axis of the grid that contours are drawn from


def plot_particles(
    runs: dict,
    exact=None,
    *,
    potential: Callable | Functional | None = None,
    time: float | None = None,
    path=None,
    ax=None,
):
    """The clouds among the runs at `time` (the last that all runs stored), where they started in grey.

    In the plane, and in the plane of the first two coordinates in three dimensions and more, a panel a
    cloud, over contours of `potential` (a functional, whose potential is drawn, or a jax function of a
    point), or without one of the exact density or of the first density among the runs. On the line a
    histogram and a rug under the densities. Returns the figure, or `ax`, axes a cloud where they were given,
    and writes it to `path`; ValueError where no run is a cloud.
    """
    runs = by_species(named_runs(runs))
    clouds = {name: run for name, run in runs.items() if isinstance(run.measures[0], Particles)}
    if not clouds:
        raise ValueError("runs: none of them moves particles: plot_density shows densities")
    time = float(stored_by_all(runs)[-1] if time is None else time)
    line = next(iter(clouds.values())).measures[0].dimension == 1
    panels = (
        _histograms(runs, clouds, exact, time, ax)
        if line
        else _planes(runs, clouds, exact, potential, time, ax)
    )
    return style.finish(panels, path, ax)


def _histograms(runs, clouds, exact, time, ax):
    n = len(clouds)
    panels = style.panels(ax, n, lambda: style.new_figure(4.6 * n, 3.4).subplots(1, n, sharey=True))
    low, high = (float(corner[0]) for corner in window(runs, exact, [time]))
    for axes, (name, run) in zip(panels, clouds.items(), strict=True):
        cloud = run.at(time)
        style.tidy(axes, "x", "density ρ", f"{name}, {cloud.n} particles at t = {time:.3g}")
        index = list(runs).index(name)
        draw.curve(axes, cloud, {"color": style.colour(index), "label": f"{name} (histogram)"}, low, high)
        _rug(axes, cloud, style.colour(index))
        for i, (other, other_run) in enumerate(runs.items()):
            if other not in clouds:
                look = {"color": style.colour(i), "linestyle": style.line(i), "label": other}
                draw.curve(axes, other_run.at(time), look, low, high)
        if exact is not None:
            x = np.linspace(low, high, 500)
            axes.plot(x, exact.density(time, x[:, None]), label="exact", **style.EXACT)
        axes.set_xlim(low, high)
        style.legend(axes)
    return panels


def _rug(axes, cloud, colour):
    shown = cloud.subsample(300, seed=0).positions[:, 0] if cloud.n > 300 else cloud.positions[:, 0]
    axes.plot(
        shown,
        np.zeros_like(shown),
        "|",
        color=colour,
        alpha=0.5,
        markersize=7,
        transform=axes.get_xaxis_transform(),
    )


def _planes(runs: dict, clouds: dict, exact, potential: Callable | Functional, time: float, ax):
    lower, upper = window(clouds, exact, [0.0, time])
    lower, upper = lower[:2], upper[:2]
    ratio = min(max((upper[1] - lower[1]) / (upper[0] - lower[0]), 0.5), 1.8)
    n = len(clouds)
    panels = style.panels(
        ax,
        n,
        lambda: style.new_figure(4.3 * n + 0.3, 4.0 * ratio + 0.8).subplots(1, n, sharex=True, sharey=True),
    )
    for axes, (name, run) in zip(panels, clouds.items(), strict=True):
        cloud = run.at(time)
        style.tidy(axes, "x₁", "x₂", _title(name, cloud, time))
        axes.grid(False)
        axes.set_aspect("equal")
        draw.dots(axes, run.measures[0], "#aaaaaa", label="start")
        draw.dots(axes, cloud, style.colour(list(runs).index(name)), label=f"t = {time:.3g}")
        _contours(axes, runs, exact, potential, time, lower, upper)
        axes.set_xlim(lower[0], upper[0])
        axes.set_ylim(lower[1], upper[1])
        style.legend(axes, loc="upper right", frameon=True, framealpha=0.85, markerscale=3.0)
    return panels


def _title(name: str, cloud: Particles, time: float):
    shown = f", {draw.MOST_DOTS} shown" if cloud.n > draw.MOST_DOTS else ""
    plane = f", the first two of {cloud.dimension} coordinates" if cloud.dimension > 2 else ""
    return f"{name}: {cloud.n} particles{shown}{plane}"


def _contours(
    axes,
    runs: dict,
    exact,
    potential: Callable | Functional,
    time: float,
    lower: np.ndarray,
    upper: np.ndarray,
):
    dimension = next(iter(runs.values())).measures[0].dimension
    if dimension > 2:
        return
    grid = Grid.uniform(tuple(lower), tuple(upper), (_CONTOUR_CELLS, _CONTOUR_CELLS))
    densities = [run for run in runs.values() if isinstance(run.measures[0], Density)]
    if potential is not None:
        _shade(axes, grid, _potential_values(potential, grid.points).reshape(grid.cells))
        return
    if exact is None and not densities:
        return
    density = exact.on(grid, time) if exact is not None else densities[0].at(time)
    what = "exact ρ" if exact is not None else "ρ"
    levels = density.values.max() * np.array([0.05, 0.25, 0.5, 0.75])
    look = {"colors": "#333333", "linewidths": 0.9, "alpha": 0.9}
    lines = axes.contour(*density.grid.axes, density.values.T, levels=levels, **look)
    axes.clabel(lines, fontsize=7, fmt=lambda value: f"{what} {value:.2g}")


def _shade(axes, grid: Grid, values: np.ndarray):
    """The potential as grey levels, equally many cells to each, dark where it is low."""
    levels = np.unique(np.quantile(values, np.linspace(0.0, 0.97, 11)))
    greys = [str(level) for level in np.linspace(0.62, 0.98, len(levels) - 1)]
    shade = axes.contourf(*grid.axes, values.T, levels=levels, colors=[*greys, "1.0"], extend="max", zorder=0)
    bar = axes.figure.colorbar(shade, ax=axes, shrink=0.8, aspect=30)
    bar.set_label("potential V", fontsize=8.5)
    bar.ax.tick_params(labelsize=7.5)
    bar.ax.set_yticks(levels[::2], [f"{level:.3g}" for level in levels[::2]])


def _potential_values(potential: Callable | Functional, points: np.ndarray):
    from functionals import pointwise

    if hasattr(potential, "parts"):
        return potential.parts.potential_values(points)
    return np.asarray(pointwise.values(potential, points))
