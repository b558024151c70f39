"""The times that several runs have in common."""

from __future__ import annotations

import numpy as np

from jko.comparison.tolerances import TOLERANCES
from jko.errors import finite_array


def common_times(runs: dict, requested=None) -> np.ndarray:
    """Sorted times that every run stored: those requested, or up to nine (three in several dimensions).

    Raises ValueError where there is none but the start, or where a requested one was not stored by every run.
    """
    trajectories, shared = list(runs.values()), shared_times(runs)
    tolerance = _tolerance(runs)
    if requested is not None:
        return _requested(np.atleast_1d(finite_array("times", requested)), shared, tolerance)
    if shared.size == 0 or (len(runs) > 1 and shared[-1] <= 0.0 < max(run.times[-1] for run in trajectories)):
        ends = ", ".join(
            f"{name} every {np.diff(run.times[:2]).sum():g} to {run.times[-1]:g}"
            for name, run in runs.items()
        )
        raise ValueError(
            f"runs: they have no stored time in common but the start ({ends}): choose tau and store_every so"
        )
    on_the_line = trajectories[0].measures[0].dimension == 1
    limit = TOLERANCES.line_times if on_the_line else TOLERANCES.times
    return shared[np.unique(np.linspace(0, shared.size - 1, limit).round().astype(int))]


def shared_times(runs: dict) -> np.ndarray:
    """Sorted times that every run stored; the start at least, where all of them have it."""
    first, *others = runs.values()
    shared = np.unique(first.times)
    for run in others:
        shared = shared[_gap(shared, run.times) <= _tolerance(runs)]
    return shared


def _tolerance(runs: dict) -> float:
    return TOLERANCES.close_times * min(run.tau for run in runs.values())


def _requested(times, shared, tolerance: float):
    missing = times[_gap(times, shared) > tolerance] if shared.size else times
    if missing.size:
        raise ValueError(
            f"times: not all runs stored {', '.join(f'{t:g}' for t in missing)}; in common: {_some(shared)}"
        )
    return np.sort(times)


def _some(times):
    listed = ", ".join(f"{t:g}" for t in times[:8])
    return f"{listed}, ..., {times[-1]:g}" if times.size > 8 else listed or "none"


def _gap(values: np.ndarray, among: np.ndarray):
    """The distance of each value to the nearest of `among`, which is sorted."""
    right = np.clip(np.searchsorted(among, values), 0, len(among) - 1)
    left = np.maximum(right - 1, 0)
    return np.minimum(np.abs(values - among[left]), np.abs(values - among[right]))
