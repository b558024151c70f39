"""What a plot accepts: one run or several by name, and times."""

from __future__ import annotations

import numpy as np

from jko.comparison.times import shared_times
from jko.measures import Particles, Species
from jko.trajectory import Trajectory


def named_runs(runs) -> dict[str, Trajectory]:
    """The runs as a dict; one trajectory is called by its scheme."""
    if isinstance(runs, Trajectory):
        return {runs.scheme.split("(")[0] or "run": runs}
    if not isinstance(runs, dict) or not runs:
        got = "an empty dict" if isinstance(runs, dict) else type(runs).__name__
        raise TypeError(f"runs: expected a Trajectory or a dict of named ones, got {got}")
    for name, run in runs.items():
        if not isinstance(run, Trajectory):
            raise TypeError(
                f"runs[{name!r}]: expected a Trajectory, what jko.flow returns, got {type(run).__name__}"
            )
    dimensions = {run.measures[0].dimension for run in runs.values()}
    if len(dimensions) > 1:
        raise ValueError(f"runs: expected one dimension in one picture, got {sorted(dimensions)}")
    return runs


def by_species(runs) -> dict[str, Trajectory]:
    """The runs with each of several species as a run of its own, "run: species"; of one run by its name."""
    found = {}
    for name, run in runs.items():
        if not isinstance(run.final, Species):
            found[name] = run
            continue
        for species in run.final.names:
            found[species if len(runs) == 1 else f"{name}: {species}"] = run.of_species(species)
    return found


def require_one(run):
    """Refuse what is not one run, and a run of several species, in a picture of one measure."""
    if not isinstance(run, Trajectory):
        raise TypeError(
            f"run: expected one Trajectory, got {type(run).__name__}: plot_energy, plot_density and "
            "plot_particles take a dict of several"
        )
    if isinstance(run.final, Species):
        raise TypeError(
            f"run: expected one measure, got {run.final!r}: take run.of_species({run.final.names[0]!r})"
        )


def chosen_times(runs, times, count: int) -> np.ndarray:
    """The times asked for, or `count` that every run stored: the start, then ever later, to the end."""
    if times is not None:
        return np.sort(np.atleast_1d(np.asarray(times, dtype=float)))
    shared = stored_by_all(runs)
    wanted = shared[-1] * np.linspace(0.0, 1.0, count) ** 2  # most happens early
    return shared[np.unique([int(np.argmin(np.abs(shared - t))) for t in wanted])]


def stored_by_all(runs: dict) -> np.ndarray:
    """Times that every run stored; those of the coarsest one, up to the first end, where only a start is."""
    shared = shared_times(runs)
    if shared.size > 1:
        return shared
    end = min(run.times[-1] for run in runs.values())
    coarsest = min(runs.values(), key=len).times
    return coarsest[coarsest <= end * (1 + 1e-9)]


def window(runs: dict, exact=None, times: list = ()):
    """Lower and upper corner of the box in which the measures have all but 1e-3 of their largest density."""
    corners = [extent(run.at(t)) for run in runs.values() for t in times]
    lower = np.min([c[0] for c in corners], axis=0)
    upper = np.max([c[1] for c in corners], axis=0)
    return lower, upper


def extent(mu: Particles):
    """Corners of the box that holds a measure, but for 1e-3 of its largest density."""
    if isinstance(mu, Particles):
        spread = mu.positions.max(axis=0) - mu.positions.min(axis=0)
        return mu.positions.min(axis=0) - 0.05 * spread, mu.positions.max(axis=0) + 0.05 * spread
    if hasattr(mu, "grid"):
        return _held_box(mu)
    reach = 3.7 * np.sqrt(np.diag(mu.covariance()))
    return mu.mean() - reach, mu.mean() + reach


def _held_box(density):
    held = density.values > 1e-3 * density.values.max()
    lower, upper = [], []
    for axis, edges in enumerate(density.grid.edges):
        others = tuple(a for a in range(held.ndim) if a != axis)
        index = np.flatnonzero(held.any(axis=others))
        lower.append(edges[max(index[0] - 1, 0)])
        upper.append(edges[min(index[-1] + 2, len(edges) - 1)])
    return np.array(lower), np.array(upper)
