"""What was learnt from snapshots: the landscape, a rollout beside the data, scores, what stays unknown."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from functionals import pointwise
from jko.measures import Particles
from jko.plotting import draw, style
from jko.trajectory import Trajectory

if TYPE_CHECKING:
    from jko.learn import Fit, Identifiability, Score, Snapshots
    from jko.learn.landscape import Landscape

_MARGIN = 0.08  # of the data's width, on either side
_ABOVE = 0.97  # quantile of V at the data up to which V is shaded: a few cells on a steep slope hide no well
_MOST_PANELS = 6  # times of a rollout, more are thinned


def plot_landscape(fit: Fit, *, interval: int = 0, path: Path | None = None, ax=None):
    """The learnt potential with the data on it, and beside it the learnt interaction over the distance.

    On the line V over x, in the plane V − min V as levels, paler where no point was seen; in three
    dimensions and more the points in the plane of their first two principal axes, coloured by V at each.
    `interval` is that of the data where each has a potential of its own. Returns the figure, or `ax`,
    axes for V and for W where they were given, and writes it to `path`; ValueError where neither V nor W was
    learnt. Nondimensional.
    """
    parts = [] if fit.V is None else [partial(_potential, fit=fit, interval=interval)]
    if (W := fit.W) is not None:
        parts.append(partial(_kernel, W=W, cloud=fit.snapshots.cloud(interval)))
    if not parts:
        raise ValueError("fit: neither a potential nor an interaction was learnt; ask for one in learn.fit")
    n = len(parts)
    panels = style.panels(ax, n, lambda: style.new_figure(4.9 * n, 3.9).subplots(1, n))
    for axes, draw_panel in zip(panels, parts, strict=True):
        draw_panel(axes)
    return style.finish(panels, path, ax)


def plot_prediction(run: Trajectory, snapshots: Snapshots, *, path: Path | None = None, ax=None):
    """A rollout of the learnt functional beside the snapshots, a panel a time.

    `run` is what `fit.predict(mu0, snapshots.times)` returned. The times are those of the snapshots that the
    run stored, six at most; in three dimensions and more the first two principal axes of the data are shown.
    Returns the figure, or `ax`, axes a time where they were given, and writes it to `path`; ValueError where
    no time is common. Nondimensional.
    """
    common = [k for k, t in enumerate(snapshots.times) if np.any(np.isclose(run.times, t, rtol=1e-9))]
    if not common:
        raise ValueError("run: stored at none of the snapshots' times; predict at snapshots.times")
    shown = np.unique(np.linspace(0, len(common) - 1, min(len(common), _MOST_PANELS)).round().astype(int))
    chosen = [common[i] for i in shown]
    n = len(chosen)
    panels = style.panels(
        ax, n, lambda: style.new_figure(2.9 * n + 0.4, 3.2).subplots(1, n, sharex=True, sharey=True)
    )
    plane = _Plane(snapshots)
    for axes, k in zip(panels, chosen, strict=True):
        time = float(snapshots.times[k])
        clouds = (snapshots.cloud(k), run.at(float(run.times[np.argmin(np.abs(run.times - time))])))
        looks = ((style.GREY, "seen"), (style.colour(1), "learnt"))
        style.tidy(axes, plane.labels[0], plane.labels[1] if k == chosen[0] else "", f"t = {time:.3g}")
        for cloud, (colour, label) in zip(clouds, looks, strict=True):
            if plane.line:
                draw.curve(axes, cloud, {"color": colour, "label": label}, *plane.limits[0])
            else:
                draw.dots(axes, cloud.with_positions(plane.of(cloud.positions)), colour, label=label)
        axes.set_xlim(*plane.limits[0])
        if not plane.line:
            axes.set_ylim(*plane.limits[1])
    style.legend(panels[0], markerscale=3.0)
    return style.finish(panels, path, ax)


def plot_score(score: Score, metric: str = "W2", *, path: Path | None = None, ax=None):
    """The distances of a score over the time: the learnt functional, the floor, and the baselines.

    `metric` is one of "W1", "W2", "energy". Returns the figure, or the axes `ax` where they were given, and
    writes it to `path`.
    """
    from jko.errors import one_of
    from jko.learn.scoring import METRICS, ROWS

    one_of("metric", metric, METRICS)
    (axes,) = style.panels(ax, 1, lambda: style.new_figure(5.2, 3.7).subplots())
    names = {"energy": "energy distance", "W1": "W₁", "W2": "W₂"}
    style.tidy(axes, style.TIME, f"{names[metric]} to the snapshot (nondimensional)")
    for index, row in enumerate(ROWS):
        values = score.table[row][metric]
        if not np.any(np.isfinite(values)):
            continue
        look = {"color": "black", "linestyle": ":"} if row == "floor" else {"color": style.colour(index)}
        label = {"floor": "floor: two halves of the data", "mccann": "McCann, between neighbours"}.get(
            row, row
        )
        axes.plot(score.times, values, marker="o", markersize=4, linewidth=1.6, label=label, **look)
    axes.set_ylim(bottom=0.0)
    style.legend(axes)
    return style.finish([axes], path, ax)


def plot_identifiability(found: Identifiability, *, path: Path | None = None, ax=None):
    """The spectrum of the whitened Gram matrix; crosses are directions that the data do not show.

    Eigenvalues are over the largest: the mean square velocity that a unit of a direction makes. Returns the
    figure, or the axes `ax` where they were given, and writes it to `path`.
    """
    (axes,) = style.panels(ax, 1, lambda: style.new_figure(5.2, 3.7).subplots())
    count, seen = len(found.eigenvalues), found.seen
    style.tidy(axes, "direction, the best known first", "information, over the largest", found.counted)
    relative = np.maximum(found.eigenvalues / found.eigenvalues[0], np.finfo(float).eps)
    order = np.arange(1, count + 1)
    axes.semilogy(order[seen], relative[seen], "o", color=style.colour(0), markersize=5, label="seen")
    axes.semilogy(order[~seen], relative[~seen], "x", color=style.colour(1), markersize=6, label="not seen")
    if count <= 30:
        axes.xaxis.get_major_locator().set_params(integer=True)
    style.legend(axes, loc="lower left")
    return style.finish([axes], path, ax)


class _Plane:
    """The coordinates that are drawn: the data's own up to two dimensions, else their principal axes."""

    def __init__(self, snapshots: Snapshots):
        points = np.concatenate([np.array(c.positions, dtype=np.float64) for c in snapshots.clouds])
        self.line = points.shape[1] == 1
        self.centre = np.zeros(points.shape[1])
        self.axes = np.eye(points.shape[1])
        self.labels = ("x", "density") if self.line else ("x₁", "x₂")
        if points.shape[1] > 2:
            self.centre = points.mean(axis=0)
            _, _, self.axes = np.linalg.svd(points - self.centre, full_matrices=False)
            self.labels = ("first principal axis", "second principal axis")
        drawn = self.of(points)
        low, high = drawn.min(axis=0), drawn.max(axis=0)
        room = _MARGIN * np.maximum(high - low, np.finfo(float).tiny)
        self.limits = list(zip(low - room, high + room, strict=True))

    def of(self, points: np.ndarray) -> np.ndarray:
        """The points in these coordinates, `[n, 1]` or `[n, 2]`."""
        return ((np.asarray(points, dtype=np.float64) - self.centre) @ self.axes.T)[
            :, : 1 if self.line else 2
        ]


