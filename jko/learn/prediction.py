"""Rollouts: what the learnt functional makes of a measure, by any engine."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from jko import descent, limits, steps
from jko.driver import flow
from jko.errors import finite_array, positive_number, seed_number, shown
from jko.learn.snapshots import as_measure
from jko.learn.tolerances import TOLERANCES
from jko.measures import Gaussian, Particles
from jko.scheme import Records, Scheme
from jko.trajectory import Trajectory

if TYPE_CHECKING:
    from jko.learn.fit import Fit


def predict(
    fit: Fit,
    mu0: Particles | np.ndarray,
    times: ArrayLike | None = None,
    scheme: Scheme | None = None,
    *,
    tau: float | None = None,
    seed: int = 0,
) -> Trajectory:
    """The measures at `times` (the snapshots' unless given) that F makes of mu0, which is at times[0].

    Runs are `jko.flow` by `scheme`, from time to time, with F of the interval that they lie in; before and
    after the data F goes on as it is in the first and the last interval. Without a scheme: one step a gap of
    the kind that was fitted for `step` "explicit" and "implicit" (`ForwardEuler`, `BackwardEuler`); for a
    flow of particles and for a temperature `StochasticHeun`, its noise from `seed`; `FiniteVolume` for
    densities, the closed form for Gaussians. `tau` is the longest step, a sixteenth of a gap unless given.

    Raises ValueError for times out of order, a measure of another dimension, and what the scheme refuses.
    """
    mu0 = as_measure("mu0", mu0)
    data = fit.snapshots
    if mu0.dimension != data.dimension:
        raise ValueError(f"mu0: expected {data.dimension} dimensions, the snapshots', got {mu0.dimension}")
    times = data.times if times is None else np.atleast_1d(finite_array("times", times))
    if times.ndim != 1 or len(times) < 2 or np.any(np.diff(times) <= 0.0):
        raise ValueError(
            f"times: expected two or more increasing times, mu0 at the first, got {shown(times.tolist())}"
        )
    if tau is not None:
        tau = positive_number("tau", tau)
    seed_number("seed", seed)
    measures, energies, blocks, here, longest = [mu0], [], [], mu0, 0.0
    marks = _marks(times, data.times)
    for number, (start, end) in enumerate(itertools.pairwise(marks)):
        k = int(np.clip(np.searchsorted(data.times, 0.5 * (start + end)) - 1, 0, len(data) - 2))
        F, gap = fit.functional_of(k), float(data.gaps[k])
        engine = scheme if scheme is not None else _default(fit, here, seed + number)
        one = gap if fit.step != "flow" else gap / TOLERANCES.steps_a_gap
        count = max(1, math.ceil((end - start) / (tau or one) - 1e-6))
        run = flow(
            F, here, engine, tau=(end - start) / count, n_steps=count, store_every=count, progress=False
        )
        here, longest = run.final, max(longest, run.tau)
        blocks.append(run.info)
        if not energies:
            energies.append(run.energy[0])
        if np.min(np.abs(times - end)) <= TOLERANCES.same_time * (data.times[-1] - data.times[0]):
            measures.append(here)
            energies.append(run.energy[-1])
    return Trajectory(
        times=times,
        energy=np.array(energies),
        measures=measures,
        info=Records.concatenate(blocks),
        tau=longest,
        functional=repr(fit.functional),
        scheme=repr(engine),
        energy_kind=engine.energy_kind_of(F),
        attributes={"learnt": True},
    )


def _marks(times: np.ndarray, of_data: np.ndarray) -> np.ndarray:
    """The times, and between them those at which the functional changes."""
    span = TOLERANCES.same_time * (of_data[-1] - of_data[0])
    inside = [t for t in of_data if times[0] < t < times[-1] and np.min(np.abs(times - t)) > span]
    return np.sort(np.concatenate([times, inside]))


def _default(fit: Fit, mu: Particles, seed: int) -> Scheme:
    if isinstance(mu, Particles):
        if fit.step == "flow" or fit.temperature > 0.0:
            return descent.StochasticHeun(seed=seed)
        return descent.ForwardEuler() if fit.step == "explicit" else descent.BackwardEuler()
    if isinstance(mu, Gaussian):
        return steps.Gaussian()
    return limits.FiniteVolume()
