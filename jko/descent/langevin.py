"""Langevin dynamics: the entropy as noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals import pointwise
from jko.descent.field import field, outside_terms
from jko.descent.noise import NOISES, increments, key_of
from jko.descent.stability import largest_curvature
from jko.errors import one_of, positive_number, whole_number
from jko.kernels.pair_sums import precision
from jko.measures import Particles
from jko.measures.entropy_estimate import default_neighbours, entropy_estimate, standard_error
from jko.scheme import Records, Scheme, State


@dataclass(frozen=True)
class Langevin(Scheme):
    """x⁺ = x − τ∇_W G(α)(x) + √(2θτ) ξ for F = θ∫ρ log ρ + G: Euler–Maruyama, of weak order 1 in τ.

    θ is read off the functional (without an entropy it is 0 and the step is ForwardEuler's); G is potentials,
    interactions and functionals of particles. Steps are compiled in blocks; the noise of a step is a function
    of `seed` and the step's number alone. `noise="three-point"` has the same weak order and is several times
    faster.

    `energy` estimates the entropy from `neighbours` nearest neighbours (`entropy_estimate`); its uncertainty
    is one standard error of the whole energy. A step beyond 2/L, L the mean over the particles of the largest
    curvature of the potential, is refused.
    """

    seed: int = 0
    noise: str = "gaussian"
    neighbours: int | None = None

    takes: ClassVar = frozenset({"entropy", "potential", "interaction", "rest"})
    measures: ClassVar = (Particles,)
    order: ClassVar[int] = 1
    energy_kind: ClassVar[str] = "estimate"

    def __post_init__(self):
        whole_number("seed", self.seed, least=0)
        if self.neighbours is not None:
            whole_number("neighbours", self.neighbours)
        one_of("noise", self.noise, NOISES)

    def init(self, F, mu) -> State:
        self.check(F, mu)
        return State(data={"step": 0}, workspace=field(outside_terms(F.parts)))

    def step(self, F, mu, tau, state):
        mu, state, records = self.advance(F, mu, tau, 1, state)
        return mu, state, records.row(0)

    def advance(self, F, mu, tau, n, state):
        """n steps in one compiled block; the same numbers as n calls of `step`."""
        tau, flow, x, w = positive_number("tau", tau), state.workspace, mu.positions, mu.weights
        first = state.data["step"]
        if first == 0:
            _check_stable(F.parts, mu, tau)
        with precision(x):
            scalars = np.asarray([tau, np.sqrt(2 * F.parts.temperature * tau)], x.dtype)
            moved = np.asarray(_block(flow, self.noise)(x, w, scalars, key_of(self.seed), first, first + n))
            if not np.all(np.isfinite(moved)):
                limit = 2.0 / max(largest_curvature(flow.gradient, x, w), 1e-300)
                failed = {"status": "unstable", "note": _diverged(first, first + n, tau, limit)}
                return mu, state, Records.constant(n, **failed)
        records = Records.constant(n, iterations=1, mass_error=0.0)
        return mu.with_positions(moved), state.with_data(step=first + n), records

    def energy(self, F, mu, state):
        parts, x = F.parts, mu.positions
        outside = outside_terms(parts)
        with precision(x):
            value = float(field(outside).compiled_energy(x, mu.weights))
        if parts.temperature == 0.0:
            return value, 0.0
        neighbours = self.neighbours or default_neighbours(mu.dimension)
        estimate = entropy_estimate(mu, neighbours)
        influence = parts.temperature * estimate.log_density
        for c, atom in outside:
            influence = influence + c * np.asarray(atom.first_variation(mu), dtype=float)
        weights = np.asarray(mu.weights, dtype=float)
        uncertainty = standard_error(influence, weights, neighbours, parts.temperature)
        return parts.temperature * estimate.value + value, uncertainty


@lru_cache(maxsize=64)
def _block(flow, noise):
    def block(x, w, scalars, key, first, last):
        tau, amplitude = scalars

        def step(number, columns):
            drift = flow.columns_gradient(columns, w)
            return (
                columns
                - tau * drift
                + amplitude * increments(noise, key, number, columns.shape, columns.dtype)
            )

        # the bounds are traced: one program whatever the length of the block, hence the same numbers
        return lax.fori_loop(first, last, step, x.T).T

    return jax.jit(block)


def _check_stable(parts, mu, tau):
    terms = tuple((float(c), atom) for c, atom in parts.potential)
    if not terms:
        return
    with precision(mu.positions):
        curvatures = np.asarray(_largest_eigenvalues(terms)(mu.positions), dtype=float)
    stiffness = float(np.asarray(mu.weights, dtype=float) @ np.maximum(curvatures, 0.0))
    if not tau * stiffness <= 2.0:
        raise ValueError(
            f"tau: {tau:g} is beyond the stability limit 2/L = {2.0 / stiffness:.3g} of an explicit step, "
            "L the mean largest curvature of the potential: take a smaller tau"
        )


@lru_cache(maxsize=64)
def _largest_eigenvalues(terms):
    def largest(x):
        hessian = sum(c * jax.hessian(pointwise.scalar(atom.V))(x) for c, atom in terms)
        return hessian[0, 0] if x.size == 1 else jnp.linalg.eigvalsh(hessian)[-1]

    return jax.jit(jax.vmap(largest))


def _diverged(first, last, tau, limit):
    return (
        f"a position became infinite between steps {first} and {last}: tau={tau:g} is beyond what "
        f"the drift allows, about 2/L = {limit:.3g} where the block began; take a smaller tau"
    )
