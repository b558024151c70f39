"""Langevin dynamics: the entropy as noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import ClassVar

import jax
import numpy as np
from jax import lax

from jko.descent.field import field as field_of
from jko.descent.field import noted, outside_terms
from jko.descent.host_steps import host_steps, within_reach
from jko.descent.noise import NOISES, increments, key_of
from jko.descent.observables import averages, checked_observables, measure_columns, statistics_of
from jko.descent.sharded_field import energy_at, mesh_of, spread_field
from jko.descent.stability import host_product, largest_curvature, mean_stiffness
from jko.errors import one_of, positive_number, whole_number
from jko.kernels.pair_sums import precision
from jko.measures import Particles
from jko.measures.entropy_estimate import default_neighbours, entropy_estimate, standard_error
from jko.scheme import Records, Scheme, State
from jko.sharding import gather, spread

BLOCK = 1024


@dataclass(frozen=True)
class Langevin(Scheme):
    """x⁺ = x − τ∇_W G(α)(x) + √(2θτ) ξ for F = θ∫ρ log ρ + G: Euler–Maruyama, of weak order 1 in τ.

    θ is read off the functional (without an entropy it is 0 and the step is ForwardEuler's); G is potentials,
    interactions and functionals of particles. Steps are compiled in blocks, in memory that does not grow with
    their number, or taken on the host where an interaction sums outside jax; the noise of a step is a
    function of `seed`, the step's number and the particle's alone.
    `noise="three-point"` has the same weak order and is cheaper.

    `observables` names averages over the particles that are taken after every step without storing them:
    {"mean": "mean", "spread": "covariance", "radius": lambda x: ...}, a function of a point `[d]` of any
    shape, or one of those two words. They are columns of `trajectory.info`, one row a step.

    `energy` estimates the entropy from `neighbours` nearest neighbours (`entropy_estimate`), of at most
    `entropy_sample` of the particles; its uncertainty is one standard error of the whole energy. A step
    beyond 2/L, L the mean over the particles of the largest curvature of the potential, is refused.
    """

    seed: int = 0
    noise: str = "gaussian"
    neighbours: int | None = None
    observables: Mapping = field(default_factory=dict, hash=False)
    entropy_sample: int = 1_000_000

    takes: ClassVar = frozenset({"entropy", "potential", "interaction", "rest"})
    measures: ClassVar = (Particles,)
    order: ClassVar[int] = 1
    energy_kind: ClassVar[str] = "estimate"
    on_many_devices: ClassVar[bool] = True

    def __post_init__(self):
        whole_number("seed", self.seed, least=0)
        whole_number("entropy_sample", self.entropy_sample, least=2)
        if self.neighbours is not None:
            whole_number("neighbours", self.neighbours)
        one_of("noise", self.noise, NOISES)
        checked_observables(self.observables)

    def init(self, F, mu) -> State:
        self.check(F, mu)
        flow = spread_field(outside_terms(F.parts))
        return State(data={"step": 0, **noted(flow, mu)}, workspace=flow)

    def step(self, F, mu, tau, state):
        mu, state, records = self.advance(F, mu, tau, 1, state)
        return mu, state, records.row(0)

    def advance(self, F, mu, tau, n, state):
        """n steps, in compiled blocks or on the host; the same numbers as n calls of `step`."""
        tau, flow, first = positive_number("tau", tau), state.workspace, state.data["step"]
        if first == 0:
            refuse_unstable(F.parts, mu, tau)
        with precision(mu.positions):
            scalars = coefficients(tau, F.parts.temperature, mu.positions.dtype)
            run = self._on_the_host if flow.leaves_jax(mu.positions) else self._compiled
            moved, columns = run(flow, mu, scalars, first, first + n)
        if not np.all(np.isfinite(moved)):
            return mu, state, self.diverged(mu, flow, first, first + n, tau)
        note = state.data.get("note", "")
        records = Records.constant(n, iterations=1, mass_error=0.0, note=note).with_columns(**columns)
        return mu.with_positions(moved), state.with_data(**(state.data | {"step": first + n})), records

    def _compiled(self, flow, mu, scalars, first, last):
        """(positions, averages by name) after the steps first … last − 1."""
        x, w = spread(mesh_of(flow), mu.positions, mu.weights)
        block = _block(flow, self.noise, tuple(self.observables.items()))
        seed, measured = seed_words(self.seed), []
        for begin in range(first, last, BLOCK):
            end = min(begin + BLOCK, last)
            x, values = block(x, w, scalars, seed, begin, end)
            measured.append({name: gather(column, end - begin) for name, column in values.items()})
        columns = {name: np.concatenate([block[name] for block in measured]) for name in self.observables}
        return gather(x, mu.n), columns

    def _on_the_host(self, flow, mu, scalars, first, last):
        """The same where sums are taken outside jax; positions that are not finite where it diverged."""
        observables, w = tuple(self.observables.items()), mu.weights
        columns = jax.tree.map(np.array, statistics_of(observables, mu.dimension, w.dtype, last - first))

        def watch(row, x):
            for name, value in averages(observables)(x, w).items():
                columns[name][row] = value

        carried, noise = (mu.positions,), (self.noise, self.seed)
        (moved,) = host_steps(flow, move, carried, w, scalars, *noise, first, last, watch)
        return (moved if within_reach(moved) else np.full_like(moved, np.inf)), columns

    def energy(self, F, mu, state):
        parts, outside = F.parts, outside_terms(F.parts)
        value = energy_at(state.workspace, mu)
        if parts.temperature == 0.0:
            return value, 0.0
        sample = mu if mu.n <= self.entropy_sample else mu.subsample(self.entropy_sample, seed=0)
        neighbours = self.neighbours or default_neighbours(mu.dimension)
        estimate = entropy_estimate(sample, neighbours)
        influence = parts.temperature * estimate.log_density
        for c, atom in outside:
            influence = influence + c * np.asarray(atom.first_variation(sample), dtype=float)
        weights = np.asarray(sample.weights, dtype=float)
        uncertainty = standard_error(influence, weights, neighbours, parts.temperature)
        return parts.temperature * estimate.value + value, uncertainty

    def diverged(self, mu, flow, first, last, tau) -> Records:
        """The records of a block that did not stay finite."""
        with precision(mu.positions):
            whole, here = field_of(flow.terms), (mu.positions, mu.weights)
            curvature = largest_curvature(whole.gradient, *here, host_product(whole, *here))
        # far out the curvature overflows as well
        known = 0.0 < curvature < np.inf
        limit = f", about 2/L = {2.0 / curvature:.3g} where the block began" if known else ""
        note = (
            f"a position became infinite between steps {first} and {last}: tau={tau:g} is beyond what "
            f"the drift allows{limit}; take a smaller tau"
        )
        return Records.constant(last - first, status="unstable", note=note)


@lru_cache(maxsize=64)
def _block(flow, noise, observables):
    return jax.jit(block_of(flow, noise, observables))


def block_of(flow, noise, observables):
    """A function of (x, w, (τ, √(2θτ)), seed words, first, last) that takes the steps first … last − 1.

    Returns the positions and, for every observable, its averages over the first rows of `[1024, ...]`.
    """

    def block(x, w, scalars, seed, first, last):
        key, dtype = jax.random.wrap_key_data(seed, impl="threefry2x32"), x.dtype

        def step(number, carry):
            columns, values = carry
            gradient, draw = partial(flow.columns_gradient, w=w), partial(increments, noise, key)
            (x,) = move(gradient, (columns,), scalars, lambda k: draw(number + k, columns.shape, dtype))
            return x, measure_columns(observables, x, w, values, number - first)

        values = statistics_of(observables, x.shape[1], dtype, BLOCK)
        # the bounds are traced: one program whatever the length of the block, hence the same numbers
        columns, values = lax.fori_loop(first, last, step, (x.T, values))
        return columns.T, values

    return block


def move(gradient, carried, coefficients, kicks):
    """One step of positions `[d, n]`, of numpy or of jax."""
    (x,), (tau, amplitude) = carried, coefficients
    return (x - tau * gradient(x) + amplitude * kicks(0),)


def coefficients(tau, temperature, dtype) -> np.ndarray:
    """τ and √(2θτ), what a step multiplies the drift and the noise with."""
    return np.asarray([tau, np.sqrt(2.0 * temperature * tau)], dtype)


def seed_words(seed: int) -> np.ndarray:
    """The two words that a compiled block takes for a seed."""
    return np.asarray(jax.random.key_data(key_of(seed)))


def refuse_unstable(parts, mu, tau) -> None:
    """Refuse a τ beyond the stability limit at the particles."""
    stiffness = mean_stiffness(parts.potential, mu)
    if not tau * stiffness <= 2.0:
        raise ValueError(
            f"tau: {tau:g} is beyond the stability limit 2/L = {2.0 / stiffness:.3g} of an explicit step, "
            "L the mean largest curvature of the potential: take a smaller tau"
        )
