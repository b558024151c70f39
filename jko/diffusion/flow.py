"""The flow of an ODE, and the density that it carries along."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from functionals.by_numpy import evaluated
from functionals.pointwise import each_point
from functionals.programs import kept
from jko.diffusion import arguments
from jko.diffusion.arguments import cloud, finite_outcome, instance, within
from jko.diffusion.given_function import checked_function, probe
from jko.diffusion.paths import Paths, checked_times, refine
from jko.diffusion.runge_kutta import classical_step
from jko.errors import finite_array, seed_number, whole_number
from jko.measures import Density, Particles
from jko.scheme import State


class Flow:
    """dx/dt = v(x, t) with v `[d]` a jax function of a point, by the classical Runge–Kutta method.

    Along a path d/dt log p = −∇·v [ChenEtAl2018], so that densities are carried, too. `known_times`, if
    given, are the first and the last time at which v is known, and others are refused. Raises TypeError for
    a velocity that is no function, ValueError for one that returns another shape, and for paths that become
    infinite.
    """

    def __init__(self, velocity: Callable, *, known_times: tuple | None = None):
        self.velocity = checked_function("velocity", velocity)
        self.known_times = arguments.known_times(velocity) if known_times is None else known_times

    def transport(self, particles: Particles, times: list, *, substeps: int = 20) -> Paths:
        """The particles at each of `times` `[m + 1]`, which may increase or decrease."""
        cloud("particles", particles)
        times, substeps = self._checked(particles.dimension, times, substeps)
        later = _run(_batched(self.velocity), particles.positions, times, substeps)
        start = np.asarray(particles.positions, dtype=np.float64)
        return Paths(times, np.concatenate([start[None], later]), particles.weights)

    def log_density(self, x, log_initial, times, *, substeps: int = 100) -> np.ndarray:
        """log p at the last of `times`, at points `[n, d]`, where log p at the first is `log_initial(x)`.

        log p(x, T) = log p₀(x₀) − ∫∇·v dt along the path that ends in x, with the exact trace of ∂v, by d
        derivatives.
        """
        x, times, substeps, log_initial = self._ready(x, log_initial, times, substeps)
        state = np.concatenate([x, np.zeros((len(x), 1))], axis=1)
        start = _run(_with_divergence(self.velocity), state, times[::-1], substeps)[-1]
        # backward in time, the last column has gathered −∫∇·v dt
        return _at_start(log_initial, start[:, :-1]) + start[:, -1]

    def estimated_log_density(
        self, x, log_initial, times, *, substeps: int = 100, probes: int = 16, seed: int = 0
    ) -> LogDensityEstimate:
        """log p as by `log_density`, the trace estimated as the mean of z·(∂v)z over random signs z.

        It is unbiased [Hutchinson1990, GrathwohlEtAl2019], at the cost of `probes` ≥ 2 derivatives in place
        of d, and comes with its standard error: the mean over the probes lies within two of them with a
        confidence of 95 %, once there are some ten.
        """
        x, times, substeps, log_initial = self._ready(x, log_initial, times, substeps)
        shape = (len(x), whole_number("probes", probes, 2), x.shape[1])
        signs = np.random.default_rng(seed_number("seed", seed)).choice([-1.0, 1.0], size=shape)
        state = np.concatenate([x, np.zeros(shape[:2])], axis=1)
        field = _with_estimated_divergence(self.velocity, signs)
        start = _run(field, state, times[::-1], substeps)[-1]
        point, gathered = np.split(start, [x.shape[1]], axis=1)
        error = gathered.std(axis=1, ddof=1) / np.sqrt(probes)
        return LogDensityEstimate(_at_start(log_initial, point) + gathered.mean(axis=1), error)

    def density(self, initial: Density, times, *, log_initial=None, substeps: int = 20) -> Density:
        """The image of a density at the last of `times`, by the change of variables at the cell centres.

        Without `log_initial` there is no mass outside the grid of `initial`: cells whose path comes from
        there are empty.
        """
        instance("initial", initial, Density, ": put it on a grid first")
        log_initial = _log_spline(initial) if log_initial is None else log_initial
        log_values = self.log_density(initial.points, log_initial, times, substeps=substeps)
        return initial.with_values(np.exp(log_values).reshape(initial.grid.cells))

    def _ready(self, x, log_initial, times, substeps):
        x = finite_array("x", x)
        if x.ndim != 2:
            raise ValueError(f"x: expected points of shape [n, d], got {x.shape}")
        log_initial = checked_function("log_initial", log_initial, (), of="(x)")
        return x, *self._checked(x.shape[1], times, substeps), log_initial

    def _checked(self, dimension: int, times: list, substeps: int):
        probe(self.velocity, dimension)
        times = checked_times(times)
        within("times", times, self.known_times)
        return times, whole_number("substeps", substeps)


class LogDensityEstimate(NamedTuple):
    """Estimates of log p `[n]` and the standard error of each `[n]`."""

    values: np.ndarray
    standard_error: np.ndarray


def _at_start(log_initial, points):
    with jax.enable_x64(True):
        return evaluated(each_point(log_initial), points)


@kept
def _log_spline(density):
    from jko.diffusion.density_path import DensityPath

    spline = DensityPath([0.0, 1.0], [density, density])
    lower, upper = density.grid.lower, density.grid.upper

    def log_density(x):
        inside = jnp.all((x >= jnp.asarray(lower)) & (x <= jnp.asarray(upper)))
        return jnp.where(inside, spline.log_density(x, 0.0), -jnp.inf)

    return log_density


def _run(field: Callable, start: np.ndarray, times: np.ndarray, substeps: int):
    """The states `[m, …]` at the times after the first."""
    fine = refine(times, substeps)
    with jax.enable_x64(True):
        state, states = jnp.asarray(start, jnp.float64), []
        for t, dt in zip(fine[:-1].reshape(-1, substeps), np.diff(fine).reshape(-1, substeps), strict=True):
            state = _interval(field)(state, t, dt)
            states.append(np.asarray(state))
    finite_outcome("velocity", states, times[1:])
    return np.stack(states)


@kept
def _interval(field: Callable):
    """Steps of the classical Runge–Kutta method, compiled once for all intervals of a field."""

    def one(x: Array, step: tuple):
        return classical_step(field, x, *step)[0], None

    return jax.jit(lambda x, t, dt: lax.scan(one, x, (t, dt))[0])


@kept
def _batched(velocity: Callable):
    return jax.vmap(velocity, in_axes=(0, None))


@kept
def _with_divergence(velocity):
    """The field (v, ∇·v) of states `[n, d + 1]`."""

    def both(state: State, t):
        x = state[:-1]
        divergence = jnp.trace(jax.jacfwd(velocity)(x, t))
        return jnp.append(velocity(x, t), divergence)

    return jax.vmap(both, in_axes=(0, None))


def _with_estimated_divergence(velocity, signs):
    """The field (v, z·(∂v)z for each z) of states `[n, d + probes]`, signs z `[n, probes, d]`."""

    def both(state: State, z, t):
        v, push = jax.linearize(lambda y: velocity(y, t), state[: signs.shape[2]])
        return jnp.append(v, jax.vmap(lambda e: e @ push(e))(z))

    return lambda state, t: jax.vmap(both, in_axes=(0, 0, None))(state, jnp.asarray(signs), t)