def _potential(axes, fit: Fit, interval: int):
    V = fit.landscape(interval)
    plane, clouds = _Plane(fit.snapshots), fit.snapshots.clouds
    several = fit.settings.get("per_interval") and len(fit.parts) > 1
    title = f"learnt V, from t = {fit.snapshots.times[interval]:g}" if several else "learnt V"
    if plane.line:
        style.tidy(axes, "x", "V − min V (nondimensional)", title)
        x = np.linspace(*plane.limits[0], 400)
        height = pointwise.values(V, x[:, None])
        axes.plot(x, height - height.min(), color=style.colour(0), linewidth=1.8)
        for k, cloud in enumerate(clouds):
            drawn = cloud.subsample(200, seed=0) if cloud.n > 200 else cloud
            low = np.full(drawn.n, -0.02 - 0.035 * k)
            axes.plot(
                drawn.positions[:, 0], low, "|", color=_hue(k, len(clouds)), markersize=4, alpha=0.5,
                transform=axes.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip
        axes.tick_params(axis="x", pad=6 + 8 * len(clouds))
        return
    style.tidy(axes, *plane.labels, title)
    axes.grid(False)
    if fit.snapshots.dimension == 2:
        _levels(axes, V, plane, clouds)
        for k, cloud in enumerate(clouds):
            label = f"t = {fit.snapshots.times[k]:.3g}"
            drawn = cloud.subsample(600, seed=0) if cloud.n > 600 else cloud
            axes.plot(*drawn.positions.T, ".", color=_hue(k, len(clouds)), markersize=1.6, label=label)
        axes.set_xlim(*plane.limits[0])
        axes.set_ylim(*plane.limits[1])
        style.legend(axes, loc="upper right", markerscale=5.0, frameon=True, framealpha=0.85)
        return
    points = np.concatenate([np.array(c.positions, dtype=np.float64) for c in clouds])
    if len(points) > draw.MOST_DOTS:
        points = points[np.random.default_rng(0).permutation(len(points))[: draw.MOST_DOTS]]
    height = pointwise.values(V, points)
    dots = axes.scatter(*plane.of(points).T, c=height - height.min(), s=3, cmap="viridis", linewidths=0)
    axes.figure.colorbar(dots, ax=axes, label="V − min V at the points (nondimensional)")


def _levels(axes, V, plane: _Plane, clouds: list):
    """V − min V as shades up to its height at the data, pale where no point is near."""
    from scipy.spatial import cKDTree

    x, y = (np.linspace(*limit, draw.HEAT_CELLS) for limit in plane.limits)
    mesh = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    points = np.concatenate([np.array(c.positions, dtype=np.float64) for c in clouds])
    height, at_data = pointwise.values(V, mesh), pointwise.values(V, points)
    floor = at_data.min()
    top = max(float(np.quantile(at_data, _ABOVE) - floor), np.finfo(float).tiny)
    tree = cKDTree(points)
    near = np.quantile(tree.query(points, k=min(8, len(points)))[0][:, -1], 0.99)
    far = tree.query(mesh)[0].reshape(draw.HEAT_CELLS, draw.HEAT_CELLS) > 2.0 * near
    shade = axes.contourf(
        x, y, (height - floor).reshape(draw.HEAT_CELLS, draw.HEAT_CELLS).T, levels=np.linspace(0.0, top, 13),
        extend="max", cmap="viridis", zorder=0,
    )  # fmt: skip
    axes.contourf(x, y, far.T.astype(float), levels=[0.5, 1.5], colors=["white"], alpha=0.75, zorder=1)
    bar = axes.figure.colorbar(shade, ax=axes, label="V − its least at the data (nondimensional)")
    bar.ax.tick_params(labelsize=8)


def _kernel(axes, W: Landscape, cloud: Particles):
    style.tidy(axes, "distance |z| (nondimensional)", "W − W at least distance", "learnt W")
    width = float(np.linalg.norm(np.ptp(np.array(cloud.positions, dtype=np.float64), axis=0)))
    r = np.linspace(width * 1e-3, width, 300)
    z = np.zeros((len(r), cloud.dimension))
    z[:, 0] = r
    height = pointwise.values(W, z)
    axes.plot(r, height - height[0], color=style.colour(2), linewidth=1.8)


def _hue(k: int, count: int):
    """A colour of time, from dark to light."""
    from matplotlib import colormaps

    return colormaps["plasma"](0.1 + 0.75 * k / max(count - 1, 1))
