"""Densities, clouds and Gaussians of all runs at the times of one slider, thinned to a page's budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jko.errors import shortened
from jko.measures import Grid, Species
from jko.measures.visible import Cloud, Gridded, Moments, Profile, Seen, seen
from jko.page.budget import VIEW, Budget
from jko.page.encoding import packed, quantised
from jko.trajectory import Trajectory


@dataclass(frozen=True)
class Track:
    """A measure a time, under one name. `run` is its place among the runs, −1 for the exact answer."""

    name: str
    run: int
    times: np.ndarray
    at: Callable[[int], Seen | None]


@dataclass(frozen=True)
class Window:
    """The box that is shown, and the planes of coordinates in which."""

    lower: np.ndarray
    upper: np.ndarray

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.lower)

    @property
    def planes(self) -> list[tuple[int, int]]:
        """All three in space; beyond it the first two coordinates."""
        return [(0, 1), (0, 2), (1, 2)] if self.dimension == 3 else [(0, 1)] if self.dimension > 1 else []


def states_of(runs: dict[str, Trajectory], exact, budget: Budget) -> dict:
    """The figure's data: slider `times`, `window`, `planes`, and a track a run and species.

    Nothing is interpolated in time: a track has the stored measures nearest to the slider's times.
    """
    parts = _parts(runs)
    each, most = budget.of_each(len(parts) + (exact is not None))
    times = slider_times([run.times for run in runs.values()], most)
    tracks = [_track(name, place, run, times) for name, place, run in parts]
    window = _window(tracks)
    if exact is not None and window is not None and window.dimension <= len(VIEW.exact_cells):
        tracks.append(_exact_track(exact, times, window, runs))
    return {
        "times": packed(times),
        "span": [
            min(float(r.times[0]) for r in runs.values()),
            max(float(r.times[-1]) for r in runs.values()),
        ],
        "stored": max(len(run) for run in runs.values()),
        "window": None if window is None else [window.lower.tolist(), window.upper.tolist()],
        "planes": [] if window is None else window.planes,
        "dimension": None if window is None else window.dimension,
        "tracks": [_shown(track, window, each, budget) for track in tracks],
    }


def slider_times(stored: list[np.ndarray], most: int) -> np.ndarray:
    """At most so many of the stored times: all of the coarsest runs, then evenly many of the finer ones."""
    chosen = np.zeros(0)
    for times in sorted((np.unique(times) for times in stored), key=len):
        tolerance = 1e-9 * max(float(np.abs(times).max()), np.finfo(float).tiny)
        new = times[~np.any(np.abs(times[:, None] - chosen) <= tolerance, axis=1)]
        room = most - len(chosen)
        if len(new) > room:
            ends = np.linspace(0, len(new) - 1, max(room, 2)).round().astype(int)
            new = new[np.unique(ends)] if room > 0 else new[[-1]] if new[-1] > chosen.max() else new[:0]
        chosen = np.sort(np.concatenate([chosen, new]))
    return chosen


def _parts(runs: dict[str, Trajectory]) -> list[tuple[str, int, Trajectory]]:
    """(name, place of its run, run of one species) of each species of each run."""
    found = []
    for place, (name, run) in enumerate(runs.items()):
        if not isinstance(run.final, Species):
            found.append((name, place, run))
            continue
        for species in run.final.names:
            label = species if len(runs) == 1 else f"{name}: {species}"
            found.append((label, place, run.of_species(species)))
    return found


def _track(name: str, place: int, run: Trajectory, times: np.ndarray) -> Track:
    stored = np.unique([int(np.argmin(np.abs(run.times - t))) for t in times])
    return Track(name, place, run.times[stored], lambda k: seen(run.measures[stored[k]]))


def _exact_track(exact, times: np.ndarray, window: Window, runs: dict[str, Trajectory]) -> Track:
    """The exact density: a Gaussian by its moments, another at the cells of a run or of the window."""
    cells = (VIEW.exact_cells[window.dimension - 1],) * window.dimension
    grid = Grid.uniform(tuple(window.lower), tuple(window.upper), cells)
    gaussian = hasattr(exact, "at") and exact.dimension == window.dimension
    if not gaussian:
        grid = next((g for g in _grids(runs) if g.size <= VIEW.exact_most), grid)

    def at(k: int) -> Seen:
        t = float(times[k])
        if gaussian and window.dimension == 1:
            return Moments(exact.at(t).mean(), exact.at(t).covariance())
        values = np.exp(exact.at(t).log_density(grid.points)) if gaussian else exact.density(t, grid.points)
        return Gridded("density", list(grid.axes), np.nan_to_num(np.asarray(values)).reshape(grid.cells))

    return Track("exact", -1, times, at)


def _grids(runs: dict[str, Trajectory]) -> list[Grid]:
    grids = [getattr(run.measures[0], "grid", None) for run in runs.values()]
    return [grid for grid in grids if grid is not None]


def _window(tracks: list[Track]) -> Window | None:
    corners = []
    for track in tracks:
        last = len(track.times) - 1
        for k in np.unique(np.linspace(0, last, min(VIEW.looked_at, last + 1)).round().astype(int)):
            try:
                shown = track.at(int(k))
            except Exception:  # a measure of one's own without fields: its track says so
                continue
            if isinstance(shown, (Gridded, Cloud, Moments)):
                corners.append(shown.extent())
    dimension = min((len(low) for low, _ in corners), default=0)
    if not dimension:
        return None
    lower = np.min([low[:dimension] for low, _ in corners], axis=0)
    upper = np.max([high[:dimension] for _, high in corners], axis=0)
    return Window(lower, np.where(upper > lower, upper, lower + 1.0))


def _shown(track: Track, window: Window | None, each: int, budget: Budget) -> dict:
    """A track's data by what its measures are."""
    head = {"name": track.name, "run": track.run, "times": packed(track.times)}
    try:
        first = track.at(0)
        if first is None:
            raise ValueError("its fields hold no array to draw")
        frames = [first, *(track.at(k) for k in range(1, len(track.times)))]
        return head | _KINDS[type(first)](frames, window, each, budget)
    except Exception as error:  # whatever a kind of one's own raises: the page tells it and goes on
        return head | {"kind": "none", "note": f"cannot be drawn: {shortened(error, budget.letters)}"}


