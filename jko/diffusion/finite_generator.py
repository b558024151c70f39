"""Markov chains on a finite set: their generator, law, paths and time reversal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from jko.diffusion.arguments import common_times, finite_number, instance, within
from jko.diffusion.paths import checked_times, refine
from jko.diffusion.tolerances import TOLERANCES
from jko.errors import finite_array, seed_number, shown, whole_number


@dataclass(frozen=True)
class FinitePaths:
    """States `[m + 1, n]` of n chains at times `[m + 1]`."""

    times: np.ndarray
    states: np.ndarray

    def law(self, k: int, size: int) -> np.ndarray:
        """The shares `[size]` of the states at time number k."""
        return np.bincount(self.states[k], minlength=size) / self.states.shape[1]


class FiniteGenerator:
    """(ℒf)(x) = Σ_y Q(x, y)(f(y) − f(x)) on the states 0, …, N − 1; the law solves ∂ₜp = Qᵀp [Norris1997].

    `rates` `[N, N]` holds Q(x, y) ≥ 0 for x ≠ y, or is a function of the time that returns such an array;
    what stands on the diagonal is ignored. `known_times`, if given, are the first and the last time at which
    it is known. Sums of generators are generators. Raises TypeError or ValueError for what is no such array.
    """

    def __init__(
        self,
        rates: ArrayLike | Callable[[float], ArrayLike],
        *,
        known_times: tuple[float, float] | None = None,
        backward: bool = False,
    ):
        self.known_times, self.backward = known_times, backward
        self._rates = rates if callable(rates) else _checked_rates(rates)

    @classmethod
    def birth_and_death(cls, birth: ArrayLike, death: ArrayLike) -> FiniteGenerator:
        """A population of 0, …, N − 1: from k to k + 1 at rate birth[k], to k − 1 at death[k], both `[N]`.

        The last birth and the first death lead out of the set and are ignored.
        """
        up, down = finite_array("birth", birth), finite_array("death", death)
        if up.ndim != 1 or up.shape != down.shape or up.size < 2:
            raise ValueError(f"birth, death: expected two arrays [N], got shapes {up.shape}, {down.shape}")
        return cls(np.diag(up[:-1], 1) + np.diag(down[1:], -1))

    @classmethod
    def masking(cls, alphabet: int, tokens: int, rate: float = 1.0) -> FiniteGenerator:
        """Each of `tokens` letters is masked at a rate, for good [AustinEtAl2021].

        The letters are 0, …, alphabet − 1 and the mask is `alphabet`; a state is the number of the word with
        the first letter in the highest place, base alphabet + 1, as `words(alphabet + 1, tokens)` lists them.
        """
        letters, places = whole_number("alphabet", alphabet), whole_number("tokens", tokens)
        all_words = words(letters + 1, places)
        rates = np.zeros((len(all_words),) * 2)
        for place, weight in enumerate((letters + 1) ** np.arange(places)[::-1]):
            open_ = np.flatnonzero(all_words[:, place] < letters)
            rates[open_, open_ + (letters - all_words[open_, place]) * weight] = finite_number("rate", rate)
        return cls(rates)

    def at(self, t: float = 0.0) -> np.ndarray:
        """Q `[N, N]` at a time, its rows with sum 0."""
        if not callable(self._rates):
            return self._rates
        within("t", [t], self.known_times)
        return _checked_rates(self._rates(t))

    @property
    def constant(self) -> bool:
        """Whether the rates do not depend on the time."""
        return not callable(self._rates)

    def __add__(self, other: FiniteGenerator) -> FiniteGenerator:
        instance("other", other, FiniteGenerator)
        if self.backward != other.backward:
            raise ValueError("other: one generator runs backward in time and the other forward: no sum")
        if self.constant and other.constant:
            first, second = self.at(), other.at()
            if first.shape != second.shape:
                raise ValueError(f"other: expected {len(first)} states as here, got {len(second)}")
            return FiniteGenerator(first + second, backward=self.backward)
        known = common_times(self.known_times, other.known_times)
        return FiniteGenerator(lambda t: self.at(t) + other.at(t), known_times=known, backward=self.backward)

    def apply(self, f: ArrayLike, t: float = 0.0) -> np.ndarray:
        """ℒf `[N]` of a function's values `[N]`."""
        Q = self.at(t)
        return Q @ _of_size("f", finite_array("f", f), len(Q))

    def forward(self, law: ArrayLike, times: ArrayLike, *, substeps: int = 1) -> FiniteLaw:
        """The law at each of `times`, of which the first is its own, as a `FiniteLaw`.

        By the exponential of Q in the middle of each of `substeps` steps: exact for constant rates, of order
        2 else; positive, with its mass kept. A reversed generator takes decreasing times.
        """
        times = self._checked(times)
        start = probabilities("law", law, len(self.at(times[0])))
        return FiniteLaw(self, times, start, whole_number("substeps", substeps))

    def simulate(self, states: ArrayLike, times: ArrayLike, *, seed: int, substeps: int = 1) -> FinitePaths:
        """Paths of n chains from `states` `[n]`, event by event for all of them at once [Gillespie1977].

        Exact for constant rates; else the rates are those in the middle of each of `substeps` steps, so
        that the law is that of `forward` with as many, of weak order 2.
        """
        times, generator = self._checked(times), np.random.default_rng(seed_number("seed", seed))
        substeps, size = whole_number("substeps", substeps), len(self.at(times[0]))
        here = np.array(states)
        if here.ndim != 1 or here.dtype.kind not in "iu" or np.any((here < 0) | (here >= size)):
            raise ValueError(f"states: expected whole numbers [n] from 0 to {size - 1}, got {shown(states)}")
        fine, stored = refine(times, substeps), [here.copy()]
        table = _JumpTable(self.at(times[0])) if self.constant else None
        for number, (t, dt) in enumerate(zip(fine[:-1], np.diff(fine), strict=True), start=1):
            _events(table or _JumpTable(self.at(t + 0.5 * dt)), here, abs(dt), generator)
            if number % substeps == 0:
                stored.append(here.copy())
        return FinitePaths(times, np.stack(stored))

    def reverse(self, law: FiniteLaw) -> FiniteGenerator:
        """The chain whose paths, followed from a late time to an early one, have the law of this one's.

        Its rate from y to x is Q(x, y) p(x)/p(y) [KellyFrank1979], and 0 from states that p does not visit.
        """
        if self.backward:
            raise ValueError("this generator runs backward in time: reverse the forward one")
        instance("law", law, FiniteLaw, ": take generator.forward(law, times)")

        def rates(t: float) -> np.ndarray:
            p, Q = law.at(t), self.at(t)
            share = np.divide(1.0, p, out=np.zeros_like(p), where=p > 0.0)
            return share[:, None] * np.where(np.eye(len(p), dtype=bool), 0.0, Q * p[:, None]).T

        return FiniteGenerator(rates, known_times=law.known_times, backward=True)

    def _checked(self, times: ArrayLike) -> np.ndarray:
        checked = checked_times(times, self.backward)
        within("times", checked, self.known_times)
        return checked


