"""Simulated paths."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from jko.errors import finite_array, shown
from jko.loops.random_keys import key_of
from jko.measures import Particles


@dataclass(frozen=True)
class Paths:
    """Positions `[m + 1, n, d]` of a cloud at times `[m + 1]`, with its weights `[n]`."""

    times: np.ndarray
    positions: np.ndarray
    weights: np.ndarray

    def __post_init__(self):
        parts = ("times", self.times), ("positions", self.positions), ("weights", self.weights)
        shapes = [finite_array(name, part).shape for name, part in parts]
        times, positions, weights = shapes
        if len(positions) != 3 or times != positions[:1] or weights != positions[1:2]:
            raise ValueError(
                "times, positions, weights: expected shapes [m + 1], [m + 1, n, d] and [n], got "
                + ", ".join(map(str, shapes))
            )

    @property
    def measures(self) -> list[Particles]:
        """The cloud at each time."""
        return [Particles(x, self.weights) for x in self.positions]

    @property
    def final(self) -> Particles:
        """The cloud at the last time."""
        return Particles(self.positions[-1], self.weights)


def checked_times(times: ArrayLike, backward: bool | None = None) -> np.ndarray:
    """Strictly monotone times `[m + 1]`, m ≥ 1, running downwards exactly if `backward` (None: either)."""
    times = finite_array("times", times)
    if times.ndim != 1 or times.size < 2:
        raise ValueError(f"times: expected two times or more, from the start on, got shape {times.shape}")
    steps = np.diff(times)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        raise ValueError(f"times: expected strictly monotone times, got {shown(times)}")
    if backward is not None and (steps[0] < 0) != backward:
        wanted = "decreasing times for a reverse SDE" if backward else "increasing times"
        raise ValueError(f"times: expected {wanted}, got {times[0]:g} to {times[-1]:g}")
    return times


def refine(times: np.ndarray, substeps: int) -> np.ndarray:
    """Each interval cut into `substeps` equal ones, the given times kept to the bit."""
    share = np.arange(substeps) / substeps
    inner = times[:-1, None] + share * np.diff(times)[:, None]
    return np.append(inner.ravel(), times[-1])


def march(advance, carry, times: np.ndarray, substeps: int):
    """`advance(carry, t, dt, number)` through the substeps; the carries after each interval, stacked."""
    fine = refine(times, substeps)
    starts, lengths = fine[:-1], np.diff(fine)
    shape = (len(times) - 1, substeps)

    def one(carry, step):
        return advance(carry, *step), None

    def interval(carry, steps):
        carry, _ = lax.scan(one, carry, steps)
        return carry, carry

    numbers = np.arange(lengths.size, dtype=np.int32)
    steps = tuple(jnp.asarray(a.reshape(shape)) for a in (starts, lengths, numbers))
    return lax.scan(interval, carry, steps)[1]


def euler_maruyama(drift, diffusion, positions, times, substeps, seed: int) -> np.ndarray:
    """x⁺ = x + f dt + G √|dt| ξ [KloedenPlaten1992, section 10.2]; positions `[m + 1, n, d]`."""
    velocity, noise = jax.vmap(drift, in_axes=(0, None)), jax.vmap(diffusion, in_axes=(0, None))

    @jax.jit
    def run(x, key):
        def advance(x, t, dt, number):
            G = noise(x, t)
            xi = jax.random.normal(jax.random.fold_in(key, number), (len(x), G.shape[2]), x.dtype)
            moved = x + dt * velocity(x, t) + jnp.sqrt(jnp.abs(dt)) * jnp.einsum("nik,nk->ni", G, xi)
            return moved.astype(x.dtype)

        return march(advance, x, times, substeps)

    with jax.enable_x64(True):
        later = np.asarray(run(jnp.asarray(positions), key_of(seed)))
    return np.concatenate([np.asarray(positions)[None], later])
