"""The Schrödinger bridge between clouds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from jko.errors import fraction, seed_number, whole_number
from jko.measures import Particles
from jko.transport.distances.common_kind import checked_points
from jko.transport.entropic.bridge import SchrodingerBridge
from jko.transport.entropic.tolerances import TOLERANCES


@dataclass(frozen=True, eq=False)
class CloudBridge(SchrodingerBridge):
    """A mixture of Brownian bridges x_i → y_j under the static plan. Every function of it is a sum over the
    atoms, at any point. The `cost` of reaching atoms with noise is infinite; `static_cost` is what the plan
    minimises, min ∫½|x − y|²dπ + 2ε KL(π | μ⊗ν), which differs from the cost by a constant of nu."""

    mu: Particles
    nu: Particles
    log_last: np.ndarray = field(repr=False)
    log_first: np.ndarray = field(repr=False)
    static_cost: float

    @property
    def dimension(self) -> int:
        """d."""
        return self.mu.dimension

    def log_psi(self, x, t) -> np.ndarray:
        """log Ψ_t at points `[n, d]`, t < 1."""
        return self._ahead(checked_points(x, self.dimension), t)[0]

    def log_psi_hat(self, x, t) -> np.ndarray:
        """log Ψ̂_t at points `[n, d]`, t > 0."""
        return self._behind(checked_points(x, self.dimension), t)[0]

    def drift(self, x, t) -> np.ndarray:
        """2ε∇log Ψ_t = (E[X₁ | X_t = x] − x)/(1 − t) at points `[n, d]`, t < 1."""
        x = checked_points(x, self.dimension)
        return (self._ahead(x, t)[1] - x) / (1.0 - t)

    def current_velocity(self, x, t) -> np.ndarray:
        """½(E[X₁ | X_t = x] − x)/(1 − t) + ½(x − E[X₀ | X_t = x])/t at points `[n, d]`, 0 < t < 1."""
        x = checked_points(x, self.dimension)
        return 0.5 * ((self._ahead(x, t)[1] - x) / (1.0 - t) + (x - self._behind(x, t)[1]) / t)

    def marginal(self, t, n: int | None = None, seed: int = 0) -> Particles:
        """n particles of ρ_t, drawn from the mixture of bridges; as many as mu has unless told. At t = 0 and
        1 the clouds themselves."""
        if fraction("t", t) in (0.0, 1.0):
            return self.mu if t == 0.0 else self.nu
        count = self.mu.n if n is None else whole_number("n", n)
        generator = np.random.default_rng(seed_number("seed", seed))
        x, y = self._pairs(count, generator)
        noise = math.sqrt(2.0 * self.epsilon * t * (1.0 - t)) * generator.standard_normal(x.shape)
        return Particles((1.0 - t) * x + t * y + noise)

    def _pairs(self, count, generator):
        sources = generator.choice(self.mu.n, size=count, p=_weights(self.mu))
        y = np.asarray(self.nu.positions, dtype=float)
        x = np.asarray(self.mu.positions, dtype=float)[sources]
        targets = np.empty(count, dtype=int)
        for first in range(0, count, 256):
            part = x[first : first + 256]
            exponents = self.log_last - ((part[:, None] - y) ** 2).sum(axis=2) / (4.0 * self.epsilon)
            levels = np.cumsum(np.exp(exponents - exponents.max(axis=1, keepdims=True)), axis=1)
            chosen = generator.random((len(part), 1)) * levels[:, -1:]
            targets[first : first + 256] = (levels < chosen).sum(axis=1)
        return x, y[targets]

    def _ahead(self, x, t):
        return self._heated(x, self.nu, self.log_last, 1.0 - fraction("t", t))

    def _behind(self, x, t):
        return self._heated(x, self.mu, self.log_first, fraction("t", t))

    def _heated(self, x, cloud, logs, duration):
        from jko.loops.sums.log_cloud import log_sums_and_means

        if duration < TOLERANCES.nearly_one:
            raise ValueError(
                "t: Ψ and Ψ̂ live on atoms at the ends; ask for them at 0 < t < 1, and for the drift at t < 1"
            )
        temperature = 4.0 * self.epsilon * duration
        sums, means = log_sums_and_means(x, np.asarray(cloud.positions, dtype=float), temperature, logs)
        return sums - 0.5 * self.dimension * math.log(math.pi * temperature), means

    def _kinetic(self, t):
        raise ValueError("dynamic_cost: the cost of reaching atoms with noise is infinite; see static_cost")

    def _start(self, n, seed: int):
        chosen = np.random.default_rng(seed).choice(self.mu.n, size=n, p=_weights(self.mu))
        return np.asarray(self.mu.positions, dtype=float)[chosen]


def bridge_between_clouds(mu, nu, epsilon: float, tolerance: float, most) -> CloudBridge:
    """From the static plan at temperature 4ε."""
    from jko.transport.entropic.sinkhorn import discrete, potentials

    pair = discrete(mu, nu, 4.0 * epsilon)
    found = potentials(pair, tolerance, most)
    centred = 4.0 * epsilon * found.first, 4.0 * epsilon * found.second
    f, g = pair.moved_back(*centred)
    dual = pair.dual(*centred)
    normaliser = 0.5 * mu.dimension * math.log(4.0 * math.pi * epsilon)
    return CloudBridge(
        epsilon=epsilon,
        cost=math.inf,
        gap=0.5 * max(pair.primal(*centred) - dual, 0.0),
        marginal_error=found.error,
        iterations=found.iterations,
        method="Sinkhorn between clouds",
        mu=mu,
        nu=nu,
        log_last=g / (4.0 * epsilon) + pair.log_nu,
        log_first=f / (4.0 * epsilon) + pair.log_mu + normaliser,
        static_cost=0.5 * (dual + float(pair.shift @ pair.shift)),
    )


def _weights(cloud):
    weights = np.asarray(cloud.weights, dtype=float)
    return weights / weights.sum()
