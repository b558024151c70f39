"""Langevin dynamics with inertia: friction and noise act on the velocities."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from functionals import Functional
from functionals.array import Array
from jko.descent.fields.program import field, outside_terms
from jko.descent.fields.watch import Watch
from jko.descent.schemes.stochastic import StochasticDescent
from jko.errors import one_of, positive_number
from jko.loops.sums.pair_sums import precision
from jko.measures import Measure, Particles
from jko.measures.entropy_estimate import default_neighbours, entropy_estimate, standard_error
from jko.scheme import Problem, State


@dataclass(frozen=True)
class UnderdampedLangevin(StochasticDescent):
    """dx = v dt, m dv = −∇_W G(α)(x) dt − γmv dt + √(2γmθ) dB, by the splitting BAOAB, of weak order 2.

    Half a kick, half a drift, the exact Ornstein–Uhlenbeck step of the velocities, half a drift, half a kick,
    for one gradient a step [LeimkuhlerMatthews2013]. F = θ∫ρ log ρ + G; the measures are those of the
    positions, `velocities` `[n, d]` are part of the state. At equilibrium the positions follow e^{−G/θ} with
    an error of O(τ²), of O(τ⁴) as γ → ∞, and none on a quadratic. Stable for τ < 2√(m/L).

    This is no Wasserstein gradient flow: F of the positions may rise, as they swing for small `friction` γ.
    What falls is the free energy of positions and velocities together, E = F(ρ) + θ KL(f | ρ ⊗ N(0, θ/m)),
    which `energy_of="phase space"` records instead of F, estimated in 2d dimensions. With γm = 1 and γ → ∞
    the positions follow `Langevin` at the same times, else at times t/γm.

    `start="thermal"` draws the first velocities from N(0, θ/m), "rest" has them 0.
    """

    friction: float = 1.0
    mass: float = 1.0
    start: str = "thermal"
    energy_of: str = "positions"

    takes: ClassVar = frozenset({"entropy", "potential", "interaction", "rest"})
    order: ClassVar[int] = 2
    carries: ClassVar[tuple[str, ...]] = ("velocities", "gradient")

    def __post_init__(self):
        super().__post_init__()
        positive_number("friction", self.friction)
        positive_number("mass", self.mass)
        one_of("start", self.start, ("thermal", "rest"))
        one_of("energy_of", self.energy_of, ("positions", "phase space"))

    def prepare(self, F: Functional, mu: Measure):
        problem = super().prepare(F, mu)
        x, thermal = mu.positions, math.sqrt(F.parts.temperature / self.mass)
        with precision(x):
            gradient = np.asarray(field(outside_terms(F.parts)).at(0.0).compiled_gradient(x, mu.weights))
        draws = np.random.default_rng([self.seed, 1]).standard_normal(x.shape)
        velocities = (draws * thermal if self.start == "thermal" else np.zeros_like(draws)).astype(x.dtype)
        return problem.starting(problem.start.having(velocities=velocities, gradient=gradient))

    def coefficients(self, temperature: float, tau: float):
        """Half a kick, half a drift, what is kept of a velocity, and the size of its noise."""
        noise = math.sqrt(-math.expm1(-2.0 * self.friction * tau) * temperature / self.mass)
        return 0.5 * tau / self.mass, 0.5 * tau, math.exp(-self.friction * tau), noise

    def watch(self, F: Functional, tau: float, mu: Measure):
        """The displacement by a change of the drift, halved so that the limit is that of other schemes."""
        lost = -0.25 * math.expm1(-2.0 * self.friction * tau)
        noise = tau**2 * F.parts.temperature / self.mass * mu.dimension
        return Watch(0.5 * tau**2 / self.mass, noise, lost)

    def limit(self, curvature: float):
        """That of the leapfrog method."""
        return 2.0 * math.sqrt(self.mass / curvature)

    @staticmethod
    def move(gradient: Callable, carried: tuple, coefficients: tuple | Array, kicks: Callable):
        """One step of positions, velocities and gradients at the positions, `[d, n]` each."""
        (x, v, slope), (kick, drift, kept, amplitude) = carried, coefficients
        v = v - kick * slope
        x = x + drift * v
        v = kept * v + amplitude * kicks(0)
        x = x + drift * v
        slope = gradient(x, 1)
        return x, v - kick * slope, slope

    def energy(self, problem: Problem, mu: Measure, t: float, state: State):
        if self.energy_of == "positions":
            return super().energy(problem, mu, t, state)
        return phase_space_energy(problem.F.at(t), mu, state["velocities"], self.mass)


def phase_space_energy(
    F: Functional, mu: Particles, velocities: np.ndarray, mass: float
) -> tuple[float, float]:
    """(E, its standard error), E = G(ρ) + ½m∫|v|²df + θ∫f log f + θ(d/2) log(2πθ/m), velocities `[n, d]`.

    f is the law of positions and velocities, ρ that of the positions, F = θ∫ρ log ρ + G. The constant makes
    E = F(ρ) + θ KL(f | ρ ⊗ N(0, θ/m)) ≥ F(ρ), with equality where the velocities are in equilibrium. Along
    the kinetic Fokker–Planck equation dE/dt = −γm∫|v + (θ/m)∇_v log f|²df ≤ 0 [Villani2009]. ∫f log f is
    estimated from nearest neighbours in 2d dimensions, whose bias grows with them.
    """
    parts, d = F.parts, mu.dimension
    x, v = np.asarray(mu.positions, dtype=float), np.asarray(velocities, dtype=float)
    weights = np.asarray(mu.weights, dtype=float)
    outside = outside_terms(parts)
    influence = 0.5 * mass * np.sum(v**2, axis=1)
    value = float(weights @ influence) + sum(c * atom(mu) for c, atom in outside)
    for c, atom in outside:
        influence = influence + c * np.asarray(atom.first_variation(mu), dtype=float)
    theta = parts.temperature
    if theta == 0.0:
        return value, 0.0
    if not np.any(v):
        return math.inf, math.inf
    # neighbours are looked for where positions and velocities are of one size
    size = math.sqrt(weights @ np.sum((x - weights @ x) ** 2, axis=1) / (weights @ np.sum(v**2, axis=1)))
    neighbours = default_neighbours(2 * d)
    estimate = entropy_estimate(Particles(np.hstack([x, size * v]), mu.weights.astype(float)), neighbours)
    log_density = estimate.log_density + d * math.log(size)
    value += theta * float(weights @ log_density) + 0.5 * theta * d * math.log(2.0 * math.pi * theta / mass)
    error = standard_error(influence + theta * log_density, weights, neighbours, theta)
    return value, math.hypot(error, theta * estimate.bias)