class FiniteLaw:
    """The law of a chain on a finite set: `laws` `[m + 1, N]` at `times` `[m + 1]`, and between them."""

    def __init__(self, generator: FiniteGenerator, times: np.ndarray, start: np.ndarray, substeps: int):
        self.generator, self.times, self._substeps = generator, times, substeps
        self._start = start

    @cached_property
    def laws(self) -> np.ndarray:
        """The probabilities `[m + 1, N]` at the times."""
        found = [self._start]
        for start, end in zip(self.times[:-1], self.times[1:], strict=True):
            found.append(_carried(self.generator, found[-1], start, end, self._substeps))
        return np.stack(found)

    @property
    def known_times(self) -> tuple[float, float]:
        """The first and the last time, in order."""
        return float(self.times.min()), float(self.times.max())

    @property
    def final(self) -> np.ndarray:
        """The probabilities `[N]` at the last time."""
        return self.laws[-1]

    def at(self, t: float) -> np.ndarray:
        """The probabilities `[N]` at any time between the first and the last."""
        within("t", [t], self.known_times)
        passed = np.flatnonzero(self.times <= t if not self.generator.backward else self.times >= t)
        k = int(passed[-1]) if passed.size else 0
        if t == self.times[k]:
            return self.laws[k]
        return _carried(self.generator, self.laws[k], self.times[k], t, self._substeps)


