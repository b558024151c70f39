"""What a measure lets be seen, read from the fields that it gives to files: no kind is known by name.

Values over coordinates are a density; points with a last dimension `axis` a cloud, with what lies along the
same points as its weights; a mean with a covariance a Gaussian; whatever else is an array is a profile over
its indices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """What of a measure is inside the window."""

    visible: float = 1e-3  # of the largest density: what is below is outside, as in the pictures
    reach: float = 3.7  # standard deviations at which a Gaussian is that small
    margin: float = 0.05  # of a cloud's spread, left empty around it
    small_cells: int = 64  # of a map in a notebook along an axis: three pixels each
    small_bins: int = 50  # of a histogram in a notebook: four pixels each
    small_dots: int = 400  # of a cloud in a notebook: more merge


VIEW = View()


@dataclass(frozen=True)
class Gridded:
    """Values `[*cells]` over cell centres along each axis."""

    name: str
    axes: list[np.ndarray]
    values: np.ndarray

    @property
    def dimension(self) -> int:
        """The number of axes."""
        return len(self.axes)

    @property
    def edges(self) -> list[tuple[float, float]]:
        """The ends of each axis, half a cell beyond the outer centres."""
        return [(float(1.5 * x[0] - 0.5 * x[1]), float(1.5 * x[-1] - 0.5 * x[-2])) for x in self.axes]

    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the box outside which the values are below 1e-3 of the largest."""
        size = np.abs(self.values)
        held = size > VIEW.visible * size.max()
        lower, upper = [], []
        for axis, (x, (first, last)) in enumerate(zip(self.axes, self.edges, strict=True)):
            index = np.flatnonzero(held.any(axis=tuple(a for a in range(held.ndim) if a != axis)))
            index = index if index.size else np.array([0, len(x) - 1])
            h = (last - first) / len(x)
            lower.append(max(first, first + (index[0] - 1) * h))
            upper.append(min(last, first + (index[-1] + 2) * h))
        return np.array(lower), np.array(upper)

    def marginal(self, plane: tuple[int, ...]) -> Gridded:
        """The values integrated over the axes that are not in the plane."""
        values = self.values
        for axis in reversed([a for a in range(self.dimension) if a not in plane]):
            values = values.sum(axis=axis) * (self.axes[axis][1] - self.axes[axis][0])
        return Gridded(self.name, [self.axes[a] for a in plane], values)


@dataclass(frozen=True)
class Cloud:
    """Points `[n, d]` with weights `[n]`."""

    positions: np.ndarray
    weights: np.ndarray

    @property
    def dimension(self) -> int:
        """d."""
        return self.positions.shape[1]

    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the box of all points, with a margin."""
        low, high = self.positions.min(axis=0), self.positions.max(axis=0)
        margin = VIEW.margin * np.where(high > low, high - low, 1.0)
        return low - margin, high + margin


@dataclass(frozen=True)
class Moments:
    """A mean `[d]` and a covariance `[d, d]`."""

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.mean)

    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the box that ends where the density is 1e-3 of the largest."""
        reach = VIEW.reach * np.sqrt(np.diag(self.covariance))
        return self.mean - reach, self.mean + reach


@dataclass(frozen=True)
class Profile:
    """An array `[k]` or `[k, l]` over its indices."""

    name: str
    values: np.ndarray


Seen = Gridded | Cloud | Moments | Profile


def seen(mu) -> Seen | None:
    """What is to be seen of a measure, None where its fields give no array of numbers to draw."""
    variables, coordinates, _ = type(mu).fields_of([mu])
    fields = {}
    for name, (dimensions, values) in variables.items():
        names = (dimensions,) if isinstance(dimensions, str) else tuple(dimensions)
        values = np.asarray(values)
        if names and names[0] == "time":
            names, values = names[1:], values[0]
        if values.dtype.kind in "biuf":
            fields[str(name)] = names, np.asarray(values, dtype=float)
    axes = {str(name): np.asarray(values) for name, values in coordinates.items()}
    return _gridded(fields, axes) or _cloud(fields) or _moments(fields) or _profile(fields)


def _gridded(fields: dict, axes: dict) -> Gridded | None:
    for name, (names, values) in fields.items():
        if 1 <= len(names) <= 3 and all(n in axes and axes[n].ndim == 1 and axes[n].size > 1 for n in names):
            return Gridded(name, [np.asarray(axes[n], dtype=float) for n in names], np.nan_to_num(values))
    return None


def _cloud(fields: dict) -> Cloud | None:
    for names, values in fields.values():
        if len(names) != 2 or names[1] != "axis":
            continue
        own = (w for other, w in fields.values() if other == names[:1])
        weights = next(own, np.full(len(values), 1.0 / max(len(values), 1)))
        there = np.isfinite(values).all(axis=1) & (weights > 0.0)
        return Cloud(values[there], weights[there]) if there.any() else None
    return None


def _moments(fields: dict) -> Moments | None:
    means = [values for names, values in fields.values() if names == ("axis",)]
    square = [values for names, values in fields.values() if len(names) == 2 and names[0] == "axis"]
    fitting = [(m, S) for m in means for S in square if S.shape == (len(m), len(m))]
    return Moments(*fitting[0]) if fitting else None


def _profile(fields: dict) -> Profile | None:
    arrays = [(name, v) for name, (names, v) in fields.items() if v.ndim in (1, 2) and min(v.shape) > 1]
    return Profile(arrays[0][0], np.nan_to_num(arrays[0][1])) if arrays else None
