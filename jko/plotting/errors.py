"""How far runs are from the flow and from their exact iterates: bounds as bands, true distances as dots."""

from __future__ import annotations

import numpy as np

from jko.bounds import Kind
from jko.plotting import style
from jko.plotting.inputs import named_runs

_DECADES = 1e-5  # of the largest value, below which the picture ends
_MARKS = {Kind.PROVEN: " (proven)", Kind.GRID: " (up to the grid)", Kind.ESTIMATE: " (an estimate)"}


def has_bounds(runs) -> bool:
    """Whether any of these runs has a bound to draw."""
    return any(run.flow_error_bound_kind is not Kind.NONE for run in named_runs(runs).values())


def plot_errors(runs, distances=None, *, path=None, ax=None):
    """W₂ to the gradient flow over time: below each run's `flow_error_bound` a band, which holds the truth.

    Dashed lines are `error_bound`, W₂ to the exact iterates, where it is of a like size. `runs` is a
    Trajectory or a dict of them; `distances` maps names to (times, W₂ to the exact answer), drawn as dots.
    ValueError where there is neither a bound nor a distance. Returns the figure, or the axes `ax` where they
    were given, and writes it to `path`.
    """
    runs, distances = named_runs(runs), distances or {}
    if not has_bounds(runs) and not distances:
        raise ValueError(
            "runs: none has a bound to draw (Trajectory.flow_error_bound is NaN): take a scheme of jko.steps"
        )
    (axes,) = style.panels(ax, 1, lambda: style.new_figure(8.4, 4.0).subplots())
    style.tidy(axes, style.TIME, "$W_2$", "distance to the gradient flow, and its bound")
    axes.set_yscale("log")
    low, high = _range(runs, distances)
    for i, (name, run) in enumerate(runs.items()):
        axes.plot([], [], color=style.colour(i), linewidth=4.0, label=f"{name}{_mark(run)}")
        _bounds(axes, run, style.colour(i), low)
        if name in distances:
            times, values = (np.asarray(column) for column in distances[name])
            axes.plot(times, np.where(values > 0.0, values, np.nan), color=style.colour(i), **_DOTS)
    if high > 0.0:
        axes.set_ylim(low, 2.5 * high)
    for label, look in (
        ("bound", _LINE),
        ("bound to the exact iterates", _DASHES),
        ("to the exact answer", _DOTS),
    ):
        if any(_looks(line, look) for line in axes.lines):
            axes.plot([], [], color=style.GREY, label=label, **look)
    style.legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return style.finish([axes], path, ax)


_LINE = {"linestyle": "-", "linewidth": 1.6}  # the look of a bound
_DASHES = {"linestyle": "--", "linewidth": 1.1}  # the look of a bound to the exact iterates
_DOTS = {"linestyle": "None", "marker": "o", "markersize": 4.5}  # the look of distances to an exact answer


def _looks(line, look) -> bool:
    return len(line.get_xdata()) > 0 and line.get_linestyle() == look["linestyle"]


def _mark(run) -> str:
    return _MARKS.get(run.flow_error_bound_kind, "")


def _range(runs, distances):
    """The least and largest value to be seen."""
    values = [run.flow_error_bound for run in runs.values()]
    values += [np.asarray(column) for _, column in distances.values()]
    seen = np.concatenate(values)
    seen = seen[np.isfinite(seen) & (seen > 0.0)]
    if not seen.size:
        return 0.0, 0.0
    return max(0.4 * float(seen.min()), _DECADES * float(seen.max())), float(seen.max())


def _bounds(axes, run, colour, low):
    times, bound, iterates = run.times[1:], run.flow_error_bound[1:], run.error_bound[1:]
    if run.flow_error_bound_kind is not Kind.NONE:
        axes.plot(times, bound, color=colour, **_LINE)
        axes.fill_between(times, 1e-300, bound, color=colour, alpha=0.13, linewidth=0)
    if np.any(iterates > low):
        axes.plot(times, iterates, color=colour, **_DASHES)