def words(letters: int, places: int) -> np.ndarray:
    """All words `[letters**places, places]` in the order of their numbers, the first place the highest."""
    return np.array(list(product(range(letters), repeat=places)))


def _carried(generator: FiniteGenerator, p: np.ndarray, start: float, end: float, substeps: int):
    from scipy.linalg import expm

    length = (end - start) / substeps
    if generator.constant:
        moved = np.maximum(p @ expm(abs(end - start) * generator.at()), 0.0)
        return moved * (p.sum() / moved.sum())
    for k in range(substeps):
        p_next = np.maximum(p @ expm(abs(length) * generator.at(start + (k + 0.5) * length)), 0.0)
        p = p_next * (p.sum() / p_next.sum())
    return p


class _JumpTable:
    """Exit rates `[N]`, and where jumps lead to: cumulated shares, row x in [x, x + 1]."""

    def __init__(self, Q: np.ndarray):
        self.size, self.exits = len(Q), -np.diag(Q)
        off = np.where(np.eye(self.size, dtype=bool), 0.0, Q)
        total = np.cumsum(off, axis=1)
        shares = np.divide(total, total[:, -1:], out=np.ones_like(total), where=total[:, -1:] > 0.0)
        self.shares = (shares + np.arange(self.size)[:, None]).ravel()

    def target(self, states: np.ndarray, chance: np.ndarray) -> np.ndarray:
        """The states after a jump."""
        found = np.searchsorted(
            self.shares, np.minimum(states + chance, np.nextafter(states + 1.0, 0.0)), side="right"
        )
        return found - self.size * states


def _events(table: _JumpTable, states: np.ndarray, length: float, generator: np.random.Generator):
    """Move the states in place through a time of this length at constant rates."""
    left, active = np.full(len(states), length), np.arange(len(states))
    while active.size:
        rate = table.exits[states[active]]
        waits = np.divide(
            generator.exponential(size=active.size), rate, out=np.full(active.size, np.inf), where=rate > 0.0
        )
        left[active] -= waits
        active = active[left[active] > 0.0]
        states[active] = table.target(states[active], generator.random(active.size))


def _checked_rates(rates: ArrayLike) -> np.ndarray:
    Q = np.array(finite_array("rates", rates))
    if Q.ndim != 2 or Q.shape[0] != Q.shape[1] or not Q.size:
        raise ValueError(f"rates: expected an array [N, N], got shape {Q.shape}")
    np.fill_diagonal(Q, 0.0)
    if Q.min() < 0.0:
        x, y = np.unravel_index(int(Q.argmin()), Q.shape)
        raise ValueError(f"rates: expected rates of at least 0, got {Q.min():g} from state {x} to {y}")
    np.fill_diagonal(Q, -Q.sum(axis=1))
    return Q


def _of_size(name: str, values: np.ndarray, size: int) -> np.ndarray:
    if values.shape != (size,):
        raise ValueError(f"{name}: expected one value for each of {size} states, got shape {values.shape}")
    return values


def probabilities(name: str, law: ArrayLike, size: int) -> np.ndarray:
    p = _of_size(name, finite_array(name, law), size)
    if p.min() < 0.0 or abs(p.sum() - 1.0) > TOLERANCES.same_mass:
        raise ValueError(
            f"{name}: expected probabilities with sum 1, got a least of {p.min():g} and a sum of {p.sum():g}"
        )
    return p
