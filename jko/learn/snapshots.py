"""Populations seen at a few times, unpaired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jko.errors import finite_array, seed_number, shown, whole_number
from jko.learn.tolerances import TOLERANCES
from jko.measures import Density, Gaussian, Particles, Population
from jko.measures.measure import Measure
from jko.transport.distances.atoms import atoms_of


class Snapshots:
    """Measures ρ_0, …, ρ_K seen at times t_0 < … < t_K: clouds of any number of points, or densities.

    Nothing says which point became which: the order of the points of a cloud is never read. `measures` are
    Particles, arrays `[n, d]`, Densities or Gaussians, all of one dimension and of mass 1, or Populations of
    any masses, between which `interpolate` lets mass grow; what fits asks for mass 1. Times and lengths
    are in the units of the caller, and what is learnt is in the same ones.

    Raises ValueError for fewer than two snapshots, for times out of order or as many as the measures are
    not, and for dimensions that differ; TypeError for what is no measure.
    """

    def __init__(self, times: Sequence[float], measures: Sequence[Measure | np.ndarray]):
        times = finite_array("times", times)
        measures = list(measures) if isinstance(measures, (list, tuple)) else _rows(measures)
        if times.ndim != 1 or len(times) != len(measures):
            raise ValueError(
                f"times: expected one for each of {len(measures)} measures, got shape {times.shape}; "
                "give as many times as measures"
            )
        if len(times) < 2:
            raise ValueError(
                f"times: expected two or more snapshots, got {len(times)}: one says nothing of a motion; "
                "add a later one"
            )
        if np.any(np.diff(times) <= 0.0):
            raise ValueError(
                f"times: expected increasing times, got {shown(times.tolist())}: sort them, and merge the "
                "clouds of equal times"
            )
        self.times = times
        self.measures = [as_measure(f"measures[{k}]", mu, grows=True) for k, mu in enumerate(measures)]
        dimensions = {mu.dimension for mu in self.measures}
        if len(dimensions) > 1:
            raise ValueError(
                f"measures: expected one dimension, got {sorted(dimensions)}; keep the same coordinates at "
                "all times"
            )

    @classmethod
    def from_csv(
        cls, path: Path, time: str | int = "time", columns: Sequence[str | int] | None = None
    ) -> Snapshots:
        """From a comma-separated file, a line a point, with its time in the column `time` (its name in the
        header line, or its number from 0); `columns` are the coordinates, all the others unless given.

        Raises ValueError for a file that is no such table, and for a column that it has not.
        """
        from jko.measures.number_table import header_of, read_table

        names, width = header_of(path), read_table(path, finite=False).shape[1]
        column = _column("time", time, names, width)
        others = [k for k in range(width) if k != column]
        if columns is not None:
            others = [_column("columns", name, names, width) for name in columns]
        if not others:
            raise ValueError(f"columns: {str(path)!r} has no column beside the time; add the coordinates")
        table = read_table(path, [column, *others])
        return cls._grouped(table[:, 0], table[:, 1:])

    @classmethod
    def from_anndata(
        cls, adata: Any, time: str, basis: str = "X_pca", dimensions: int | None = None
    ) -> Snapshots:
        """From an AnnData object: the times in `adata.obs[time]`, the coordinates in `adata.obsm[basis]`, of
        which the first `dimensions` are taken. anndata itself is not imported.

        Raises TypeError for what has no obs and obsm, and ValueError for keys that are not there, for times
        that are no numbers and for dimensions that are not among those of the basis.
        """
        if not (hasattr(adata, "obs") and hasattr(adata, "obsm")):
            raise TypeError(
                f"adata: expected an AnnData object, with .obs and .obsm, got {type(adata).__name__}; arrays "
                "go to Snapshots(times, measures)"
            )
        for where, key in (("obs", time), ("obsm", basis)):
            if key not in getattr(adata, where):
                known = ", ".join(map(repr, getattr(adata, where).keys()))
                raise ValueError(
                    f"{'time' if where == 'obs' else 'basis'}: no {key!r} in adata.{where}; there are {known}"
                )
        at, points = np.asarray(adata.obs[time]), adata.obsm[basis]
        try:
            if at.dtype.kind in "bmM":  # a mask, or as numbers nanoseconds
                raise TypeError
            at = at.astype(float)
        except (TypeError, ValueError):
            raise ValueError(
                f"time: adata.obs[{time!r}] holds no numbers; make it a column of numbers"
            ) from None
        points = np.asarray(points.toarray() if hasattr(points, "toarray") else points, dtype=float)
        if dimensions is not None and whole_number("dimensions", dimensions) > points.shape[1]:
            raise ValueError(
                f"dimensions: adata.obsm[{basis!r}] has {points.shape[1]}, got {dimensions}; take no more"
            )
        return cls._grouped(at, points[:, :dimensions])

    @classmethod
    def _grouped(cls, at: np.ndarray, points: np.ndarray) -> Snapshots:
        at = finite_array("time", at)
        times = np.unique(at)
        return cls(times, [Particles(points[at == t]) for t in times])

    @property
    def dimension(self) -> int:
        """The dimension d of the points."""
        return self.measures[0].dimension

    @property
    def gaps(self) -> np.ndarray:
        """t_{k+1} − t_k, `[K]`."""
        return np.diff(self.times)

    def cloud(self, k: int) -> Particles:
        """The k-th measure as weighted points: itself, or the atoms of a density."""
        mu = self.measures[k]
        if isinstance(mu, Particles):
            return mu
        positions, masses, _ = atoms_of(mu)
        return Particles(positions, masses)

    @property
    def clouds(self) -> list[Particles]:
        """All measures as weighted points."""
        return [self.cloud(k) for k in range(len(self))]

    def pooled(self) -> np.ndarray:
        """The points of all times, `[n, d]`."""
        return np.concatenate([np.asarray(c.positions, dtype=float) for c in self.clouds])

    def split(self, fraction: float = 0.6, seed: int = 0) -> tuple[Snapshots, Snapshots]:
        """Two sets of snapshots at the same times: a random `fraction` of the points of each, and the rest.

        Raises ValueError for densities, whose points are no sample, and for clouds too small to be split.
        """
        if not (isinstance(fraction, (int, float)) and 0.0 < fraction < 1.0):
            raise ValueError(f"fraction: expected a number between 0 and 1, got {shown(fraction)}")
        generator = np.random.default_rng(seed_number("seed", seed))
        parts: tuple[list, list] = ([], [])
        for k, mu in enumerate(self.measures):
            if not isinstance(mu, Particles) or mu.n < TOLERANCES.fewest_points:
                raise ValueError(
                    f"measures[{k}]: expected {TOLERANCES.fewest_points} points or more to split, got "
                    f"{mu!r}; sample it first"
                )
            order = generator.permutation(mu.n)
            first = min(max(int(fraction * mu.n), 2), mu.n - 2)
            for part, chosen in zip(parts, (order[:first], order[first:]), strict=True):
                part.append(_chosen(mu, chosen))
        return Snapshots(self.times, parts[0]), Snapshots(self.times, parts[1])

    def without(self, k: int) -> Snapshots:
        """The snapshots but the k-th."""
        if not (isinstance(k, (int, np.integer)) and -len(self) <= k < len(self)):
            raise ValueError(f"k: expected the number of one of {len(self)} snapshots, got {shown(k)}")
        kept = [i for i in range(len(self)) if i != k % len(self)]
        return Snapshots(self.times[kept], [self.measures[i] for i in kept])

    def __len__(self) -> int:
        return len(self.measures)

    def __iter__(self) -> Iterator[tuple[float, Measure]]:
        return iter(zip(self.times, self.measures, strict=True))

    def __getitem__(self, k: int) -> Measure:
        return self.measures[k]

    def __repr__(self) -> str:
        sizes = ", ".join(mu.size for mu in self.measures)
        times = ", ".join(f"{t:g}" for t in self.times)
        return f"{len(self)} snapshots in {self.dimension}D at t = {times} ({sizes})"


def as_snapshots(name: str, value: Snapshots, grows: bool = False) -> Snapshots:
    """value, refused unless it is Snapshots, and unless `grows` for masses that are not 1."""
    if not isinstance(value, Snapshots):
        raise TypeError(f"{name}: expected jko.learn.Snapshots(times, measures), got {type(value).__name__}")
    masses = [float(mu.mass) for mu in value.measures if isinstance(mu, Population)]
    if not grows and any(abs(mass - 1.0) > TOLERANCES.unit_mass for mass in masses):
        raise ValueError(
            f"{name}: expected populations of mass 1, got {', '.join(f'{mass:.6g}' for mass in masses)}; "
            'call .normalized() on them, or take jko.learn.interpolate(snapshots, "growth", length=...)'
        )
    return value


def _rows(measures) -> list:
    if np.ndim(measures) != 3:
        raise TypeError(
            f"measures: expected a list of measures or of arrays [n, d], got {type(measures).__name__}"
        )
    return list(measures)


def as_measure(name: str, mu: Particles | np.ndarray, grows: bool = False) -> Measure:
    """A measure of mass 1, or if it `grows` a Population of any, from one or from points `[n, d]`."""
    if grows and isinstance(mu, Population):
        return mu
    if isinstance(mu, (Density, Gaussian, Particles)):
        mass = 1.0 if isinstance(mu, Gaussian) else float(mu.mass)
        if abs(mass - 1.0) > TOLERANCES.unit_mass:
            raise ValueError(f"{name}: expected mass 1, got {mass:.6g}; call .normalized() on it")
        return mu
    if isinstance(mu, Measure):
        raise TypeError(
            f"{name}: expected Particles, a Density or a Gaussian, got {type(mu).__name__}; sample it"
        )
    try:
        return Particles(finite_array(name, mu))
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(name) else f"{name}: {error}") from None


def _chosen(mu: Particles, chosen: np.ndarray) -> Particles:
    weights = np.asarray(mu.weights, dtype=float)[chosen]
    part = Particles(mu.positions[chosen], weights / weights.sum())
    return Population.of(part, mu.mass) if isinstance(mu, Population) else part


def _column(argument: str, wanted: str | int, names: list[str], count: int) -> int:
    if isinstance(wanted, str):
        if wanted not in names:
            known = ", ".join(map(repr, names)) or "none, for the file has no header line"
            raise ValueError(f"{argument}: no column {wanted!r}; there are {known}")
        return names.index(wanted)
    if not 0 <= int(wanted) < count:
        raise ValueError(f"{argument}: expected a column from 0 to {count - 1}, got {shown(wanted)}")
    return int(wanted)
