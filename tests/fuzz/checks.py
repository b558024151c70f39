"""What must hold of every engine's answer to a random problem, and what engines say of one another."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

import jko
from jko.errors import StepFailed
from jko.scheme import Scheme

WORSE = 0.15  # of the best decrease: what a converged step may lose against another engine
FEWER = 0.35  # of the largest fall of F: the same where the grid hides the objective itself
SECONDS = 60  # that a problem of 200 cells may take at most
# what the objective of stored densities may be off by: densities are constant on cells, and a
# remap moves mass by parts of a cell, h²/8τ a unit of mass along each axis
_GRID_ERROR = 1.0 / 8.0
_SIGNIFICANT = 8.0  # times that, below which the objective of stored densities compares nothing
SAME_STEP = ("steps.Cvxpy", "steps.Quantile", "steps.MongeAmpere", "steps.BackAndForth", "steps.PrimalDual")

# engines whose gap bounds what the stored densities lack, but for the grid's own h²/8τ
BOUNDED = {"steps.BackAndForth", "steps.MongeAmpere"}


class TooLong(Exception):
    """An engine did not answer within the time that it has."""


@dataclass(frozen=True)
class Answer:
    """What an engine said of a problem: a run, a refusal or a failed step, or an error that is none of
    these."""

    engine: str
    run: jko.trajectory.Trajectory | None = None
    refusal: str = ""
    fault: str = ""
    seconds: float = 0.0


def engines() -> dict[str, Scheme]:
    """Every scheme that moves a density, mass kept, and needs no other, by name."""
    found = {}
    for name, cls in sorted(Scheme.known.items()):
        if jko.Density in cls.measures and cls.transports and not cls.__module__.startswith("tests"):
            try:
                found[name] = cls()
            except TypeError:  # wraps another scheme, which it must be given
                continue
    return found


@contextmanager
def within(seconds: float):
    """Raises TooLong in the body after some seconds of this process's own time."""

    def late(*_):
        raise TooLong(f"no answer within {seconds:g} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def answer(problem, name: str, scheme: Scheme, n_steps: int = 1) -> Answer:
    """The engine's answer; a refusal is a ValueError or TypeError of one line."""
    started = time.process_time()

    def said(**what):
        return Answer(name, seconds=time.process_time() - started, **what)

    try:
        with within(SECONDS):
            run = jko.flow(problem.F, problem.mu, scheme, tau=problem.tau, n_steps=n_steps)
    except TooLong as error:
        return said(fault=str(error))
    except (StepFailed, ValueError, TypeError) as error:
        text = str(error)
        ours = isinstance(error, StepFailed) or ": " in text or "steps." in text
        readable = 0 < len(text) <= 1500 and "\n" not in text and "Traceback" not in text and ours
        return said(refusal=text) if readable else said(fault=f"{type(error).__name__}: {text[:300]}")
    except Exception as error:  # anything else is what this test looks for
        return said(fault=f"{type(error).__name__}: {str(error)[:300]}")
    return said(run=run)


def faults(problem, run) -> list[str]:
    """What is wrong with a run that says it converged, looked at alone."""
    found = []
    scale = _energy_scale(problem)
    for before, after in zip(run.measures[:-1], run.measures[1:], strict=True):
        if not np.all(np.isfinite(after.values)):
            return ["a density is not finite"]
        if after.values.min() < 0.0:
            found.append(f"a density falls to {after.values.min():.2g}")
        if abs(after.mass - before.mass) > 1e-8 * before.mass:
            found.append(f"mass changed by {after.mass - before.mass:.2g}")
    rise = float(np.max(np.diff(run.energy), initial=0.0))
    if rise > _GRID_ERROR * _one_cell(problem) + 1e-9 * scale:
        found.append(f"F rose by {rise:.3g} of {scale:.3g}")
    if np.any(run.info.gap < 0.0):
        found.append(f"a gap is {run.info.gap.min():.2g}")
    if np.any(run.info.mass_error > 1e-8 * problem.mu.mass):
        found.append(f"mass_error {run.info.mass_error.max():.2g}")
    return found


def disagreements(problem, answers: list[Answer]) -> list[str]:
    """Converged JKO steps that are worse than another engine's by more than the mathematics allows."""
    steps = {a.engine: a.run for a in answers if a.run is not None and a.engine in SAME_STEP}
    if len(steps) < 2:
        return []
    start = problem.F(problem.mu)
    fall = {name: start - problem.F(run.measures[1]) for name, run in steps.items()}
    cost = {
        name: squared_distance(problem.mu, run.measures[1]) / (2.0 * problem.tau)
        for name, run in steps.items()
    }
    if not np.isfinite(start):  # from above the cap: only the objectives compare
        return []
    decrease = {name: fall[name] - cost[name] for name in steps}
    noise = _GRID_ERROR * _one_cell(problem)
    best = max(decrease, key=decrease.get)
    found = _unbounded(problem, steps, decrease, noise)
    if problem.mu.dimension == 1 and decrease[best] > _SIGNIFICANT * noise:
        for name, value in decrease.items():
            if value < (1.0 - WORSE) * decrease[best] - noise:
                found.append(f"{name} decreases the objective by {value:.4g}, {best} by {decrease[best]:.4g}")
        return found
    farthest = max(fall, key=fall.get)
    for name, value in fall.items():
        if fall[farthest] > _SIGNIFICANT * noise and value < (1.0 - FEWER) * fall[farthest]:
            found.append(f"{name} lowers F by {value:.4g}, {farthest} by {fall[farthest]:.4g}")
    return found


def _unbounded(problem, steps, decrease, noise) -> list[str]:
    """Gaps on the line below what another engine's answer proves, which those of tangents may be."""
    if problem.mu.dimension > 1 or problem.F.parts.interaction:
        return []
    best, found = max(decrease.values()), []
    for name in BOUNDED & steps.keys():
        gap = float(steps[name].info.gap[0])
        if best - decrease[name] > gap + noise:
            found.append(f"{name} is {best - decrease[name]:.4g} above the best, its gap says {gap:.4g}")
    return found


def squared_distance(mu, nu) -> float:
    """W₂² of densities that are constant on the cells of a line, exactly; of a plane's, NaN."""
    if mu.dimension > 1:
        return float("nan")
    shares = [rho.values / rho.values.sum() for rho in (mu, nu)]
    levels = [np.concatenate([[0.0], np.cumsum(share)]) for share in shares]
    levels = [level / level[-1] for level in levels]
    q = np.unique(np.concatenate(levels))
    middle, half = 0.5 * (q[1:] + q[:-1]), 0.5 * np.diff(q)
    ends = []
    for level in levels:
        share = np.diff(level)  # a cell may hold so little that its levels are one number
        held = np.flatnonzero(share > 0.0)
        cell = held[np.clip(np.searchsorted(level[held], middle, side="right") - 1, 0, held.size - 1)]
        slope = mu.grid.spacing[0] / share[cell]
        at = mu.grid.spacing[0] * cell + (middle - level[cell]) * slope
        ends.append((at - half * slope, at + half * slope))
    low, high = ends[0][0] - ends[1][0], ends[0][1] - ends[1][1]
    return mu.mass * float(np.sum(2.0 * half * (low**2 + low * high + high**2)) / 3.0)


def _one_cell(problem) -> float:
    """Σ h²/τ: the price of moving the mass by a cell along every axis, twice over."""
    return problem.mu.mass * sum(h**2 for h in problem.mu.grid.spacing) / problem.tau


def _energy_scale(problem) -> float:
    """The size of F's parts at the start, against which rounding is measured."""
    total = 0.0
    for c, atom in (*problem.F.parts.internal, *problem.F.parts.potential, *problem.F.parts.interaction):
        value = c * float(atom(problem.mu))
        total += abs(value) if np.isfinite(value) else 0.0
    return total
