"""Tiny schemes of the tests' own, kept out of the list of known schemes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jko.measures import Density, Gaussian, Particles
from jko.scheme import KINDS, Problem, Records, Scheme, StepInfo


def private(cls):
    """A scheme that no error message recommends."""
    Scheme.known.pop(cls.scheme_name())
    return cls


@private
@dataclass(frozen=True)
class HeatOnLine(Scheme):
    """The exact heat flow of a Gaussian."""

    takes: ClassVar = KINDS
    measures: ClassVar = (Gaussian,)

    def step(self, problem, mu, t, tau, state):
        return (
            Gaussian(mu.mean(), mu.covariance() + 2 * tau * np.eye(mu.dimension)),
            state,
            StepInfo(iterations=1),
        )


@private
@dataclass(frozen=True)
class Smoothing(Scheme):
    """Heat by a three-point average."""

    takes: ClassVar = KINDS
    measures: ClassVar = (Density,)
    strength: float = 0.2

    def step(self, problem, mu, t, tau, state):
        padded = np.pad(mu.values, 1, mode="edge")
        values = mu.values + self.strength * (padded[2:] - 2 * mu.values + padded[:-2])
        return mu.with_values(values), state, StepInfo(iterations=2, gap=1e-9, mass_error=0.0)


@private
@dataclass(frozen=True)
class Noise(Scheme):
    """A random walk whose generator lives in the state, with a momentum and nested data."""

    takes: ClassVar = KINDS
    measures: ClassVar = (Particles,)
    seed: int = 0
    pause: float = 0.0

    def prepare(self, F, mu):
        self.check(F, mu)
        memory = {"last": np.zeros(3), "tags": ("a", 1.5, None)}
        return Problem(F, start={"seed": self.seed, "step": 0, "memory": memory})

    def step(self, problem, mu, t, tau, state):
        if self.pause:
            import time

            time.sleep(self.pause)
        step, memory = state["step"], state["memory"]
        assert memory["tags"] == ("a", 1.5, None)
        kick = np.random.default_rng([state["seed"], step]).normal(size=mu.positions.shape)
        positions = mu.positions + np.sqrt(2 * tau) * kick + 0.01 * memory["last"].sum()
        positions = positions.astype(mu.positions.dtype)
        last = np.roll(memory["last"], 1) * 0.9 + kick.ravel()[0]
        after = state.having(step=step + 1, memory={**memory, "last": last})
        return mu.with_positions(positions), after, StepInfo(iterations=step, note=f"step {step}")

    def energy(self, problem, mu, t, state):
        return problem.F.at(t)(mu), 0.25


@private
@dataclass(frozen=True)
class NoiseInBlocks(Noise):
    """The same walk, many steps a call."""

    def advance(self, problem, mu, t, tau, n, state):
        infos = []
        for _ in range(n):
            mu, state, info = self.step(problem, mu, t, tau, state)
            infos.append(info)
        return mu, state, Records.of(infos)


@private
@dataclass(frozen=True)
class Failing(Noise):
    """Fails at a given step."""

    at: int = 3

    def step(self, problem, mu, t, tau, state):
        mu, after, info = super().step(problem, mu, t, tau, state)
        if state["step"] == self.at:
            return mu, after, StepInfo(status="not converged", gap=0.5, note="the bed was too hard")
        return mu, after, info


@private
@dataclass(frozen=True)
class FailingInBlocks(Failing):
    advance = NoiseInBlocks.advance


@private
@dataclass(frozen=True)
class Interrupted(Noise):
    """Ctrl-C at a given step, once."""

    at: int = 3
    box: tuple = ()

    def step(self, problem, mu, t, tau, state):
        if state["step"] == self.at and INTERRUPTS.pop("armed", False):
            raise KeyboardInterrupt
        return super().step(problem, mu, t, tau, state)


INTERRUPTS: dict[str, bool] = {}
