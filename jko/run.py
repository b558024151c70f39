"""A run under way: what is stored so far, where it stands, and what the journal has not seen yet."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from functionals.reading import read_once
from jko.bounds import Space
from jko.checkpoint import unreadable
from jko.errors import CheckpointMismatch, StepFailed
from jko.measures import Measure
from jko.modulus import observed_modulus
from jko.scheme import Problem, Records, Scheme, State, Status, StepInfo
from jko.trajectory import Trajectory

_BLOCK = 1000  # steps in a compiled block: Ctrl-C and progress wait for no more


class Standing(NamedTuple):
    """Where a run stands after `done` steps, with how many frames and blocks of records belong to it."""

    done: int
    measure: Measure
    state: State
    frames: int
    blocks: int


class Run:
    """A run of one scheme: it advances, stores, and gives the journal what is new.

    Where it stands changes by one assignment, after everything that belongs to a step is there: an
    interrupt at any moment leaves a whole step behind, or none of it.
    """

    def __init__(
        self, problem: Problem, measure: Measure, scheme: Scheme, tau: float, n_steps: int, store_every: int
    ):
        self.problem, self.scheme, self.tau = problem, scheme, tau
        self.n_steps, self.store_every = n_steps, store_every
        self.initial = measure
        self.frames: list[tuple[int, float, float, Measure]] = []
        self.blocks: list[Records] = []
        self.failed = False
        self.seconds = 0.0
        self.at = self.saved = Standing(0, measure, problem.start, 0, 0)

    @property
    def F(self):
        """The functional of the run."""
        return self.problem.F

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.failed or self.at.done >= self.n_steps

    def store_initial(self):
        """Store the measure at time 0."""
        if not self.at.frames:
            self._stand(0, self.initial, self.at.state, [], store=True)

    def advance(self, throw: bool) -> int:
        """One step, or with `advance` one block up to the next stored time; returns how many steps."""
        before = self.at.done
        count = min(self._next_multiple(self.store_every), self._next_multiple(_BLOCK), self.n_steps) - before
        measure, state, records = self._steps(count)
        bad = np.flatnonzero(records.status != Status.CONVERGED)
        if bad.size == 0:
            done = before + records.n_steps
            self._stand(
                done, measure, state, [records], store=done % self.store_every == 0 or done == self.n_steps
            )
        else:
            self._fail(records, int(bad[0]), throw)
        return self.at.done - before

    def _steps(self, count: int):
        with read_once():
            return self._taken(count)

    def _taken(self, count: int):
        at, t = self.at, self.at.done * self.tau
        if hasattr(self.scheme, "advance"):
            return self.scheme.advance(self.problem, at.measure, t, self.tau, count, at.state)
        measure, state, info = self.scheme.step(self.problem, at.measure, t, self.tau, at.state)
        return measure, state, Records.of([info])

    def _fail(self, records: Records, bad: int, throw: bool):
        """Keep the good steps before the bad one; then raise, or end the run with the bad one's record."""
        info = records.row(bad)
        if bad:
            measure, state, good = self._steps(bad)
            self._stand(self.at.done + bad, measure, state, [good], store=False)
        if throw:
            raise step_failed(self.scheme, self.at.done + 1, info)
        self._fallen = Records.of([info])
        self.failed = True

    def _next_multiple(self, interval: int) -> int:
        return (self.at.done // interval + 1) * interval

    def _stand(self, done: int, measure: Measure, state: State, blocks: list, store: bool):
        del self.frames[self.at.frames :], self.blocks[self.at.blocks :]
        if store:
            self.frames.append(self._frame(done, measure, state))
        self.blocks.extend(blocks)
        self.at = Standing(done, measure, state, len(self.frames), len(self.blocks))

    def _frame(self, done: int, measure: Measure, state: State):
        value, uncertainty = self.scheme.energy(self.problem, measure, done * self.tau, state)
        if np.isnan(value):
            where = f"after step {done}" if done else "of the initial measure"
            raise StepFailed(
                f"functional: the energy {where} is NaN: {self.F!r} is not defined where the measure is; "
                "change its domain or the initial measure"
            )
        return done, float(value), float(uncertainty), measure

    def content(self, seconds: float) -> dict:
        """What the journal has not seen yet; `seconds` is what the run has taken up to here."""
        at, saved = self.at, self.saved
        return {
            "after": saved.done,
            "done": at.done,
            "frames": [[*frame[:3], frame[3].packed()] for frame in self.frames[saved.frames : at.frames]],
            "records": dict(Records.concatenate(self.blocks[saved.blocks : at.blocks])),
            "state": dict(at.state),
            "measure": at.measure.packed(),
            "seconds": seconds,
        }

    def restore(self, chunks: list[dict], path: Path | str = ""):
        """Stand where the journal ends; raises CheckpointMismatch where its chunks do not make a run."""
        if not chunks:
            return
        try:
            frames, blocks, last = _put_together(chunks)
            wanted = [f for step, f in frames.items() if step % self.store_every == 0 or step == self.n_steps]
            stored = [(*frame[:3], self.initial.unpacked(frame[3])) for frame in wanted]
            measure = self.initial.unpacked(last["measure"])
            state, done, seconds = State(last["state"]), last["done"], float(last.get("seconds", 0.0))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise unreadable(path, error) from error
        if done > self.n_steps:
            raise CheckpointMismatch(
                f"checkpoint: it holds {done} steps already, n_steps is {self.n_steps}: "
                "ask for as many or more"
            )
        self.frames, self.blocks = stored, blocks
        self.seconds += seconds
        if done == self.n_steps and self.frames[-1][0] != self.n_steps:
            self.frames.append(self._frame(self.n_steps, measure, state))
        self.at = self.saved = Standing(done, measure, state, len(self.frames), len(self.blocks))

    @property
    def space(self) -> Space:
        """Where the steps are proximal maps: what bounds of the run rest on."""
        if self.problem.depends_on_time:  # the a-posteriori estimate is that of one functional
            return Space.NONE
        return self.scheme.space_of_steps(self.problem, self.initial)

    def _facts(self) -> dict:
        """The space of the steps, and λ: declared, or else observed on the grid."""
        mu, grid, space = self.initial, getattr(self.initial, "grid", None), self.space
        modulus = self.scheme.displacement_modulus(self.F, mu)
        unknown = modulus is None and grid is not None and space is not Space.NONE
        observed = observed_modulus(self.F, grid, float(mu.masses.sum())) if unknown and grid else None
        return {"displacement_modulus": modulus, "observed_modulus": observed, "space": space}

    def trajectory(self) -> Trajectory:
        """The run so far; of one that failed, with the measure before the failure and the record of it."""
        frames, blocks = list(self.frames), list(self.blocks)
        if self.failed:
            blocks.append(self._fallen)
            if frames[-1][0] != self.at.done:
                frames.append(self._frame(self.at.done, self.at.measure, self.at.state))
        steps, energy, uncertainty, measures = zip(*frames, strict=True)
        return Trajectory(
            times=np.array(steps) * self.tau,
            energy=np.array(energy),
            measures=list(measures),
            info=Records.concatenate(blocks),
            tau=self.tau,
            functional=repr(self.F),
            scheme=repr(self.scheme),
            energy_kind=self.scheme.energy_kind_of(self.F),
            energy_uncertainty=np.array(uncertainty),
            attributes={"depends_on_time": True} if self.problem.depends_on_time else {},
            **self._facts(),
        )


def _put_together(chunks: list[dict]) -> tuple[dict, list[Records], dict]:
    """Frames by their step, blocks of records, the last chunk; raises ValueError where steps are missing."""
    frames: dict[int, tuple] = {}
    blocks: dict[int, Records] = {}
    for chunk in chunks:  # a chunk that an interrupt had written twice counts once
        frames |= {frame[0]: frame for frame in chunk["frames"]}
        blocks[chunk["after"]] = Records(chunk["records"])
    done = 0
    for after, block in blocks.items():
        if after != done:
            raise ValueError(f"steps {done + 1} to {after} are missing")
        done += block.n_steps
    if done != chunks[-1]["done"] or 0 not in frames:
        raise ValueError(f"records of {done} steps, not of {chunks[-1]['done']}")
    return frames, list(blocks.values()), chunks[-1]


def step_failed(scheme: Scheme, number: int, info: StepInfo) -> StepFailed:
    """The exception that a step which did not converge raises."""
    reason = info.note or f"gap {info.gap:.3g}; take a smaller tau or another scheme"
    return StepFailed(
        f"step {number} of {type(scheme).__name__} ended as '{info.status}': "
        f"{reason}, or throw=False for the run up to there",
        info,
    )
