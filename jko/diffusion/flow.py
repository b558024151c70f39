"""The flow of an ODE, and the density that it carries along."""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jko.diffusion.coefficients import require_shape
from jko.diffusion.paths import Paths, checked_times, refine
from jko.errors import finite_array, one_of, seed_number, whole_number
from jko.measures import Density, Particles


class Flow:
    """dx/dt = v(x, t) with v `[d]` a jax function of a point, by the classical Runge–Kutta method.

    Along a path d/dt log p = −∇·v [ChenEtAl2018], so that densities are carried, too.
    """

    def __init__(self, velocity):
        if not callable(velocity):
            raise TypeError(f"velocity: expected a jax function of (x, t), got {type(velocity).__name__}")
        self.velocity = velocity

    def transport(self, particles: Particles, times, *, substeps: int = 20) -> Paths:
        """The particles at each of `times` `[m + 1]`, which may increase or decrease."""
        if not isinstance(particles, Particles):
            raise TypeError(f"particles: expected Particles, got {type(particles).__name__}")
        times, substeps = self._checked(particles.dimension, times, substeps)
        later = _run(_batched(self.velocity), particles.positions, times, substeps)
        start = np.asarray(particles.positions, dtype=np.float64)
        return Paths(times, np.concatenate([start[None], later]), particles.weights)

    def log_density(
        self, x, log_initial, times, *, substeps: int = 100, trace="exact", probes: int = 8, seed: int = 0
    ) -> np.ndarray:
        """log p at the last of `times`, at points `[n, d]`, where log p at the first is `log_initial(x)`.

        log p(x, T) = log p₀(x₀) − ∫∇·v dt along the path that ends in x. The trace of ∂v is "exact", by d
        derivatives, or "hutchinson", an unbiased estimate by random signs, `probes` of them
        [Hutchinson1990, GrathwohlEtAl2019].
        """
        x = finite_array("x", x)
        if x.ndim != 2:
            raise ValueError(f"x: expected points of shape [n, d], got {x.shape}")
        times, substeps = self._checked(x.shape[1], times, substeps)
        one_of("trace", trace, ("exact", "hutchinson"))
        if trace == "exact":
            field = _with_divergence(self.velocity)
        else:
            shape = (len(x), whole_number("probes", probes), x.shape[1])
            signs = np.random.default_rng(seed_number("seed", seed)).choice([-1.0, 1.0], size=shape)
            field = _with_estimated_divergence(self.velocity, signs)
        state = np.concatenate([x, np.zeros((len(x), 1))], axis=1)
        start = _run(field, state, times[::-1], substeps)[-1]
        # backward in time, the last column has gathered −∫∇·v dt
        with jax.enable_x64(True):
            log_start = np.asarray(jax.vmap(log_initial)(jnp.asarray(start[:, :-1])), dtype=np.float64)
        return log_start.reshape(len(x)) + start[:, -1]

    def density(self, initial: Density, times, *, log_initial=None, substeps: int = 20) -> Density:
        """The image of a density at the last of `times`, by the change of variables at the cell centres."""
        from jko.diffusion.density_path import DensityPath

        if log_initial is None:
            spline = DensityPath([0.0, 1.0], [initial, initial])

            def log_initial(x):
                return spline.log_density(x, 0.0)

        log_values = self.log_density(initial.points, log_initial, times, substeps=substeps)
        return initial.with_values(np.exp(log_values).reshape(initial.grid.cells))

    def _checked(self, dimension, times, substeps):
        require_shape("velocity", self.velocity, dimension, (dimension,))
        return checked_times(times), whole_number("substeps", substeps)


def _run(field, start, times, substeps):
    """The states `[m, …]` at the times after the first."""
    fine = refine(times, substeps)
    with jax.enable_x64(True):
        state, states = jnp.asarray(start, jnp.float64), []
        for t, dt in zip(fine[:-1].reshape(-1, substeps), np.diff(fine).reshape(-1, substeps), strict=True):
            state = _interval(field)(state, t, dt)
            states.append(np.asarray(state))
    return np.stack(states)


@lru_cache(maxsize=16)
def _interval(field):
    """Steps of the classical Runge–Kutta method, compiled once for all intervals of a field."""

    def one(x, step):
        t, dt = step

        def stage(carry, node):
            k, total = carry
            k = field(x + dt * node * k, t + dt * node)
            return (k, total + jnp.where(node == 0.5, 2.0, 1.0) * k), None

        zero = jnp.zeros_like(x)
        (_, total), _ = lax.scan(stage, (zero, zero), jnp.array([0.0, 0.5, 0.5, 1.0]))
        return x + dt / 6.0 * total, None

    return jax.jit(lambda x, t, dt: lax.scan(one, x, (t, dt))[0])


@lru_cache(maxsize=16)
def _batched(velocity):
    return jax.vmap(velocity, in_axes=(0, None))


@lru_cache(maxsize=16)
def _with_divergence(velocity):
    """The field (v, ∇·v) of states `[n, d + 1]`."""

    def both(state, t):
        x = state[:-1]
        divergence = jnp.trace(jax.jacfwd(velocity)(x, t))
        return jnp.append(velocity(x, t), divergence)

    return jax.vmap(both, in_axes=(0, None))


def _with_estimated_divergence(velocity, signs):
    """The field (v, mean of z·(∂v)z) over the signs z `[n, probes, d]`."""

    def both(state, z, t):
        v, push = jax.linearize(lambda y: velocity(y, t), state[:-1])
        return jnp.append(v, jnp.mean(jax.vmap(lambda e: e @ push(e))(z)))

    return lambda state, t: jax.vmap(both, in_axes=(0, 0, None))(state, jnp.asarray(signs), t)
