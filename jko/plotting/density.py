"""Densities of several runs at a few times: curves on the line, heat maps in the plane."""

from __future__ import annotations

import numpy as np

from jko.measures import Density, Particles
from jko.plotting import draw, style
from jko.plotting.inputs import by_species, chosen_times, named_runs, window


def plot_density(runs, exact=None, *, times=None, path=None, shared_scale: bool = True, ax=None):
    """The density of each run, and of each of its species, at a few times, beside the exact one.

    On the line one panel a time, a curve a run, clouds as histograms. In the plane a row a run and a column
    a time, all on one colour scale with one bar; `shared_scale=False` gives each time a scale and a bar of
    its own, where a density flattens so much that the late ones fade. Three dimensions are integrated over
    the third; clouds are histograms. `times` are the nearest stored ones, by default four. Returns the
    figure, or `ax`, axes for each panel where they were given (on the line a time, in the plane row by row),
    and writes it to `path`; ValueError for d > 3.
    """
    runs = by_species(named_runs(runs))
    dimension = next(iter(runs.values())).measures[0].coordinates
    if dimension > 3:
        raise ValueError(f"runs: expected 1, 2 or 3 dimensions, got {dimension}: project the measures first")
    times = chosen_times(runs, times, 4)
    line = dimension == 1
    panels = _curves(runs, exact, times, ax) if line else _heat_maps(runs, exact, times, shared_scale, ax)
    return style.finish(panels, path, ax)


def _curves(runs, exact, times, ax):
    columns = min(len(times), 2) if len(times) != 3 else 3
    rows = -(-len(times) // columns)
    panels = style.panels(
        ax,
        len(times),
        lambda: style.new_figure(4.4 * columns, 2.7 * rows).subplots(rows, columns, sharex=True),
    )
    low, high = (float(corner[0]) for corner in window(runs, exact, times))
    for axes, t in zip(panels, times, strict=False):
        style.tidy(axes, title=f"t = {t:.3g}")
        for i, (name, run) in enumerate(runs.items()):
            look = {"color": style.colour(i), "linestyle": style.line(i), "linewidth": 1.7, "label": name}
            draw.curve(axes, run.at(t), look, low, high)
        if exact is not None:
            x = np.linspace(low, high, 500)
            axes.plot(
                x, exact.density(t, draw.on_first_axis(x, exact.dimension)), label="exact", **style.EXACT
            )
        axes.set_xlim(low, high)
        axes.set_ylim(bottom=0.0)
    for axes in panels[len(times) :]:
        axes.set_visible(False)
    for index, axes in enumerate(panels[: len(times)]):
        if index + columns >= len(times):
            axes.set_xlabel("x", fontsize=9.5)
        if index % columns == 0:
            axes.set_ylabel("density ρ", fontsize=9.5)
    style.legend(panels[0])
    return panels


def _heat_maps(runs, exact, times, shared_scale, ax):
    lower, upper = window(runs, exact, times)
    rows = {_row_title(name, run): [run.at(t) for t in times] for name, run in runs.items()}
    maps = {
        title: [draw.heat_values(mu, lower, upper) for mu in measures] for title, measures in rows.items()
    }
    if exact is not None:
        maps["exact"] = [_exact_map(exact, t, runs, lower, upper) for t in times]
    height = 2.35 * min(max((upper[1] - lower[1]) / (upper[0] - lower[0]), 0.5), 1.6)
    shape = len(maps), len(times)
    flat = style.panels(
        ax,
        shape[0] * shape[1],
        lambda: style.new_figure(2.35 * shape[1] + 1.1, height * shape[0] + 0.7).subplots(
            *shape, squeeze=False, sharex=True, sharey=True
        ),
    )
    figure, panels = flat[0].figure, np.array(flat, dtype=object).reshape(shape)
    highest = [max(column[k][0].max() for column in maps.values()) for k in range(len(times))]
    if shared_scale:
        highest = [max(highest)] * len(times)
    for row, (title, images) in zip(panels, maps.items(), strict=True):
        for axes, (values, extent), top in zip(row, images, highest, strict=True):
            draw.heat(axes, values, extent, top)
            axes.set_xlim(lower[0], upper[0])
            axes.set_ylim(lower[1], upper[1])
            axes.tick_params(labelsize=8)
        row[0].set_ylabel(f"{title}\nx₂", fontsize=9)
    for t, first, last in zip(times, panels[0], panels[-1], strict=True):
        first.set_title(f"t = {t:.3g}", fontsize=10)
        last.set_xlabel("x₁", fontsize=9)
    if shared_scale:
        draw.colour_bar(figure, panels[0, 0].images[0], panels)
    else:
        for column in panels.T:
            draw.colour_bar(figure, column[0].images[0], column, location="bottom", shrink=0.85, aspect=18)
    return flat


def _row_title(name: str, run):
    return f"{name}\n(histogram)" if isinstance(run.measures[0], Particles) else name


def _exact_map(exact, t, runs, lower, upper):
    grids = [run.measures[0].grid for run in runs.values() if isinstance(run.measures[0], Density)]
    if grids:
        return draw.heat_values(exact.on(grids[0], t), lower, upper)
    from jko.measures import Grid

    cells = tuple({2: (140, 140), 3: (48, 48, 48)}[exact.dimension])
    return draw.heat_values(exact.on(Grid.uniform(tuple(lower), tuple(upper), cells), t), lower, upper)
