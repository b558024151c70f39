"""What the stochastic integrators share: compiled blocks of steps whose noise is a function of the seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import jax
import numpy as np
from jax import lax

from jko.descent.field import field, noted, outside_terms
from jko.descent.host_steps import host_steps, within_reach
from jko.descent.langevin import Langevin
from jko.descent.noise import NOISES, increments, key_of
from jko.descent.stability import host_product, largest_curvature, mean_stiffness
from jko.errors import one_of, positive_number, whole_number
from jko.kernels.pair_sums import precision
from jko.measures import Particles
from jko.scheme import Records, Scheme, State


@dataclass(frozen=True)
class StochasticDescent(Scheme):
    """A move of particles with noise, repeated; F = θ∫ρ log ρ + G gives the temperature θ, the drift −∇_W G.

    A subclass gives `move(gradient, carried, coefficients, kicks)`, a function of the arrays `[d, n]` that it
    carries, the positions first and then those named in `carries`; `coefficients(θ, τ)`, the numbers that
    `move` needs; and `limit(L)`, the largest τ that a curvature L of the potential allows. `kicks(k)` are the
    unit increments of the k-th step from now.
    """

    seed: int = 0
    noise: str = "gaussian"
    neighbours: int | None = None

    measures: ClassVar = (Particles,)
    energy_kind: ClassVar[str] = "estimate"
    carries: ClassVar[tuple[str, ...]] = ()
    gradients_a_step: ClassVar[int] = 1

    def __post_init__(self):
        whole_number("seed", self.seed, least=0)
        if self.neighbours is not None:
            whole_number("neighbours", self.neighbours)
        one_of("noise", self.noise, NOISES)

    def init(self, F, mu) -> State:
        self.check(F, mu)
        flow = field(outside_terms(F.parts))
        return State(data={"step": 0, **noted(flow, mu)}, workspace=flow)

    def step(self, F, mu, tau, state):
        mu, state, records = self.advance(F, mu, tau, 1, state)
        return mu, state, records.row(0)

    def advance(self, F, mu, tau, n, state):
        """n steps in one compiled block; the same numbers as n calls of `step`."""
        tau, flow, first = positive_number("tau", tau), state.workspace, state.data["step"]
        if first == 0:
            self._refuse_beyond_the_limit(F, mu, tau)
        with precision(mu.positions):
            coefficients = np.asarray(self.coefficients(F.parts.temperature, tau), mu.positions.dtype)
            carried = (mu.positions, *(state.data[name] for name in self.carries))
            run = self._on_the_host if flow.leaves_jax(mu.positions) else self._compiled
            moved, *carried = run(flow, carried, mu.weights, coefficients, first, first + n)
        # far out nothing overflows yet but the energies of what is there
        if not within_reach(moved):
            return mu, state, self._diverged(mu, flow, first, first + n, tau)
        data = state.data | {"step": first + n} | dict(zip(self.carries, carried, strict=True))
        note = state.data.get("note", "")
        records = Records.constant(n, iterations=self.gradients_a_step, mass_error=0.0, note=note)
        return mu.with_positions(moved), state.with_data(**data), records

    def _compiled(self, flow, carried, w, coefficients, first, last):
        """What is carried after the steps first … last − 1, arrays `[n, d]`."""
        block = _block(flow, type(self).move, self.noise)
        carried = block(carried, w, coefficients, key_of(self.seed), first, last)
        return [np.asarray(array) for array in carried]

    def _on_the_host(self, flow, carried, w, coefficients, first, last):
        """The same where sums are taken outside jax."""
        move, noise = type(self).move, self.noise
        return host_steps(flow, move, carried, w, coefficients, noise, self.seed, first, last)

    def energy(self, F, mu, state):
        """As `Langevin` estimates it."""
        return Langevin(neighbours=self.neighbours).energy(F, mu, state)

    def _refuse_beyond_the_limit(self, F, mu, tau):
        stiffness = mean_stiffness(F.parts.potential, mu)
        if stiffness > 0.0 and not tau <= self.limit(stiffness):
            raise ValueError(
                f"tau: {tau:g} is beyond the stability limit {self.limit(stiffness):.3g} of "
                f"{self.scheme_name()} at L = {stiffness:.3g}, the mean largest curvature of the potential: "
                "take a smaller tau"
            )

    def _diverged(self, mu, flow, first, last, tau):
        with precision(mu.positions):
            x, w = mu.positions, mu.weights
            curvature = largest_curvature(flow.gradient, x, w, host_product(flow, x, w))
        # far out the curvature overflows as well
        known = 0.0 < curvature < np.inf
        limit = f", about {self.limit(curvature):.3g} where the block began" if known else ""
        note = (
            f"a position became infinite between steps {first} and {last}: tau={tau:g} is beyond what the "
            f"drift allows{limit}; take a smaller tau"
        )
        return Records.constant(last - first, status="unstable", note=note)


@lru_cache(maxsize=64)
def _block(flow, move, noise):
    def block(carried, w, coefficients, key, first, last):
        def step(number, columns):
            def kicks(ahead):
                return increments(noise, key, number + ahead, columns[0].shape, columns[0].dtype)

            return move(lambda x: flow.columns_gradient(x, w), columns, coefficients, kicks)

        # the bounds are traced: one program whatever the length of the block, hence the same numbers
        columns = lax.fori_loop(first, last, step, tuple(array.T for array in carried))
        return tuple(array.T for array in columns)

    return jax.jit(block)
