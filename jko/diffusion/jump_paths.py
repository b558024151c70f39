"""Paths of a process with jumps: by steps, and exactly by thinning."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from jko.diffusion.arguments import finite_outcome
from jko.diffusion.paths import march
from jko.loops.random_keys import key_of

if TYPE_CHECKING:
    from jko.diffusion.markov_generator import Generator


def stepped(
    generator: Generator, positions: np.ndarray, times: np.ndarray, substeps: int, seed: int
) -> np.ndarray:
    """Positions `[m + 1, n, d]` by steps of Euler–Maruyama, each followed by a jump or none."""
    each = _one_step(generator)

    @jax.jit
    def run(x, key):
        def advance(carry, t, dt, number):
            x, least = carry
            keys = jax.random.split(jax.random.fold_in(key, number), len(x))
            moved, rate = jax.vmap(each, in_axes=(0, 0, None, None))(keys, x, t, dt)
            return moved.astype(x.dtype), jnp.minimum(least, rate.min())

        return march(advance, (x, jnp.zeros((), x.dtype)), times, substeps)

    with jax.enable_x64(True):
        start = jnp.asarray(positions, jnp.float64)
        later, least = (np.asarray(part) for part in run(start, key_of(seed)))
    finite_outcome("drift, diffusion, jumps", later, times[1:])
    _require_positive(least.min())
    return np.concatenate([np.asarray(positions, float)[None], later])


def thinned(
    generator: Generator, positions: np.ndarray, times: np.ndarray, bound: float, seed: int
) -> np.ndarray:
    """Positions `[m + 1, n, d]` of a pure jump process with rates below the bound, exact in law.

    Every particle proposes jumps at the rate of the bound, each kept with the probability λ/bound.
    """
    direction = -1.0 if generator.backward else 1.0

    def one(key, x, start, end):
        def going(state):
            return state[1] > 0.0

        def event(state):
            x, left, number, least, most = state
            wait_key, keep_key, jump_key = jax.random.split(jax.random.fold_in(key, number), 3)
            left = left - jax.random.exponential(wait_key, (), x.dtype) / bound
            rates = _rates(generator, x, end - direction * jnp.maximum(left, 0.0))
            total, inside = jnp.sum(rates), left > 0.0
            least = jnp.where(inside, jnp.minimum(least, rates.min()), least)
            most = jnp.where(inside, jnp.maximum(most, total), most)
            kept = inside & (jax.random.uniform(keep_key, (), x.dtype) * bound < total)
            landed = _landed(generator, jump_key, x, end - direction * jnp.maximum(left, 0.0), rates)
            return jnp.where(kept, landed, x), left, number + 1, least, most

        zero = jnp.zeros((), x.dtype)
        state = lax.while_loop(going, event, (x, jnp.abs(end - start), 0, zero, zero))
        return state[0], state[3], state[4]

    run = jax.jit(jax.vmap(one, in_axes=(0, 0, None, None)))
    stored = [np.asarray(positions, float)]
    with jax.enable_x64(True):
        for number, (start, end) in enumerate(pairwise(times)):
            keys = jax.random.split(jax.random.fold_in(key_of(seed), number), len(positions))
            x, least, most = (np.asarray(part) for part in run(keys, stored[-1], start, end))
            _require_positive(least.min())
            if most.max() > bound:
                raise ValueError(
                    f"rate_bound: expected a bound of the total rate, got {bound:g}, but it reaches "
                    f"{most.max():g} by t = {end:g}"
                )
            stored.append(x)
    finite_outcome("jumps", stored, times)
    return np.stack(stored)


def _one_step(generator: Generator):
    """(key, x, t, dt) ↦ the particle after a step, and its least rate."""

    def step(key, x, t, dt):
        noise_key, chance_key, jump_key = jax.random.split(key, 3)
        moved, least = x, jnp.zeros((), x.dtype)
        if generator.drift is not None:
            moved = moved + dt * generator.drift(x, t)
        if generator.diffusion is not None:
            G = generator.diffusion(x, t)
            xi = jax.random.normal(noise_key, (G.shape[1],), x.dtype)
            moved = moved + jnp.sqrt(jnp.abs(dt)) * (G @ xi)
        if generator.jumps:
            rates = _rates(generator, moved, t)
            chance = -jnp.expm1(-jnp.abs(dt) * jnp.sum(rates))
            jumped = jax.random.uniform(chance_key, (), x.dtype) < chance
            moved = jnp.where(jumped, _landed(generator, jump_key, moved, t, rates), moved)
            least = rates.min()
        return moved, least

    return step


def _rates(generator: Generator, x: Array, t: Array):
    return jnp.stack([part.rate(x, t) for part in generator.jumps])


def _landed(generator: Generator, key, x: Array, t: Array, rates: Array):
    """Where a jump by one of the parts, in proportion to their rates, leads to."""
    which, draw = jax.random.split(key)
    targets = jnp.stack([part.kernel.draw(draw, x, t) for part in generator.jumps])
    return targets[jax.random.categorical(which, jnp.log(jnp.maximum(rates, 0.0)))]


def _require_positive(least: float):
    if not least >= 0.0:
        raise ValueError(f"rate: expected rates of at least 0 wherever the paths go, got {least:g}")
