"""Runs side by side as a film: the measure of each, and their energies with a marker of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jko.errors import positive_number
from jko.films.frames import box, clock_of, highest_of, line_panel, plane_panel
from jko.films.stage import Stage, stage_of
from jko.films.tolerances import TOLERANCES
from jko.films.writer import FPS, SIZE, film_path, film_size, write_film
from jko.measures import Density, Particles
from jko.plotting import draw, style
from jko.plotting.inputs import by_species, named_runs
from jko.trajectory import Trajectory


def film_of_runs(
    runs: Trajectory | dict[str, Trajectory],
    path,
    exact=None,
    *,
    seconds: float = 8.0,
    fps: float = FPS,
    size: tuple[int, int] = SIZE,
    progress: bool | None = None,
) -> Path:
    """Write one run, or several by name, as a film of `seconds`; returns the path.

    A panel a run: the density on the line, where the exact one (`exact`) is dotted, a heat map in the
    plane, all on one colour scale, or particles as a histogram or as dots; of three dimensions and more the
    first two. Each of several species is a run. The last panel has the energies over time, bright up to now.
    The film's time is the runs'; at each moment the nearest stored measure is seen, nothing between them is
    made up. See `write_film` for the file.

    Raises TypeError for what is no run, ValueError for runs of different dimensions or too many of them.
    """
    path, size = film_path(path), film_size(size)
    seconds, fps = positive_number("seconds", seconds), positive_number("fps", fps)
    runs = named_runs(runs)
    shown = by_species(runs)
    if len(shown) >= TOLERANCES.panels:
        raise ValueError(f"runs: expected {TOLERANCES.panels - 1} at most in one film, got {len(shown)}")
    stage = stage_of(size, min(size[0] / TOLERANCES.width, size[1] / TOLERANCES.height))
    *panels, last = _panels(stage, len(shown) + 1)
    updates = _measure_panels(stage, panels, shown, exact)
    updates.append(_energy_panel(stage, last, runs))
    updates.append(clock_of(stage))
    count = max(2, round(seconds * fps))
    start, end = min(run.times[0] for run in runs.values()), max(run.times[-1] for run in runs.values())
    times = np.linspace(start, end, count)

    def draw(k: int) -> np.ndarray:
        for update in updates:
            update(times[k])
        return stage.frame()

    return write_film(path, draw, count, fps=fps, progress=progress)


def _panels(stage: Stage, count: int) -> list:
    rows = 1 if count <= 3 else 2 if count <= 6 else 3
    columns = math.ceil(count / rows)
    panels = stage.figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count - 1 : -1]:
        axes.set_visible(False)
    return [*panels[: count - 1], panels[-1]]


def _measure_panels(stage: Stage, panels: list, runs: dict, exact) -> list[Callable[[float], object]]:
    sampled = [mu for run in runs.values() for mu in run.measures]
    lower, upper = box(sampled)
    densities = [mu for mu in sampled if isinstance(mu, Density)]
    highest = highest_of(densities, (0, 1)) if densities and densities[0].dimension > 1 else None
    updates: list[Callable[[float], object]] = []

    def shown(run: Trajectory, update: Callable) -> Callable[[float], object]:
        return lambda t: update(run.measures[_nearest(run, t)])

    for i, (axes, (name, run)) in enumerate(zip(panels, runs.items(), strict=True)):
        colour = style.colour(i)
        if run.final.coordinates == 1:
            style.tidy(axes, "x", "density ρ")
            update = line_panel(stage, axes, run.measures, float(lower[0]), float(upper[0]), colour)
            if exact is not None:
                updates.append(_exact_curve(stage, axes, exact))
            style.legend(axes, loc="upper right")
        else:
            update = plane_panel(stage, axes, run.measures, (0, 1), lower, upper, colour, highest)
        axes.set_title(_title(name, run), fontsize=10)
        updates.append(shown(run, update))
    if next(iter(runs.values())).final.coordinates == 1:
        highest = max(axes.get_ylim()[1] for axes in panels)
        for axes in panels:
            axes.set_ylim(0.0, highest)
    return updates


def _title(name: str, run: Trajectory) -> str:
    return f"{name}: {run.final.n} particles" if isinstance(run.final, Particles) else name


def _nearest(run: Trajectory, t: float) -> int:
    return int(np.argmin(np.abs(run.times - t)))


def _exact_curve(stage: Stage, axes, exact) -> Callable[[float], object]:
    low, high = axes.get_xlim()
    x = np.linspace(low, high, 400)
    points = draw.on_first_axis(x, exact.dimension)
    line = stage.moving(axes.plot(x, exact.density(0.0, points), label="exact", **style.EXACT)[0])
    return lambda t: line.set_ydata(exact.density(t, points))


def _energy_panel(stage: Stage, axes, runs: dict) -> Callable[[float], object]:
    style.tidy(axes, style.TIME, "energy F", "energy")
    moving = []
    for i, (name, run) in enumerate(runs.items()):
        colour = style.colour(i)
        axes.plot(run.times, run.energy, color=colour, alpha=0.3, linewidth=1.2, linestyle=style.line(i))
        line = axes.plot([], [], color=colour, linewidth=2.2, linestyle=style.line(i), label=name)[0]
        dot = axes.plot([], [], "o", color=colour, markersize=5.5)[0]
        stage.moving(line, dot)
        moving.append((run, line, dot))
    first = min(run.times[0] for run in runs.values())
    now = stage.moving(axes.axvline(first, color=style.GREY, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1))
    if len(runs) > 1:
        style.legend(axes, loc="upper right")

    def update(t: float) -> None:
        now.set_xdata([t, t])
        for run, line, dot in moving:
            here = _nearest(run, t)
            line.set_data(run.times[: here + 1], run.energy[: here + 1])
            dot.set_data([run.times[here]], [run.energy[here]])

    return update
