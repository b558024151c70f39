"""flow: the only time loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from functionals.base import Functional
from jko.accuracy import FRAMES, reach, refusal
from jko.checkpoint import describe_problem
from jko.errors import positive_number, whole_number
from jko.interrupts import interrupts
from jko.measures import Measure
from jko.progress import progress_bar
from jko.run import Run, step_failed
from jko.scheme import Scheme
from jko.sharding import active, leads, refuse_fork, together
from jko.shared_journal import journal_of
from jko.trajectory import Trajectory

_CHECKPOINT_SECONDS = 0.5  # between two writings, at least: quick steps are not written one by one


def flow(
    functional: Functional,
    measure: Measure,
    scheme: Scheme,
    *,
    tau: float | None = None,
    n_steps: int | None = None,
    store_every: int = 1,
    checkpoint=None,
    progress: bool | None = None,
    throw: bool = True,
    accuracy: float | None = None,
    time: float | None = None,
    most_steps: int = 10_000,
) -> Trajectory:
    """Move a measure down the Wasserstein gradient of a functional: n_steps of a scheme with time step τ.

    Stores the measure and its energy every `store_every` steps, and at the end. `tau` is nondimensional time.
    With `checkpoint=path` the run survives being killed: the same call goes on from where the file ends, to
    the same numbers to the last bit; a call with more steps goes on further, one for a different problem is
    refused. `progress` shows a bar, by default on a terminal when a run takes more than a second. A step
    that fails raises StepFailed with its record; with `throw=False` the run ends with the measure before it
    and its record. `attributes["seconds"]` is the wall-clock time that the run took, up to the end of its
    checkpoint in earlier calls and since then in this one.

    With `accuracy`, the largest W₂ to the gradient flow that is asked for (solver's and τ's error together),
    `tau` is the longest step and n_steps · tau the end; or `time` alone is the end. Steps are divided by
    whole numbers and tolerances tightened until `flow_error_bound` is no larger at any stored time, or until
    a try would take more than `most_steps`. `attributes["accuracy_met"]` says which, `["accuracy_note"]` in a
    sentence; stored times stay multiples of `store_every` · tau. Tries with other steps or
    tolerances have checkpoints of their own beside `checkpoint`. ValueError for a scheme without bounds.

    Raises TypeError or ValueError, before any work, for anything it cannot run.
    """
    tau, n_steps = _lengths(tau, n_steps, time, accuracy)
    if accuracy is None:
        started = monotonic()
        run = made_ready(functional, measure, scheme, tau=tau, n_steps=n_steps, store_every=store_every)
        run.seconds += monotonic() - started
        return finished(run, checkpoint=checkpoint, progress=progress, throw=throw)
    started = monotonic()
    tau, n_steps, store_every = _checked(functional, measure, scheme, tau, n_steps, store_every)
    accuracy = positive_number("accuracy", accuracy)
    most_steps = whole_number("most_steps", most_steps)
    if why := refusal(scheme, functional):
        raise ValueError(f"accuracy: {why}")
    problem = functional, measure, tau, n_steps, store_every
    with together():
        trajectory, before = _run_to(accuracy, problem, scheme, checkpoint, progress, throw, most_steps)
    trajectory.attributes["seconds"] = before + monotonic() - started
    return trajectory


def made_ready(
    functional: Functional,
    measure: Measure,
    scheme: Scheme,
    *,
    tau: float,
    n_steps: int,
    store_every: int = 1,
) -> Run:
    """A run before its first step, its arguments checked; raises as `flow` does."""
    tau, n_steps, store_every = _checked(functional, measure, scheme, tau, n_steps, store_every)
    with together():
        return Run(scheme.prepare(functional, measure), measure, scheme, tau, n_steps, store_every)


def try_out(run: Run) -> None:
    """Take the first block of steps, up to the first stored time; they stay in the run.

    What a scheme refuses when it first sees τ is refused now, before anything is written.
    """
    started = monotonic()
    with together():
        run.store_initial()
        if not run.finished:
            run.advance(throw=True)
    run.seconds += monotonic() - started


def finished(run: Run, *, checkpoint=None, progress: bool | None = None, throw: bool = True) -> Trajectory:
    """Take the steps that are left, from the checkpoint's end where there is one."""
    started = monotonic()
    with together():
        trajectory = _run(run, checkpoint, progress, throw)
    run.seconds += monotonic() - started
    trajectory.attributes["seconds"] = run.seconds
    return trajectory


