"""flow: the only time loop."""

from __future__ import annotations

import time
from contextlib import contextmanager

import numpy as np

from functionals.base import Functional
from jko.checkpoint import Journal, describe_problem, pack_measure, unpack_measure
from jko.errors import CheckpointMismatch, StepFailed, positive_number, whole_number
from jko.measures import Measure
from jko.scheme import Records, State
from jko.trajectory import Trajectory

_BLOCK = 1000
_CHECKPOINT_SECONDS = 0.5


def flow(
    functional: Functional,
    measure: Measure,
    scheme,
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
    With `checkpoint=path` the run survives being killed: the same call goes on from where the file ends, to the
    same numbers to the last bit; a call with more steps goes on further, one for a different problem is refused.
    `progress` shows a bar, by default on a terminal when a run takes more than a second. A step that fails
    raises StepFailed with its record; with `throw=False` the run stops there and the last record tells.

    Raises TypeError or ValueError, before any work, for anything it cannot run.
    """
    tau, n_steps, store_every = _checked(functional, measure, scheme, tau, n_steps, store_every)
    state = scheme.init(functional, measure)
    run = _Run(functional, measure, scheme, tau, n_steps, store_every, state)
    journal = None
    if checkpoint is not None:
        journal = Journal(checkpoint, describe_problem(functional, measure, scheme, tau, store_every))
        run.restore(journal.open())
    run.store_initial()
    try:
        with _progress_bar(progress, n_steps, run.done, type(scheme).__name__) as bar, _journaling(run, journal) as save:
            while run.done < n_steps and not run.failed:
                bar(run.advance(throw))
                save()
    finally:
        if journal is not None:
            journal.close()
    return run.trajectory()


class _Run:
    """A run under way: what is stored so far, where it stands, and what the journal has not seen yet."""

    def __init__(self, F, measure, scheme, tau, n_steps, store_every, state):
        self.F, self.scheme, self.tau, self.n_steps, self.store_every = F, scheme, tau, n_steps, store_every
        self.initial, self.measure, self.state = measure, measure, state
        self.done, self.failed = 0, False
        self.frames: list[tuple[int, float, float, Measure]] = []
        self.records: list[Records] = []
        self.unsaved_frames = self.unsaved_records = 0

    def store_initial(self):
        if not self.frames:
            self._store()

    def advance(self, throw: bool) -> int:
        """Steps to the next stored time or the end of a block; returns how many."""
        target = min(self._next_multiple(self.store_every), self._next_multiple(_BLOCK), self.n_steps)
        count = target - self.done
        before = self.done
        if hasattr(self.scheme, "advance"):
            self.measure, self.state, records = self.scheme.advance(self.F, self.measure, self.tau, count, self.state)
            self._account(records, throw)
        else:
            for _ in range(count):
                mu, state, info = self.scheme.step(self.F, self.measure, self.tau, self.state)
                self._account(Records.of([info]), throw)
                if self.failed:
                    break
                self.measure, self.state = mu, state
        if not self.failed and (self.done % self.store_every == 0 or self.done == self.n_steps):
            self._store()
        return self.done - before

    def _account(self, records: Records, throw: bool):
        bad = np.flatnonzero(records.status != "converged")
        self.records.append(records)
        if bad.size == 0:
            self.done += records.n_steps
            return
        info = records.row(int(bad[0]))
        self.failed = True
        if throw:
            raise StepFailed(
                f"step {self.done + int(bad[0]) + 1} of {type(self.scheme).__name__} ended as {info.status!r}"
                f"{': ' + info.note if info.note else ''} (gap {info.gap:.3g}); take a smaller tau or another scheme, "
                "or throw=False for the run up to there",
                info,
            )

    def _next_multiple(self, interval: int) -> int:
        return (self.done // interval + 1) * interval

    def _store(self):
        value, uncertainty = self.scheme.energy(self.F, self.measure, self.state)
        self.frames.append((self.done, float(value), float(uncertainty), self.measure))

    def content(self) -> dict:
        """What the journal has not seen yet."""
        frames = self.frames[self.unsaved_frames :]
        records = Records.concatenate(self.records[self.unsaved_records :])
        return {
            "done": self.done,
            "frames": [[step, value, error, pack_measure(mu)] for step, value, error, mu in frames],
            "records": dict(records),
            "state": dict(self.state.data),
            "measure": pack_measure(self.measure),
        }

    def saved(self):
        self.unsaved_frames, self.unsaved_records = len(self.frames), len(self.records)

    def restore(self, chunks: list[dict]):
        """Stand where the journal ends."""
        if not chunks:
            return
        last = chunks[-1]
        if last["done"] > self.n_steps:
            raise CheckpointMismatch(
                f"checkpoint: it holds {last['done']} steps already, n_steps is {self.n_steps}: ask for as many or more"
            )
        for chunk in chunks:
            for step, value, error, arrays in chunk["frames"]:
                if step % self.store_every == 0 or step == self.n_steps:
                    self.frames.append((step, value, error, unpack_measure(arrays, self.initial)))
            self.records.append(Records(chunk["records"]))
        self.done = last["done"]
        self.measure = unpack_measure(last["measure"], self.initial)
        self.state = State(last["state"], self.state.workspace)
        if self.done == self.n_steps and self.frames[-1][0] != self.done:
            self._store()
        self.saved()

    def trajectory(self) -> Trajectory:
        steps, energy, uncertainty, measures = zip(*self.frames, strict=True)
        return Trajectory(
            times=np.array(steps) * self.tau,
            energy=np.array(energy),
            measures=list(measures),
            info=Records.concatenate(self.records),
            tau=self.tau,
            functional=repr(self.F),
            scheme=repr(self.scheme),
            energy_kind=self.scheme.energy_kind,
            energy_uncertainty=np.array(uncertainty),
            displacement_modulus=self.F.displacement_modulus(self.initial.dimension),
        )


@contextmanager
def _journaling(run: _Run, journal: Journal | None):
    """A function that saves when it is time; what is complete is saved on every way out but a kill."""
    if journal is None:
        yield lambda: None
        return
    clock = {"next": 0.0}

    def save(at_once=False):
        now = time.monotonic()
        if run.failed or not (at_once or now >= clock["next"]) or run.unsaved_records == len(run.records):
            return
        journal.append(run.content())
        run.saved()
        clock["next"] = time.monotonic() + max(_CHECKPOINT_SECONDS, 20.0 * (time.monotonic() - now))

    try:
        yield save
    finally:
        save(at_once=True)


@contextmanager
def _progress_bar(progress, n_steps, done, label):
    from tqdm import tqdm

    hidden = None if progress is None else not progress
    with tqdm(total=n_steps, initial=done, desc=label, unit="step", delay=1.0, disable=hidden, leave=False) as bar:
        yield bar.update


def _checked(functional, measure, scheme, tau, n_steps, store_every):
    if not isinstance(functional, Functional):
        raise TypeError(f"functional: expected a Functional, got {type(functional).__name__}: try fn.Potential(V)")
    if not isinstance(measure, Measure):
        raise TypeError(f"measure: expected a Density, Particles or Gaussian, got {type(measure).__name__}")
    if isinstance(scheme, type) or not (hasattr(scheme, "init") and hasattr(scheme, "step")):
        name = getattr(scheme, "__name__", type(scheme).__name__)
        raise TypeError(f"scheme: expected an object with init and step, got {name}: try jko.steps.Cvxpy()")
    return (
        positive_number("tau", tau),
        whole_number("n_steps", n_steps, least=0),
        whole_number("store_every", store_every),
    )
