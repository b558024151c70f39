"""The flow of a learnt velocity: samples, what its transport costs, how straight its paths are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from functionals.array import Array
from jko.diffusion.arguments import cloud, moment, point
from jko.diffusion.coupling import pool, straight
from jko.diffusion.flow import Flow
from jko.diffusion.network import Network
from jko.diffusion.paths import Paths
from jko.diffusion.runge_kutta import classical_step
from jko.diffusion.tolerances import TOLERANCES
from jko.diffusion.training import Training
from jko.errors import seed_number, whole_number
from jko.measures import Measure, Particles
from jko.transport import wasserstein

_SHAPE = ("width", "depth", "gradient")


class MatchedFlow:
    """dx/dt = v(x, t), t from 0 to 1, from `source` to near `data`; see `flow_matching`.

    `transport_cost`, `wasserstein_squared` and `straightness` are measured once, on 2000 fresh draws of the
    source and their images.
    """

    def __init__(
        self, source: Measure, data: Measure, network: Network, training: Training, rectified: int = 0
    ):
        self.source, self.data, self.training, self.rectified = source, data, training, rectified
        self.network, self.known_times = network, (0.0, 1.0)

    @property
    def losses(self) -> np.ndarray:
        """E|v − target|² over the batch of every step `[steps]`; it does not tend to 0 where paths cross."""
        return self.network.losses

    @property
    def dimension(self) -> int:
        """The dimension of the points."""
        return len(self.network.centre)

    def velocity(self, x: Array, t: Array):
        """v(x, t) `[d]`, a jax function of a point and a time in [0, 1]."""
        return self.network(point("x", x, self.dimension), moment(t, 0.0, 1.0))

    @cached_property
    def flow(self) -> Flow:
        """As a `Flow` in float64, with the change of variables: `flow.log_density`."""
        return Flow(self.velocity)

    def paths(self, particles: Particles, *, steps: int = TOLERANCES.flow_steps) -> Paths:
        """The particles at steps + 1 even times from 0 to 1, by the classical Runge–Kutta method."""
        return self._run(particles, steps)[0]

    def transport(self, particles: Particles, *, steps: int = TOLERANCES.flow_steps) -> Particles:
        """The particles at t = 1."""
        return self.paths(particles, steps=steps).final

    def sample(self, n: int, seed: int, *, steps: int = TOLERANCES.flow_steps) -> Particles:
        """n draws of the source, carried to t = 1."""
        return self.transport(self._draw(n, seed), steps=steps)

    @property
    def transport_cost(self) -> float:
        """E|x₁ − x₀|² over the flow's paths, at least W₂²."""
        return self._measured[0]

    @cached_property
    def wasserstein_squared(self) -> float:
        """W₂² between the same two clouds, by the exact plan."""
        paths = self._measured[2]
        return wasserstein(paths.measures[0], paths.final) ** 2

    @property
    def straightness(self) -> float:
        """∫E|v(xₜ, t) − (x₁ − x₀)|²dt / E|x₁ − x₀|², 0 where every path is straight at constant speed
        [LiuGongLiu2023]."""
        return self._measured[1]

    def rectify(self, *, training: Training | None = None, progress: bool | None = None) -> MatchedFlow:
        """Flow matching once more, from this network on, between each x₀ and the x₁ that this flow takes it
        to.

        No cost that is convex in x₁ − x₀ grows, and paths become straight [LiuGongLiu2023]; of gradients, the
        limit is the optimal map [Liu2022]. `training` is that of this flow, at the next seed, unless given;
        raises ValueError for one of another network.
        """
        if training is None:
            training = replace(self.training, seed=self.training.seed + 1)
        training = Training.given(training)
        if any(getattr(training, name) != getattr(self.training, name) for name in _SHAPE):
            raise ValueError(
                f"training: the network goes on, expected its {', '.join(_SHAPE)}: take dataclasses.replace("
                "flow.training, …)"
            )
        start = self._draw(TOLERANCES.rectified_pairs, training.seed)
        draw = straight(start.positions, self.transport(start).positions, together=True)
        label = f"rectification {self.rectified + 1}"
        network = self.network
        network = training.fit(draw, network.centre, network.scale, progress, label, network.layers)
        return MatchedFlow(self.source, self.data, network, training, self.rectified + 1)

    @cached_property
    def _measured(self):
        paths, velocities = self._run(
            self._draw(TOLERANCES.measured_points, TOLERANCES.measuring_seed), TOLERANCES.flow_steps
        )
        chord = paths.positions[-1] - paths.positions[0]
        cost = float(np.mean(np.sum(chord**2, axis=1)))
        bend = np.mean(np.sum((velocities - chord) ** 2, axis=2), axis=1)
        return cost, float(np.trapezoid(bend, paths.times)) / cost if cost > 0.0 else 0.0, paths

    def _draw(self, n: int, seed: int):
        generator = np.random.default_rng(seed_number("seed", seed))
        points = pool("source", self.source, whole_number("n", n), seed)
        return Particles(points if len(points) == n else points[generator.integers(len(points), size=n)])

    def _run(self, particles: Particles, steps: int):
        cloud("particles", particles, self.dimension)
        network, steps = self.network, whole_number("steps", steps)
        start = np.asarray((particles.positions - network.centre) / network.scale, np.float32)
        states, velocities = _march(
            network.field, network.layers, start, jnp.arange(steps) / steps, 1.0 / steps
        )
        positions = network.centre + network.scale * np.asarray(states, float)
        times = np.arange(steps + 1) / steps
        return Paths(times, positions, particles.weights), network.scale * np.asarray(velocities, float)


@partial(jax.jit, static_argnums=0)
def _march(field: Callable, layers: tuple, start: Array, times: Array, dt: Array):
    """States and velocities `[m + 1, n, d]` of the classical Runge–Kutta method at even times."""
    v = jax.vmap(field, in_axes=(None, 0, None))

    def one(x: Array, t: Array):
        later, first = classical_step(partial(v, layers), x, t, dt)
        return later, (x, first)

    final, (states, velocities) = lax.scan(one, start, times)
    last = v(layers, final, jnp.float32(1.0))
    return jnp.concatenate([states, final[None]]), jnp.concatenate([velocities, last[None]])
