"""What must hold of every engine's answer to a random problem, and what engines say of one another."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

import jko
from jko.errors import StepFailed
from jko.scheme import Scheme
from tests.fuzz.problems import Trial

WORSE = 0.15  # of the best decrease: what a converged step may lose against another engine
FEWER = 0.35  # of the largest fall of F: the same where the grid hides the objective itself
SECONDS = 60  # that a problem of 200 cells may take at most
# what the objective of stored densities may be off by: densities are constant on cells, and a
# remap moves mass by parts of a cell, h²/8τ a unit of mass along each axis
_GRID_ERROR = 1.0 / 8.0
_SIGNIFICANT = 8.0  # times that, below which the objective of stored densities compares nothing
SHORT = 0.03  # τ in the problem's own unit of time, at which one step and many of finite volumes are alike
TWIN_ROUNDING = 1e-9  # of F's parts, by which values of two solvers of one discrete problem may differ
SAME_STEP = frozenset(
    ("steps.Cvxpy", "steps.Quantile", "steps.MongeAmpere", "steps.BackAndForth", "steps.PrimalDual")
)

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


def asked(problem) -> dict[str, Trial]:
    """The schemes to ask, by name."""
    return problem.trials or {name: Trial(scheme) for name, scheme in engines().items()}


def answer(problem, name: str, trial: Trial, n_steps: int = 1) -> Answer:
    """The engine's answer; a refusal is a ValueError or TypeError of one line."""
    started = time.process_time()

    def said(**what):
        return Answer(name, seconds=time.process_time() - started, **what)

    parts = trial.parts
    sizes = {"tau": problem.tau / parts, "n_steps": n_steps * parts, "store_every": parts}
    try:
        with within(SECONDS):
            run = jko.flow(problem.F, problem.mu, trial.scheme, **sizes)
    except TooLong as error:
        return said(fault=str(error))
    except (StepFailed, ValueError, TypeError) as error:
        text = str(error)
        ours = isinstance(error, StepFailed) or ": " in text or "steps." in text or "limits." in text
        readable = 0 < len(text) <= 1500 and "\n" not in text and "Traceback" not in text and ours
        return said(refusal=text) if readable else said(fault=f"{type(error).__name__}: {text[:300]}")
    except Exception as error:  # anything else is what this test looks for
        return said(fault=f"{type(error).__name__}: {str(error)[:300]}")
    return said(run=run)


def faults(problem, run) -> list[str]:
    """What is wrong with a run that says it converged, looked at alone."""
    found = []
    scale = _energy_scale(problem)
    for measure in run.measures[1:]:
        for part in _parts(measure):
            values = part.positions if isinstance(part, jko.Particles) else part.values
            if not np.all(np.isfinite(values)):
                return ["a measure is not finite"]
            if isinstance(part, jko.Density | jko.LineDensity):
                found += _stray(part)
    found += _imbalance(problem, run)
    rise = float(np.max(np.diff(run.energy), initial=0.0))
    if problem.decays and rise > _GRID_ERROR * _one_cell(problem) + 1e-9 * scale:
        found.append(f"F rose by {rise:.3g} of {scale:.3g}")
    if run.energy_kind == "exact" and np.isfinite(run.energy[-1]):
        end = problem.F.at(run.times[-1])(run.final)
        if abs(run.energy[-1] - end) > 1e-9 * (scale + abs(end)):
            found.append(f"F of the last measure is {end:.9g}, the run says {run.energy[-1]:.9g}")
    if np.any(run.info.gap < 0.0):
        found.append(f"a gap is {run.info.gap.min():.2g}")
    return found


def _parts(measure) -> list:
    return [mu for _, mu in measure.items()] if isinstance(measure, jko.Species) else [measure]


def _stray(rho) -> list[str]:
    """Cells below 0, and mass in walls."""
    found = []
    if rho.values.min() < 0.0:
        found.append(f"a density falls to {rho.values.min():.2g}")
    if np.any(rho.values[~rho.grid.inside] != 0.0):
        found.append(f"mass in walls: {rho.values[~rho.grid.inside].max():.2g}")
    return found


def _imbalance(problem, run) -> list[str]:
    """Mass that comes from nowhere or is lost without a word."""
    change, found = run.measures[-1].mass - run.measures[0].mass, []
    for name, sign in (("made", -1.0), ("left", 1.0), ("out", 1.0)):
        change += sign * sum(run.info.detail(name, 0.0))
    largest = max(mu.mass for mu in run.measures)
    if abs(change) > 1e-8 * largest:
        found.append(f"mass changed by {change:.2g}")
    if np.any(run.info.mass_error > 1e-8 * largest):
        found.append(f"mass_error {run.info.mass_error.max():.2g}")
    return found


def disagreements(problem, answers: list[Answer]) -> list[str]:
    """Converged JKO steps that are worse than another engine's by more than the mathematics allows."""
    runs = {a.engine: a.run for a in answers if a.run is not None}
    found = _twins(problem, runs) + _unlike(problem, runs) + _unfrozen(problem, runs)
    standard = (name for name in runs if name in SAME_STEP and _standard(problem.trials.get(name)))
    steps = {name: runs[name] for name in standard}
    if len(steps) < 2:
        return found
    F = problem.F.at(problem.tau)  # as an implicit step sees it
    start = F(problem.mu)
    if not np.isfinite(start):  # from above the cap: only the objectives compare
        return found
    fall = {name: start - F(run.measures[1]) for name, run in steps.items()}
    noise = _GRID_ERROR * _one_cell(problem)
    if problem.mu.dimension == 1 and not problem.mu.grid.is_room:
        cost = {
            name: squared_distance(problem.mu, run.measures[1]) / (2.0 * problem.tau)
            for name, run in steps.items()
        }
        decrease = {name: fall[name] - cost[name] for name in steps}
        found += _unbounded(problem, steps, decrease, noise)
        best = max(decrease, key=decrease.get)
        if decrease[best] > _SIGNIFICANT * noise:
            for name, value in decrease.items():
                if value < (1.0 - WORSE) * decrease[best] - noise:
                    found.append(
                        f"{name} decreases the objective by {value:.4g}, {best} by {decrease[best]:.4g}"
                    )
            return found
    farthest = max(fall, key=fall.get)
    for name, value in fall.items():
        if fall[farthest] > _SIGNIFICANT * noise and value < (1.0 - FEWER) * fall[farthest]:
            found.append(f"{name} lowers F by {value:.4g}, {farthest} by {fall[farthest]:.4g}")
    return found


