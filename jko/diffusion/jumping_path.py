"""Generator matching: drift, noise and jumps learnt from conditional paths that flow, or jump to the data."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from functionals.array import Array
from jko.diffusion.arguments import instance, moment, point
from jko.diffusion.coupling import pool, spread_times
from jko.diffusion.jumps import Jumps, LawKernel, PointsKernel
from jko.diffusion.markov_generator import Generator
from jko.diffusion.network import Network, plain, spread_of_axes
from jko.diffusion.noised_mixture import NoisedMixture
from jko.diffusion.schedule import Schedule
from jko.diffusion.tolerances import TOLERANCES
from jko.diffusion.training import Training
from jko.errors import shown
from jko.measures import Gaussian, Measure, Particles


class JumpingPath:
    """Conditional processes from ε ~ N(0, I) at t = 0 to a data point z at t = 1, and their average.

    A particle flows with noise along xₜ = (1 − t)ε + tz, whose law it keeps under the drift
    z − ε − ½cε and GGᵀ = c(1 − t)I, c = `noise`; at rate a/(1 − at), a = `share`, it jumps for good to a
    draw of the data, so that pₜ = (1 − at)qₜ + at p_data with qₜ the law of the straight path. Flow, noise
    and jumps are the conditional expectations given x, with π(x, t) = (1 − at)qₜ/pₜ the probability that it
    has not jumped [HolderriethEtAl2025]: drift πE[z − (1 + c/2)ε | x], GGᵀ = c(1 − t)πI, jump rate
    aπ/(1 − at). Raises ValueError for a share outside [0, 1) and a negative noise.
    """

    def __init__(self, share: float = 0.5, noise: float = 0.0):
        for name, value, top in (("share", share, 1.0), ("noise", noise, np.inf)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < top:
                within = "from 0 to below 1" if name == "share" else "of at least 0"
                raise ValueError(f"{name}: expected a number {within}, got {shown(value)}")
        self.share, self.noise = float(share), float(noise)

    def exact(self, data: NoisedMixture) -> ExactJumping:
        """The average over a Gaussian mixture, in closed form."""
        return ExactJumping(self, data)

    def generator(self, velocity, unjumped, kernel) -> Generator:
        """The generator with this drift, this π and a kernel that draws data."""
        a, c = self.share, self.noise

        def diffusion(x, t):
            return jnp.sqrt(c * jnp.maximum(1.0 - t, 0.0) * unjumped(x, t)) * jnp.eye(x.size)

        jumps = Jumps(lambda x, t: a / (1.0 - a * t) * unjumped(x, t), kernel)
        generator = Generator(velocity, diffusion if c else None, jumps if a else ())
        generator.known_times = 0.0, 1.0
        return generator

    def draw(self, points: np.ndarray):
        """(generator, shape) ↦ (x, t, conditional drift, whether it has not jumped)."""

        def drawn(generator, shape):
            z = points[generator.integers(len(points), size=shape)]
            noise, t = generator.normal(size=z.shape), spread_times(generator, shape)
            here = (generator.random(shape) > self.share * t)[..., None]
            x = np.where(here, (1.0 - t[..., None]) * noise + t[..., None] * z, z)
            return x, t, here * (z - (1.0 + 0.5 * self.noise) * noise), here.astype(float)

        return drawn


class ExactJumping:
    """The marginal process of a `JumpingPath` to a Gaussian mixture: `generator`, `log_density(x, t)`,
    `velocity(x, t)` and the probability `unjumped(x, t)`, all exact.

    The mixture is the law of `data` at its own t = 0.
    """

    known_times = (0.0, 1.0)

    def __init__(self, path: JumpingPath, data: NoisedMixture):
        self.path, self.data = path, instance("data", data, NoisedMixture)
        matrices = np.einsum("kab,kb,kcb->kac", data._axes, data._variances, data._axes)
        self._flowing = NoisedMixture(data.means, matrices, list(data.weights), schedule=Schedule.straight())
        self.generator = path.generator(self.velocity, self.unjumped, LawKernel(data))

    def log_density(self, x: Array, t: Array):
        """log pₜ(x)."""
        return jnp.logaddexp(*self._parts(x, t))

    def unjumped(self, x: Array, t: Array):
        """π(x, t), the probability that what is at x has not jumped."""
        flowing, jumped = self._parts(x, t)
        return jnp.exp(flowing - jnp.logaddexp(flowing, jumped))

    def velocity(self, x: Array, t: Array):
        """E[drift | x] `[d]`."""
        s = 1.0 - moment(t, 0.0, 1.0)
        noise = -s * self._flowing.score(x, s)
        drift = self._flowing.denoised(x, s) - (1.0 + 0.5 * self.path.noise) * noise
        return self.unjumped(x, t) * drift

    def _parts(self, x: Array, t: Array):
        x, t, a = point("x", x, self.data.dimension), moment(t, 0.0, 1.0), self.path.share
        flowing = jnp.log1p(-a * t) + self._flowing.log_density(x, 1.0 - t)
        jumped = jnp.log(a * t) + self._flowing.log_density(x, 0.0) if a else -jnp.inf
        return flowing, jumped


class MatchedGenerator:
    """What `generator_matching` learnt: `velocity(x, t)`, `unjumped(x, t)`, and their `generator`."""

    def __init__(
        self, path: JumpingPath, points: np.ndarray, drift: Network, chance: Network, training: Training
    ):
        self.path, self.training, self.dimension = path, training, points.shape[1]
        self._drift, self._chance = drift, chance
        self.generator = path.generator(self.velocity, self.unjumped, PointsKernel(points))

    @property
    def losses(self) -> tuple[np.ndarray, np.ndarray]:
        """Of drift and of jumps at every step `[steps]`."""
        return self._drift.losses, self._chance.losses

    def velocity(self, x: Array, t: Array):
        """The learnt drift `[d]`."""
        return self._drift(point("x", x, self.dimension), moment(t, 0.0, 1.0))

    def unjumped(self, x: Array, t: Array):
        """The learnt π(x, t)."""
        x, t, network = point("x", x, self.dimension), moment(t, 0.0, 1.0), self._chance
        centre, scale = (jnp.asarray(part, x.dtype) for part in (network.centre, network.scale))
        return jax.nn.sigmoid(plain(network.layers, (x - centre) / scale, t)[0])

    def sample(self, n: int, seed: int, *, substeps: int = 200) -> Particles:
        """n draws: paths of the learnt generator from N(0, I) at t = 0 to t = 1."""
        start = Gaussian(np.zeros(self.dimension), np.eye(self.dimension)).sample(n, seed=seed)
        return self.generator.simulate(start, [0.0, 1.0], seed=seed + 1, substeps=substeps).final


def generator_matching(
    data: Measure,
    path: JumpingPath | None = None,
    *,
    training: Training | None = None,
    progress: bool | None = None,
) -> MatchedGenerator:
    """Flow, noise and jumps from N(0, I) to the data, learnt from draws of the conditional processes.

    The drift is argmin E|v(xₜ, t) − drift|², and the jump rate aπ/(1 − at) that of the Bregman divergence
    E[λ̂ − λ log λ̂] of s log s [HolderriethEtAl2025], with λ the conditional rate, 0 once it has jumped: each
    has the conditional expectation as its minimiser. `data` is Particles, a Density or a Gaussian, in units
    in which N(0, I) is a fair start. Raises TypeError or ValueError for data of another mass than 1 and a
    training that diverges.
    """
    path = JumpingPath() if path is None else instance("path", path, JumpingPath)
    # a drift that is an average of velocities times a probability is no gradient
    training = replace(Training.given(training), gradient=False)
    points = pool("data", data, TOLERANCES.pool, training.seed + 1)
    scale = spread_of_axes(np.mean(points**2, axis=0) + 1.0)
    draw, origin = path.draw(points), np.zeros(points.shape[1])

    def drifts(generator, shape):
        return draw(generator, shape)[:3]

    def chances(generator, shape):
        x, t, _, here = draw(generator, shape)
        return x, t, here

    drift = training.fit(drifts, origin, scale, progress, "drift")
    chance = training.fit(chances, origin, scale, progress, "jumps", loss=_bregman, outputs=1)
    return MatchedGenerator(path, points, drift, chance, training)


def _bregman(prediction: Array, target: Array):
    """π̂ − π log π̂ with π̂ the sigmoid of what the network says: least at the expectation of π."""
    return jax.nn.sigmoid(prediction[0]) - target[0] * jax.nn.log_sigmoid(prediction[0])
