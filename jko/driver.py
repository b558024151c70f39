"""flow: the only time loop."""

from __future__ import annotations

import time
from contextlib import contextmanager

from functionals.base import Functional
from jko.checkpoint import describe_problem
from jko.errors import positive_number, whole_number
from jko.measures import Measure
from jko.run import Run
from jko.scheme import Scheme
from jko.sharding import active, leads, together
from jko.shared_journal import journal_of
from jko.trajectory import Trajectory

_CHECKPOINT_SECONDS = 0.5


def flow(
    functional: Functional,
    measure: Measure,
    scheme: Scheme,
    *,
    tau: float,
    n_steps: int,
    store_every: int = 1,
    checkpoint=None,
    progress: bool | None = None,
    throw: bool = True,
) -> Trajectory:
    """Move a measure down the Wasserstein gradient of a functional: n_steps of a scheme with time step τ.

    Stores the measure and its energy every `store_every` steps, and at the end. `tau` is nondimensional time.
    With `checkpoint=path` the run survives being killed: the same call goes on from where the file ends, to
    the same numbers to the last bit; a call with more steps goes on further, one for a different problem is
    refused. `progress` shows a bar, by default on a terminal when a run takes more than a second. A step
    that fails raises StepFailed with its record; with `throw=False` the run ends with the measure before it
    and its record. `attributes["seconds"]` is the wall-clock time of the call.

    Raises TypeError or ValueError, before any work, for anything it cannot run.
    """
    started = time.monotonic()
    tau, n_steps, store_every = _checked(functional, measure, scheme, tau, n_steps, store_every)
    with together():
        run = Run(functional, measure, scheme, tau, n_steps, store_every, scheme.init(functional, measure))
        _run(run, checkpoint, progress, throw)
        trajectory = run.trajectory()
    trajectory.attributes["seconds"] = time.monotonic() - started
    return trajectory


def _run(run: Run, checkpoint, progress, throw: bool):
    if checkpoint is None:
        _drive(run, lambda at_once=False: None, progress, throw)
        return
    journal = journal_of(
        checkpoint, describe_problem(run.F, run.initial, run.scheme, run.tau, run.store_every)
    )
    try:
        run.restore(journal.open(), checkpoint)
        _drive(run, _saver(run, journal), progress, throw)
    finally:
        journal.close()


def _drive(run: Run, save, progress, throw: bool):
    """The time loop; what is complete is saved on every way out but a kill."""
    run.store_initial()
    with _progress_bar(progress, run.n_steps, run.at.done, type(run.scheme).__name__) as bar:
        try:
            while not run.finished:
                bar(run.advance(throw))
                save()
        finally:
            save(at_once=True)


def _saver(run: Run, journal):
    """A function that adds what is new to the journal, when it is time: a twentieth of the run at most."""
    due = 0.0

    def save(at_once: bool = False):
        nonlocal due
        start, at = time.monotonic(), run.at
        if run.saved is at or at.done == 0 or not (at_once or start >= due):
            return
        journal.append(run.content())
        run.saved = at
        due = time.monotonic() + max(_CHECKPOINT_SECONDS, 20.0 * (time.monotonic() - start))

    return save


@contextmanager
def _progress_bar(progress, n_steps, done, label):
    from tqdm import tqdm

    follows = active() is not None and not leads()
    hidden = True if follows else None if progress is None else not progress
    with tqdm(
        total=n_steps, initial=done, desc=label, unit="step", delay=1.0, disable=hidden, leave=False
    ) as bar:
        yield bar.update


def _checked(functional, measure, scheme, tau, n_steps, store_every):
    if not isinstance(functional, Functional):
        raise TypeError(
            f"functional: expected a Functional, got {type(functional).__name__}: try fn.Potential(V)"
        )
    if not isinstance(measure, Measure):
        raise TypeError(f"measure: expected a Density, Particles or Gaussian, got {type(measure).__name__}")
    if not isinstance(scheme, Scheme):
        name = f"the class {scheme.__name__}" if isinstance(scheme, type) else type(scheme).__name__
        raise TypeError(f"scheme: expected a scheme such as jko.steps.Cvxpy(), got {name}")
    return (
        positive_number("tau", tau),
        whole_number("n_steps", n_steps, least=0),
        whole_number("store_every", store_every),
    )
