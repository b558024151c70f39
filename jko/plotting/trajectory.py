"""One run at a glance: how its measure moves, how its energy falls, what its steps certify."""

from __future__ import annotations

import numpy as np

from jko.plotting import draw, style
from jko.plotting.inputs import chosen_times, require_one, window

_CURVES = 9  # densities over one another in a picture, at most
_MAPS = 4  # maps beside one another in a picture, at most


def plot_trajectory(run, *, path=None, shared_scale: bool = True, ax=None):
    """The measure at several times, the energy, and the certificate of the steps, in one picture.

    The heat maps of planar densities share one colour scale and its bar; `shared_scale=False` gives each its
    own. In more than three dimensions only energy and certificate are drawn. Returns the figure, or `ax`,
    axes for the measure (in the plane one a map), the energy and the certificate where they were given, and
    writes it to `path`.
    """
    require_one(run)
    dimension = run.measures[0].coordinates
    times = chosen_times({"run": run}, None, _MAPS) if dimension in (2, 3) else []
    maps = 1 if dimension == 1 else len(times)
    *panels, middle, right = style.panels(ax, maps + 2, lambda: _laid_out(run, dimension, maps))
    if dimension == 1:
        _curves(panels[0].figure, panels[0], run)
    elif maps:
        _maps(panels, run, times, shared_scale)
    _energy(middle, run)
    _certificate(right, run)
    return style.finish([middle], path, ax)


def _laid_out(run, dimension: int, maps: int) -> list:
    """Axes of a figure of its own: curves, energy and certificate in a row, or maps above the last two."""
    if dimension == 1:
        return list(style.new_figure(11.0, 3.6).subplots(1, 3, width_ratios=(1.5, 1, 1)))
    figure = style.new_figure(11.0, 6.0 if maps else 3.4)
    parts = figure.subfigures(2 if maps else 1, 1, squeeze=False)[:, 0]
    above = []
    if maps:
        parts[0].suptitle(run.scheme.split("(")[0], fontsize=11)
        above = list(parts[0].subplots(1, maps, sharex=True, sharey=True, squeeze=False)[0])
    return [*above, *parts[-1].subplots(1, 2)]


def _curves(figure, axes, run):
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    style.tidy(axes, "x", "density ρ", run.scheme.split("(")[0])
    times = chosen_times({"run": run}, None, _CURVES)
    low, high = (float(corner[0]) for corner in window({"run": run}, None, times))
    shade = ScalarMappable(Normalize(0.0, float(np.sqrt(times[-1])) or 1.0), colormaps["viridis_r"])
    for t in times:
        draw.curve(axes, run.at(t), {"color": shade.to_rgba(np.sqrt(t)), "linewidth": 1.6}, low, high)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom=0.0)
    bar = figure.colorbar(shade, ax=axes, pad=0.01, aspect=30)
    bar.set_ticks(
        np.sqrt(times[[0, len(times) // 2, -1]]), labels=[f"{t:.3g}" for t in times[[0, len(times) // 2, -1]]]
    )
    bar.set_label("time t", fontsize=9)


def _maps(panels, run, times, shared_scale):
    lower, upper = window({"run": run}, None, times)
    for axes, t in zip(panels, times, strict=True):
        style.tidy(axes, "x₁", "x₂" if t == times[0] else "", f"t = {t:.3g}")
        axes.grid(False)
        axes.set_aspect("equal")
    if hasattr(run.measures[0], "positions"):
        for axes, t in zip(panels, times, strict=True):
            draw.dots(axes, run.at(t), style.colour(0))
    else:
        _heat_row(
            panels[0].figure, panels, [draw.heat_values(run.at(t), lower, upper) for t in times], shared_scale
        )
    for axes in panels:
        axes.set_xlim(lower[0], upper[0])
        axes.set_ylim(lower[1], upper[1])


def _heat_row(part, panels, maps, shared_scale):
    """Heat maps side by side, on one scale with one bar or each on its own."""
    highest = max(values.max() for values, _ in maps)
    for axes, (values, extent) in zip(panels, maps, strict=True):
        draw.heat(axes, values, extent, highest if shared_scale else values.max())
    if shared_scale:
        draw.colour_bar(part, panels[0].images[0], panels)
        return
    for axes in panels:
        draw.colour_bar(part, axes.images[0], axes, shrink=0.8)


def _energy(axes, run):
    kinds = {"exact": "F", "estimate": "F (estimate)", "regularised": "regularised F"}
    style.tidy(axes, style.TIME, kinds.get(run.energy_kind, "F"), "energy")
    axes.plot(
        run.times, run.energy, color=style.colour(0), marker="o" if len(run) <= 45 else "", markersize=3
    )
    if np.any(run.energy_uncertainty > 0):
        low, high = run.energy - run.energy_uncertainty, run.energy + run.energy_uncertainty
        axes.fill_between(run.times, low, high, color=style.colour(0), alpha=0.2, linewidth=0)


def _certificate(axes, run):
    """What each step certifies: gap, mass error, dissipation; whatever the scheme gives."""
    style.tidy(axes, "step", "", "certificate of each step")
    steps = np.arange(1, run.info.n_steps + 1)
    named = (("gap", "gap: primal − dual"), ("mass_error", "mass error"), ("dissipation", "dissipation"))
    for i, (column, label) in enumerate(named):
        values = run.info[column]
        if np.any(values > 0):
            look = {"color": style.colour(i), "linestyle": style.line(i), "linewidth": 1.4}
            axes.plot(steps, np.where(values > 0, values, np.nan), label=label, **look)
    if axes.lines:
        axes.set_yscale("log")
        style.legend(axes)
    else:
        axes.text(
            0.5, 0.5, "this scheme certifies nothing", ha="center", transform=axes.transAxes, color=style.GREY
        )