def _gridded(frames: list[Gridded], window: Window, each: int, budget: Budget) -> dict:
    if window.dimension == 1:
        x = frames[0].axes[0]
        inside = (x >= window.lower[0]) & (x <= window.upper[0])
        values = np.stack([frame.values[inside] for frame in frames])
        return _curve(x[inside], values, budget)
    side = int(np.sqrt(each / (len(frames) * len(window.planes))))
    return {
        "kind": "maps",
        "maps": [_map(frames, plane, window, min(max(side, 12), budget.cells)) for plane in window.planes],
    }


def _curve(x: np.ndarray, values: np.ndarray, budget: Budget) -> dict:
    """Values `[frames, n]` over x; where they are more than fit, averages over several cells each."""
    block = -(-len(x) // budget.abscissae)
    if block > 1:
        starts = np.arange(0, len(x), block)
        sizes = np.diff(np.append(starts, len(x)))
        x = np.add.reduceat(x, starts) / sizes
        values = np.add.reduceat(values, starts, axis=1) / sizes
    note = f"averages over {block} cells" if block > 1 else ""
    return {"kind": "curve", "x": packed(x), "note": note, **_frames(values, "u2")}


def _frames(values: np.ndarray, kind: str) -> dict:
    flat = values.reshape(len(values), -1)
    low, high = np.minimum(flat.min(axis=1), 0.0), flat.max(axis=1)
    return {"low": packed(low), "high": packed(high), "values": quantised(values, kind, low, high)}


def _map(frames: list[Gridded], plane: tuple[int, int], window: Window, most: int) -> dict:
    """Averages over the cells of a picture, which cover the window and carry the mass of the grid's."""
    first = frames[0].marginal(plane)
    ranges = []
    for x, (low, high), axis in zip(first.axes, first.edges, plane, strict=True):
        h = (high - low) / len(x)
        start = int(np.clip(np.floor((window.lower[axis] - low) / h + 1e-6), 0, len(x) - 1))
        stop = int(np.clip(np.ceil((window.upper[axis] - low) / h - 1e-6), start + 1, len(x)))
        ranges.append((start, stop, low + start * h, low + stop * h))
    cells = [min(stop - start, most) for start, stop, *_ in ranges]
    (a, b, *_), (c, d, *_) = ranges
    images = [frame.marginal(plane).values[a:b, c:d] for frame in frames]
    images = [_averaged(_averaged(image, cells[0]).T, cells[1]).T for image in images]
    thinned = any(n < stop - start for n, (start, stop, *_) in zip(cells, ranges, strict=True))
    note = f"averages over {cells[0]} × {cells[1]} cells of {b - a} × {d - c}" if thinned else ""
    box = [edge for *_, low, high in ranges for edge in (low, high)]
    return {"cells": cells, "box": box, "note": note, **_frames(np.stack(images), "u1")}


def _averaged(values: np.ndarray, cells: int) -> np.ndarray:
    """Averages of `[n, ...]` over `cells` equal parts of the first axis, exact for cells cut in two."""
    n = len(values)
    if cells >= n:
        return values
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    edges = np.linspace(0.0, n, cells + 1)
    whole = np.minimum(edges.astype(int), n - 1)
    at = total[whole] + (edges - whole)[:, None] * values[whole]
    return np.maximum(np.diff(at, axis=0), min(0.0, float(values.min()))) * (cells / n)


def _cloud(frames: list[Cloud], window: Window, each: int, budget: Budget) -> dict:
    if window.dimension == 1:
        return _histogram(frames, window, budget)
    axes = min(window.dimension, 3)
    most = int(np.clip(each / (len(frames) * 2 * axes), 50, budget.dots))
    chosen = _same_points(frames, most)
    points = [frame.positions[index, :axes] for frame, index in zip(frames, chosen, strict=True)]
    scaled = np.concatenate(points) - window.lower[:axes]
    steps = np.rint(np.clip(scaled / (window.upper - window.lower)[:axes], 0.0, 1.0) * 65535)
    largest = max(len(frame.positions) for frame in frames)
    return {
        "kind": "dots",
        "axes": axes,
        "numbers": [len(frame.positions) for frame in frames],
        "counts": [len(index) for index in chosen],
        "points": packed(steps, "u2"),
        "note": f"{most} of them shown, drawn by weight" if largest > most else "",
    }


def _same_points(frames: list[Cloud], most: int) -> list[np.ndarray]:
    """Which points are shown, drawn by weight: the same at all times where number and weights stay."""
    generator = np.random.default_rng(0)
    found: list[np.ndarray] = []
    previous = None
    for frame in frames:
        w = frame.weights
        if previous is None or previous.shape != w.shape or not np.array_equal(previous, w):
            found.append(_drawn(generator, w, most))
        else:
            found.append(found[-1])
        previous = w
    return found


def _drawn(generator, weights: np.ndarray, most: int) -> np.ndarray:
    equal = np.ptp(weights) <= 1e-6 * weights.mean()
    if equal:
        n = len(weights)
        return np.arange(n) if n <= most else np.sort(generator.choice(n, most, replace=False))
    number = min(len(weights), most)
    return np.sort(generator.choice(len(weights), number, p=weights / weights.sum()))


def _histogram(frames: list[Cloud], window: Window, budget: Budget) -> dict:
    edges = np.linspace(window.lower[0], window.upper[0], budget.bins + 1)
    heights = [np.histogram(f.positions[:, 0], edges, weights=f.weights)[0] / np.diff(edges) for f in frames]
    chosen = _same_points(frames, budget.ticks)
    rug = [
        (f.positions[index, 0] - edges[0]) / (edges[-1] - edges[0])
        for f, index in zip(frames, chosen, strict=True)
    ]
    return {
        "kind": "histogram",
        "x": packed(edges),
        "numbers": [len(frame.positions) for frame in frames],
        "counts": [len(index) for index in chosen],
        "rug": packed(np.rint(65535 * np.clip(np.concatenate(rug), 0.0, 1.0)), "u2"),
        "note": "histogram",
        **_frames(np.stack(heights), "u2"),
    }


def _moments(frames: list[Moments], window: Window, each: int, budget: Budget) -> dict:
    if window.dimension == 1:
        x = np.linspace(window.lower[0], window.upper[0], VIEW.exact_cells[0])
        means = np.array([f.mean[0] for f in frames])[:, None]
        variances = np.array([f.covariance[0, 0] for f in frames])[:, None]
        values = np.exp(-0.5 * (x - means) ** 2 / variances) / np.sqrt(2.0 * np.pi * variances)
        return _curve(x, values, budget)
    axes = min(window.dimension, 3)
    return {
        "kind": "ellipses",
        "axes": axes,
        "mean": packed([f.mean[:axes] for f in frames]),
        "covariance": packed([f.covariance[:axes, :axes] for f in frames]),
        "note": "1, 2 and 3 standard deviations",
    }


def _profile(frames: list[Profile], window: Window | None, each: int, budget: Budget) -> dict:
    """An array over its indices, in a panel of its own: the first so many entries along each axis."""
    most = budget.abscissae if frames[0].values.ndim == 1 else budget.cells
    arrays = [frame.values[(slice(most),) * frame.values.ndim] for frame in frames]
    if len({array.shape for array in arrays}) > 1:
        raise ValueError(f"{frames[0].name} changes its shape along the run")
    values = np.stack(arrays)
    cut = "" if arrays[0].shape == frames[0].values.shape else f", the first {most} entries along an axis"
    return {
        "kind": "profile",
        "cells": list(values.shape[1:]),
        "note": f"{frames[0].name} over its indices{cut}",
        **_frames(values, "u2" if values.ndim == 2 else "u1"),
    }


_KINDS: dict[type, Callable[..., dict]] = {
    Gridded: _gridded,
    Cloud: _cloud,
    Moments: _moments,
    Profile: _profile,
}
