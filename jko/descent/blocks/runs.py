"""Runs of steps with noise: compiled block by block, or on the host, watched on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jko.descent.blocks.observables import averages, statistics_of
from jko.descent.blocks.steps import BLOCK, compiled_block, host_steps
from jko.descent.fields.sharded import laid_out
from jko.descent.fields.watch import EVERY_STEP, HostWatch, Watch, compiled_look, watched_steps
from jko.descent.tolerances import TOLERANCES
from jko.loops.random_keys import seed_words
from jko.sharding import gather


class Thrown(Exception):
    """Particles were thrown between two steps, whose numbers are its arguments."""


@dataclass(frozen=True)
class Steps:
    """The steps of a `StochasticDescent` along a field, for particles of weights w `[n]`."""

    scheme: Any
    flow: Any
    w: np.ndarray
    coefficients: np.ndarray
    watch: Watch
    clock: np.ndarray  # step k begins at clock[0] + k clock[1]

    def compiled(self, carried: tuple, first: int, last: int):
        """(what is carried, averages by name) after the steps first … last − 1; raises `Thrown`.

        Every step of few particles, or of a drift that is a sum over them, is watched as it is taken; of many
        particles in a potential one in 256 is, and its whole block where that one is suspicious or a particle
        is further away than noise and drift can have taken it.
        """
        n, w = len(self.w), laid_out(self.flow, carried[0], self.w)[1]
        carried = tuple(laid_out(self.flow, array, self.w)[0] for array in carried)
        dear = n <= EVERY_STEP or any(atom.kind != "potential" for _, atom in self.flow.terms)
        carried, measured = (self._every if dear else self._sampled)(carried, w, first, last)
        columns = {k: np.concatenate([part[k] for part in measured]) for k in self.scheme.observables}
        return [gather(array, n) for array in carried], columns

    def _every(self, carried: tuple, w: np.ndarray, first: int, last: int):
        measured = []
        for begin in range(first, last, BLOCK):
            end = min(begin + BLOCK, last)
            carried, values = self._watched(carried, w, begin, end)
            measured.append(values)
        return carried, measured

    def _sampled(self, carried: tuple, w: np.ndarray, first: int, last: int):
        measured, numbers = [], self.watch.numbers(carried[0].dtype)
        for begin, end in zip([first, *(ends := watched_steps(first, last))], [*ends, last], strict=True):
            start, before = carried, carried
            for part in (begin, max(begin, end - 1)), (max(begin, end - 1), end):
                if part[0] < part[1]:
                    before = carried
                    carried, values = self._block(carried, w, *part)
                    measured.append(values)
            if end in ends:
                look = compiled_look(self.flow.at(self._time(end)))(
                    numbers, start[0], before[0], carried[0], w
                )
                if self._suspicious(end - begin, *map(float, look)):
                    self._watched(start, w, begin, end)
        return carried, measured

    def _suspicious(self, steps: int, heat: float, moved: float, farthest: float, reach: float) -> bool:
        far = TOLERANCES.far * np.sqrt(steps * self.watch.noise) + steps * reach
        return self.watch.thrown(heat, moved, 1, len(self.w)) or not farthest <= far

    def _block(self, carried: tuple, w: np.ndarray, begin: int, end: int):
        block, seed = self._program(False), seed_words(self.scheme.seed)
        carried, values = block(carried, w, self.coefficients, self.clock, seed, begin, end)
        return carried, {name: gather(column, end - begin) for name, column in values.items()}

    def _watched(self, carried: tuple, w: np.ndarray, begin: int, end: int):
        block, seed = self._program(True), seed_words(self.scheme.seed)
        numbers, ahead = self.watch.numbers(carried[0].dtype), int(bool(watched_steps(begin, end)))
        carried, values, (heat, moved) = block(
            carried, w, self.coefficients, self.clock, seed, begin, end, numbers, ahead
        )
        finite = np.isfinite(heat) and np.isfinite(moved)  # else positions are out of reach as well
        if finite and self.watch.thrown(float(heat), float(moved), end - begin, len(self.w)):
            raise Thrown(begin, end)
        return carried, {name: gather(column, end - begin) for name, column in values.items()}

    def _time(self, number: int) -> float:
        return float(self.clock[0] + number * self.clock[1])

    def _at(self, number):
        return self.flow.at(self._time(number))

    def _program(self, watched: bool):
        observables = tuple(self.scheme.observables.items())
        return compiled_block(self.flow, self.scheme.move, self.scheme.noise, observables, watched)

    def on_the_host(self, carried, first, last):
        """The same where sums are taken outside jax."""
        observables, dimension = tuple(self.scheme.observables.items()), carried[0].shape[1]
        columns = jax.tree.map(np.array, statistics_of(observables, dimension, self.w.dtype, last - first))

        def record(row, x):
            for name, value in averages(observables)(x, self.w).items():
                columns[name][row] = value

        noise, watch = (self.scheme.noise, self.scheme.seed), HostWatch(self.watch, self.w)
        how = self.w, self.coefficients, *noise, first, last, record, watch
        moved = host_steps(self._at, self.scheme.move, carried, *how)
        if np.isfinite(watch.heat) and watch.thrown(last - first):
            raise Thrown(first, last)
        return moved, columns