def _lengths(tau: float | None, n_steps: int | None, time: float | None, accuracy: float | None):
    """(tau, n_steps), from the end time where that is given in their place."""
    if time is None:
        missing = [name for name, value in (("tau", tau), ("n_steps", n_steps)) if value is None]
        if missing:
            other = ", or an accuracy and the end time" if accuracy is None else ", or time in their place"
            raise TypeError(f"flow: give {' and '.join(missing)}{other}")
        return tau, n_steps
    if accuracy is None or tau is not None or n_steps is not None:
        raise TypeError(
            "time: stands with accuracy in the place of tau and n_steps; give it so, or leave it out"
        )
    return positive_number("time", time) / FRAMES, FRAMES


def _run_to(accuracy, problem, scheme: Scheme, checkpoint, progress, throw: bool, most_steps):
    """(the run whose bound reaches the accuracy, or comes closest to it; seconds of earlier calls)."""
    functional, measure, tau, n_steps, store_every = problem
    tries: list[Run] = []

    def solve(parts, trial):
        sizes = tau / parts, n_steps * parts, store_every * parts
        tries.append(Run(trial.prepare(functional, measure), measure, trial, *sizes))
        return _run(tries[-1], _of_try(checkpoint, parts, trial, scheme), progress, False)

    found = reach(accuracy, solve, scheme, n_steps, most_steps)
    if throw and found.info.n_steps and not found.info.row(-1).converged:
        raise step_failed(scheme, found.info.n_steps, found.info.row(-1))
    return found, sum(run.seconds for run in tries)


def _of_try(checkpoint, parts, trial, scheme: Scheme):
    """The checkpoint of a try: the one given for the problem as given, else named by what is other."""
    if checkpoint is None or (parts == 1 and trial is scheme):
        return checkpoint
    return Path(f"{checkpoint}.{parts}" + (f"-{trial.tolerance!r}" if trial is not scheme else ""))


def _run(run: Run, checkpoint, progress, throw: bool) -> Trajectory:
    if checkpoint is None:
        _drive(run, lambda at_once=False: None, progress, throw)
        return run.trajectory()
    journal = journal_of(
        checkpoint, describe_problem(run.F, run.initial, run.scheme, run.tau, run.store_every)
    )
    try:
        run.restore(journal.open(), checkpoint)
        _drive(run, _saver(run, journal), progress, throw)
    finally:
        journal.close()
    return run.trajectory()


def _drive(run: Run, save: Callable, progress, throw: bool):
    """The time loop; what is complete is saved on every way out but a kill."""
    run.store_initial()
    label = type(run.scheme).__name__
    shown = False if active() is not None and not leads() else progress  # one process of many shows it
    with interrupts() as heed, progress_bar(shown, run.n_steps, label, "step", run.at.done) as bar:
        try:
            while not run.finished:
                bar(run.advance(throw))
                heed()
                save()
        finally:
            save(at_once=True)


def _saver(run: Run, journal):
    """A function that adds what is new to the journal, when it is time: a twentieth of the run at most."""
    due, began = 0.0, monotonic()

    def save(at_once: bool = False):
        nonlocal due
        start, at = monotonic(), run.at
        if run.saved is at or at.done == 0 or not (at_once or start >= due):
            return
        journal.append(run.content(run.seconds + start - began))
        run.saved = at
        due = monotonic() + max(_CHECKPOINT_SECONDS, 20.0 * (monotonic() - start))

    return save


def _checked(
    functional: Functional, measure: Measure, scheme: Scheme, tau: float, n_steps: int, store_every: int
):
    refuse_fork()
    if not isinstance(functional, Functional):
        raise TypeError(
            f"functional: expected a Functional, got {type(functional).__name__}: try fn.Potential(V)"
        )
    if not isinstance(measure, Measure):
        raise TypeError(f"measure: expected a Density, Particles or Gaussian, got {type(measure).__name__}")
    if not isinstance(scheme, Scheme):
        name = f"the class {scheme.__name__}" if isinstance(scheme, type) else type(scheme).__name__
        raise TypeError(f"scheme: expected a scheme such as jko.steps.Cvxpy(), got {name}")
    scheme.check_grid(measure)
    return (
        positive_number("tau", tau),
        whole_number("n_steps", n_steps, least=0),
        whole_number("store_every", store_every),
    )
