"""The three views of an SDE as a film: paths, density, probability flow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jko.errors import finite_array, positive_number, seed_number, whole_number
from jko.films.frames import box, clock_of
from jko.films.stage import Stage, stage_of
from jko.films.tolerances import TOLERANCES
from jko.films.writer import FPS, SIZE, film_path, film_size, write_film
from jko.measures import Density
from jko.plotting import draw, style

_TITLES = ("paths of the SDE", "density", "paths of the probability-flow ODE")


def film_of_views(
    sde,
    density: Density,
    times,
    path,
    *,
    n: int = 4000,
    drawn: int = 24,
    seed: int = 0,
    seconds: float = 8.0,
    fps: float = FPS,
    size: tuple[int, int] = SIZE,
    progress: bool | None = None,
) -> Path:
    """Write the three views of an SDE from one start as a film; returns the path.

    Of `density` at times[0]: n paths, the density of the Fokker–Planck equation, and the same n points
    carried by the probability-flow ODE, whose score is the density's [SongEtAl2021]. On the line `drawn`
    paths and as many of the ODE grow over the density's history, and below stand the three marginals; in the
    plane all points move, `drawn` of them with tails. `times` `[m + 1]` are increasing and what is computed:
    each frame shows the last that it has reached. See `write_film` for the file.

    Raises ValueError for a density of more than two dimensions, and as `SDE.simulate` and `fokker_planck`.
    """
    path, size = film_path(path), film_size(size)
    seconds, fps = positive_number("seconds", seconds), positive_number("fps", fps)
    n, drawn = whole_number("n", n, 2), whole_number("drawn", drawn)
    if not isinstance(density, Density) or density.dimension > 2:
        raise ValueError(f"density: expected a Density on the line or in the plane, got {density!r:.80}")
    times, seed = finite_array("times", times), seed_number("seed", seed)
    start = density.sample(n, seed=seed)
    law = sde.fokker_planck(density, times)
    paths = sde.simulate(start, times, seed=seed + 1)
    flow = sde.probability_flow(law).transport(start, times, substeps=TOLERANCES.substeps)
    clouds = [np.asarray(run.positions, dtype=float) for run in (paths, flow)]
    stage = stage_of(size, min(size[0] / TOLERANCES.width, size[1] / TOLERANCES.height))
    show = (_line if density.dimension == 1 else _plane)(stage, times, law.densities, clouds, drawn)
    clock = clock_of(stage)
    count = max(2, round(seconds * fps))
    at = np.linspace(times[0], times[-1], count)
    reached = np.clip(np.searchsorted(times, at * (1 + 1e-12), side="right") - 1, 0, len(times) - 1)

    def frame(k: int) -> np.ndarray:
        clock(times[reached[k]])
        show(int(reached[k]))
        return stage.frame()

    return write_film(path, frame, count, fps=fps, progress=progress, label="three views")


def _line(
    stage: Stage, times: np.ndarray, densities: list, clouds: list, drawn: int
) -> Callable[[int], None]:
    """Above, paths over the density's history; below, what is where now."""
    grid = densities[0].grid
    values = np.array([rho.values for rho in densities])
    above, below = stage.figure.subplots(2, 3, sharex="row", sharey="row", height_ratios=(1.25, 1.0))
    low, high = _held(values, grid.axes[0])
    updates: list[Callable[[int], object]] = []
    for number, (axes, title) in enumerate(zip(above, _TITLES, strict=True)):
        style.tidy(axes, style.TIME, "x" if number == 0 else "", title)
        axes.grid(False)
        axes.set(xlim=(times[0], times[-1]), ylim=(low, high))
        image = axes.pcolormesh(times, grid.axes[0], values.T, cmap=style.heat_colours(), shading="nearest")
        image.set_clim(0.0, np.quantile(values.max(axis=1), 0.75))
        image.set_alpha(1.0 if number == 1 else 0.35)
        updates.append(_curtain(stage, axes, times))
        if number != 1:
            updates.append(_growing(stage, axes, times, clouds[number // 2][:, :drawn, 0]))
    updates += _marginals(stage, below, values, grid.axes[0], clouds, (low, high))

    def show(k: int) -> None:
        for update in updates:
            update(k)

    return show


def _curtain(stage: Stage, axes, times: np.ndarray) -> Callable[[int], object]:
    """White over what is still to come, and a line at its edge."""
    curtain = stage.moving(axes.axvspan(times[0], times[-1], color="white", linewidth=0, zorder=2.0))
    edge = stage.moving(axes.axvline(times[0], color=style.GREY, linewidth=1.0, zorder=2.1))
    stage.moving(*axes.spines.values())

    def update(k: int) -> None:
        curtain.set_x(times[k])
        curtain.set_width(times[-1] - times[k])
        edge.set_xdata([times[k], times[k]])

    return update


def _growing(stage: Stage, axes, times: np.ndarray, x: np.ndarray) -> Callable[[int], object]:
    lines = [
        stage.moving(axes.plot([], [], color=style.colour(0), linewidth=0.8, zorder=3.0)[0]) for _ in x.T
    ]
    dots = stage.moving(axes.plot([], [], "o", color=style.colour(1), markersize=3.2, zorder=3.1)[0])

    def update(k: int) -> None:
        for line, path in zip(lines, x.T, strict=True):
            line.set_data(times[: k + 1], path[: k + 1])
        dots.set_data(np.full(x.shape[1], times[k]), x[k])

    return update


def _marginals(stage: Stage, panels, values: np.ndarray, x: np.ndarray, clouds: list, window: tuple) -> list:
    edges = np.linspace(window[0], window[1], TOLERANCES.bins + 1)
    updates: list[Callable[[int], object]] = []
    for number, axes in enumerate(panels):
        style.tidy(axes, "x", "density" if number == 0 else "")
        axes.set(xlim=window, ylim=(0.0, 1.15 * np.quantile(values.max(axis=1), 0.9)))
        if number != 1:
            cloud, look = clouds[number // 2], {"fill": True, "color": style.colour(0), "alpha": 0.45}
            bars = stage.moving(axes.stairs(np.zeros(TOLERANCES.bins), edges, linewidth=0, **look))

            def count(k: int, bars=bars, cloud=cloud) -> None:
                heights = np.histogram(cloud[k, :, 0], bins=edges)[0]
                bars.set_data(heights / (len(cloud[k]) * np.diff(edges)))

            updates.append(count)
        curve = stage.moving(axes.plot([], [], color="black", linewidth=1.3 if number != 1 else 2.0)[0])
        updates.append(_shown(curve, [(x, row) for row in values]))
    return updates


def _shown(artist, data: list) -> Callable[[int], object]:
    """Give an artist the data of step k: one array, or several."""
    return lambda k: artist.set_data(*data[k]) if isinstance(data[k], tuple) else artist.set_data(data[k])


def _held(values: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """Where some density is above a thousandth of its largest value."""
    held = np.flatnonzero(np.any(values > 1e-3 * values.max(axis=1, keepdims=True), axis=0))
    return float(x[held[0]]), float(x[held[-1]])


def _plane(
    stage: Stage, times: np.ndarray, densities: list, clouds: list, drawn: int
) -> Callable[[int], None]:
    """Points of the SDE, the density, points of the ODE."""
    grid = densities[0].grid
    panels = stage.figure.subplots(1, 3, sharex=True, sharey=True)
    corners = [corner[axis] for axis in (0, 1) for corner in (grid.lower, grid.upper)]
    highest = float(np.quantile([rho.values.max() for rho in densities], 0.75))
    lower, upper = box(densities)
    updates: list[Callable[[int], object]] = []
    for number, (axes, title) in enumerate(zip(panels, _TITLES, strict=True)):
        style.tidy(axes, "x₁", "x₂" if number == 0 else "", title)
        axes.grid(False)
        if number == 1:
            image = stage.moving(draw.heat(axes, densities[0].values, corners, highest))
            updates.append(_shown(image, [rho.values.T for rho in densities]))
        else:
            updates.append(_swarm(stage, axes, clouds[number // 2], drawn))
        axes.set(xlim=(lower[0], upper[0]), ylim=(lower[1], upper[1]), aspect="equal")
        stage.moving(*axes.spines.values())

    def show(k: int) -> None:
        for update in updates:
            update(k)

    return show


def _swarm(stage: Stage, axes, cloud: np.ndarray, drawn: int) -> Callable[[int], object]:
    shown = cloud[:, : draw.MOST_DOTS]
    look = {"markersize": 1.9, "markeredgewidth": 0, "alpha": 0.5}
    dots = stage.moving(axes.plot([], [], "o", color=style.colour(0), **look)[0])
    tails = [stage.moving(axes.plot([], [], color=style.colour(1), linewidth=1.0)[0]) for _ in range(drawn)]

    def update(k: int) -> None:
        dots.set_data(*shown[k].T)
        for number, tail in enumerate(tails):
            tail.set_data(*cloud[max(k - TOLERANCES.tail, 0) : k + 1, number].T)

    return update
