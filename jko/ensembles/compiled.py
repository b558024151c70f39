"""Members of an overdamped Langevin dynamics as one compiled call."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from functionals import programs
from functionals.base import Functional
from jko.descent.blocks.steps import BLOCK, watched_block_of, within_reach
from jko.descent.fields.program import Field, outside_terms
from jko.descent.fields.watch import sentence as thrown_sentence
from jko.descent.fields.watch import watched_steps
from jko.descent.schemes.stochastic import StochasticDescent
from jko.ensembles.family import Problem, frame, kept, run_member, sentence
from jko.loops.random_keys import seed_words
from jko.loops.sums.pair_sums import precision
from jko.sharding import active

_NUMBERS = 2**27  # positions held at once


def can_be_compiled(problem: Problem, axes) -> bool:
    """Whether the members differ in nothing but numbers that a compiled block can take."""
    numbers = {"seed", "tau", "temperature", *problem.of_functional}
    return (
        isinstance(problem.scheme, StochasticDescent)
        and not problem.scheme.carries
        and problem.scheme.follows_gradient
        and not callable(problem.measure)
        and active() is None
        and set(axes) <= numbers
        and all(np.ndim(v) == 0 and np.asarray(v).dtype.kind in "iuf" for a in axes.values() for v in a)
    )


def run_together(problem: Problem, members: list[dict], keep) -> None:
    """Run the members and give each result to `keep(its number, result)`."""
    group = max(1, _NUMBERS // problem.measure.positions.size)
    for begin in range(0, len(members), group):
        _run_group(problem, list(enumerate(members))[begin : begin + group], keep)


def _run_group(problem, members, keep):
    ready, mu = [], problem.measure
    for index, parameters in members:
        try:
            made = problem.of(parameters)
            prepared = made[2].prepare(made[0], mu)
            if prepared.at(0.0).leaves_jax(mu.positions):
                keep(index, run_member(problem, parameters))
                continue
            made[2].refuse_unstable(made[0].at(0.0), mu, made[3])
            ready.append((index, parameters, *made, prepared))
        except Exception as error:
            keep(index, {"failure": sentence(error)})
    if not ready:
        return
    with precision(mu.positions):
        block = _traced(problem, ready[0][1])
    if block is None:
        _run_by_functional(problem, ready, keep)
        return
    _advance_all(problem, ready, block, keep)


def _run_by_functional(problem, ready, keep):
    """Where making the functional looks at its numbers: a compiled call for each functional."""
    groups = {}
    for index, parameters, F, *_ in ready:
        made = tuple((name, parameters[name]) for name in _names(problem, parameters))
        groups.setdefault(made, (replace(problem, functional=F), []))[1].append((index, parameters))
    for alike, members in groups.values():
        _run_group(alike, members, keep)


def _advance_all(problem, ready, block, keep):
    mu, dtype = problem.measure, problem.measure.positions.dtype
    names = _names(problem, ready[0][1])
    numbers = {name: np.array([r[1][name] for r in ready], dtype) for name in names}
    clocks = np.array([(0.0, tau) for *_, tau, _ in ready], dtype)
    seeds = np.stack([seed_words(scheme.seed) for _, _, _, _, scheme, _, _ in ready])
    scalars = np.stack([scheme.numbers(F, tau, mu) for _, _, F, _, scheme, tau, _ in ready])
    watches = [scheme.watch(F, tau, mu) for _, _, F, _, scheme, tau, _ in ready]
    watching = np.stack([watch.numbers(dtype) for watch in watches])
    thrown: dict[int, str] = {}
    x, frames, columns, done = np.broadcast_to(mu.positions, (len(ready), *mu.positions.shape)), [], [], 0
    frames.append([_stored(problem, entry, mu.positions, 0) for entry in ready])
    while done < problem.n_steps:
        last = min((done // problem.store_every + 1) * problem.store_every, problem.n_steps)
        with precision(mu.positions):
            for begin in range(done, last, BLOCK):
                end = min(begin + BLOCK, last)
                ahead = int(bool(watched_steps(begin, end)))
                x, values, (heat, moved) = block(
                    numbers, x, mu.weights, scalars, clocks, seeds, begin, end, watching, ahead
                )
                for at, watch in enumerate(watches):
                    if watch.thrown(float(heat[at]), float(moved[at]), end - begin, mu.n):
                        tau = ready[at][5]
                        thrown.setdefault(at, f"StepFailed: {thrown_sentence(begin, end, tau, '')}")
                columns.append(
                    {name: np.asarray(column)[:, : end - begin] for name, column in values.items()}
                )
        positions, done = np.asarray(x), last
        frames.append([_stored(problem, entry, positions[at], last) for at, entry in enumerate(ready)])
    times = np.append(np.arange(0, problem.n_steps, problem.store_every), problem.n_steps)
    for at, (index, *_, tau, _) in enumerate(ready):
        if at in thrown and not any(isinstance(f[at], str) for f in frames):
            keep(index, {"failure": thrown[at]})
            continue
        keep(
            index,
            _result(
                times * tau,
                [f[at] for f in frames],
                {name: np.concatenate([c[name][at] for c in columns]) for name in columns[0]},
            ),
        )


def _stored(problem, entry, positions, number):
    """(energy, uncertainty, frame) of a member at a stored time, or the sentence of its failure."""
    _, _, _, mu, scheme, tau, prepared = entry
    if not within_reach(positions):
        note = scheme.diverged(mu, prepared.at(number * tau), 0, problem.n_steps, tau).row(0).note
        return f"StepFailed: {note}"
    try:
        measure = mu.with_positions(positions)
        energy = scheme.energy(prepared, measure, number * tau, prepared.start)
        return *energy, frame(measure, problem.observe)
    except Exception as error:  # what is observed is the user's, and one member's failure is not the others'
        return sentence(error)


def _result(times, frames, columns) -> dict:
    for stored in frames:
        if isinstance(stored, str):
            return {"failure": stored}
    energy, uncertainty, seen = zip(*frames, strict=True)
    try:
        return kept(times, energy, uncertainty, list(seen), columns)
    except ValueError as error:  # what is observed has another shape at another time
        return {"failure": sentence(error)}


def _names(problem, parameters) -> tuple[str, ...]:
    return tuple(name for name in problem.of_functional if name in parameters)


def _traced(problem, parameters):
    """The compiled block over members, or None where the functional cannot be traced in its parameters."""
    scheme, names, mu = problem.scheme, _names(problem, parameters), problem.measure
    observables = tuple(scheme.observables.items())
    one, block = _block(problem.functional, type(scheme).move, scheme.noise, observables)
    number = jax.ShapeDtypeStruct((), mu.positions.dtype)
    scalars = scheme.coefficients(1.0, 1.0)
    seed, clock = jax.ShapeDtypeStruct((2,), np.uint32), jax.ShapeDtypeStruct((2,), mu.positions.dtype)
    try:
        made = dict.fromkeys(names, number)
        watching = jax.ShapeDtypeStruct((2,), mu.positions.dtype)
        jax.eval_shape(one, made, mu.positions, mu.weights, scalars, clock, seed, 0, 1, watching, 0)
    except Exception:  # whatever the making of the functional raises when it is given no number
        return None
    return block


@programs.kept
def _block(functional, move, noise, observables):
    """A block of steps of one member, whose functional is made from traced numbers, and that of many."""

    def one(numbers, x, w, scalars, clock, seed: int, first, last, watching, ahead):
        F = functional if isinstance(functional, Functional) else functional(**numbers)
        block = watched_block_of(Field(outside_terms(F.parts)), move, noise, observables)
        (x,), values, totals = block((x,), w, scalars, clock, seed, first, last, watching, ahead)
        return x, values, totals

    return one, jax.jit(jax.vmap(one, in_axes=(0, 0, None, 0, 0, 0, None, None, 0, None)))