def _standard(trial: Trial | None) -> bool:
    """Whether a step is that of W₂ itself."""
    settings = getattr(trial, "scheme", None)
    return getattr(settings, "length", None) is None and getattr(settings, "mobility", None) is None


def _twins(problem, runs) -> list[str]:
    """Gaps of two solvers of one discrete problem that the other's answer refutes."""
    found = []
    if problem.F.parts.interaction:  # a step with several stationary points may end at either
        return found
    for first, second in problem.twins:
        if not {first, second} <= runs.keys():
            continue
        one, two = (runs[name].info.row(0) for name in (first, second))
        missed = two.dissipation - one.dissipation
        rounding = TWIN_ROUNDING * (_energy_scale(problem) + one.transport_cost)
        if not -two.gap - rounding <= missed <= one.gap + rounding:
            found.append(
                f"{first if missed > 0.0 else second} misses {abs(missed):.4g} that the other finds, its gap "
                f"says {one.gap if missed > 0.0 else two.gap:.4g}"
            )
    return found


def _unlike(problem, runs) -> list[str]:
    """One long step and many short ones of finite volumes that end at other energies, where τ is short."""
    one, many = (runs.get(name) for name in ("limits.FiniteVolume", "limits.FiniteVolume in many"))
    if one is None or many is None or problem.natural_step > SHORT:
        return []
    F = problem.F.at(problem.tau)
    ends = [F(run.final) for run in (one, many)]
    falls = [F(problem.mu) - end for end in ends]
    if not np.all(np.isfinite(falls)):
        return []
    if abs(ends[0] - ends[1]) > FEWER * max(map(abs, falls)) + 1e-9 * _energy_scale(problem):
        return [f"limits.FiniteVolume lowers F by {falls[0]:.4g}, in many steps by {falls[1]:.4g}"]
    return []


def _unfrozen(problem, runs) -> list[str]:
    """Implicit steps of an F that depends on time that are not those of F frozen at their end."""
    found = []
    if not problem.F.depends_on_time:
        return found
    frozen = replace(problem, F=problem.F.at(problem.tau))
    for name in SAME_STEP & runs.keys():
        again = answer(frozen, name, problem.trials[name]).run
        apart = np.inf if again is None else np.abs(again.final.values - runs[name].final.values).max()
        if apart > 1e-9 * problem.mu.values.max():
            found.append(f"{name} differs by {apart:.2g} from its step of F frozen at its end")
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
    """W₂² of densities that are constant on the cells of a line, exactly; on a circle and in shells by
    jko.wasserstein, in more dimensions NaN."""
    if mu.dimension > 1 and not getattr(mu.grid, "radial", False):
        return float("nan")
    if mu.grid.is_periodic or getattr(mu.grid, "radial", False):
        return mu.mass * float(jko.wasserstein(mu.normalized(), nu.normalized())) ** 2
    shares = [rho.masses / rho.masses.sum() for rho in (mu, nu)]
    levels = [np.concatenate([[0.0], np.cumsum(share)]) for share in shares]
    levels = [level / level[-1] for level in levels]
    q = np.unique(np.concatenate(levels))
    middle, half = 0.5 * (q[1:] + q[:-1]), 0.5 * np.diff(q)
    edges, ends = mu.grid.edges[0] - mu.grid.edges[0][0], []
    for level in levels:
        share = np.diff(level)  # a cell may hold so little that its levels are one number
        held = np.flatnonzero(share > 0.0)
        cell = held[np.clip(np.searchsorted(level[held], middle, side="right") - 1, 0, held.size - 1)]
        slope = np.diff(edges)[cell] / share[cell]
        at = edges[cell] + (middle - level[cell]) * slope
        ends.append((at - half * slope, at + half * slope))
    low, high = ends[0][0] - ends[1][0], ends[0][1] - ends[1][1]
    return mu.mass * float(np.sum(2.0 * half * (low**2 + low * high + high**2)) / 3.0)


def _one_cell(problem) -> float:
    """Σ h²/τ: the price of moving the mass by a cell along every axis, twice over."""
    sizes = []
    for mu in _parts(problem.mu):
        if isinstance(mu, jko.Particles):
            return 0.0
        widths = [float(np.diff(edges).max()) for edges in mu.grid.edges]
        sizes.append(mu.mass * sum(h**2 for h in widths) / problem.tau)
    return sum(sizes)


def _energy_scale(problem) -> float:
    """The size of F's parts at the start, against which rounding is measured."""
    total = 0.0
    for c, atom in problem.F.at(0.0).terms:
        if isinstance(problem.mu, jko.Particles) and atom.kind in ("entropy", "internal"):
            continue
        value = abs(c) * abs(float(atom(problem.mu)))
        total += value if np.isfinite(value) else 0.0
    return total
