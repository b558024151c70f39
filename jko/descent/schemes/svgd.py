"""Stein variational gradient descent: the flow of a divergence in the geometry of a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from functionals import Functional
from jko.descent.fields.energy_estimate import estimated_energy
from jko.descent.fields.program import ParticleProblem, field, outside_terms
from jko.descent.fields.stability import beyond_the_limit, refuse_coarse, spectral_radius
from jko.descent.fields.stein import PROFILES, SteinField, compiled_velocity, median_bandwidth
from jko.descent.fields.stein_sums import SteinSums
from jko.descent.fields.watch import HostWatch, Watch, watched_steps
from jko.descent.fields.watch import sentence as thrown_sentence
from jko.descent.tolerances import TOLERANCES
from jko.errors import UnsupportedFunctional, one_of, positive_number, whole_number
from jko.loops.sums.pair_sums import precision
from jko.measures import Measure, Particles
from jko.measures.forces import FAST
from jko.scheme import Problem, Records, Scheme, State, Status


@dataclass(frozen=True)
class SVGD(Scheme):
    """x⁺ = x + τv(x), v(x) = ∫(−k(x, y)∇_W G(α)(y) + θ∇_y k(x, y)) dα(y), F = θ∫ρ log ρ + G [LiuWang2016].

    The particles are deterministic and follow −∇_W F preconditioned by the integral operator of k. Where α
    has a density, F falls as in a gradient flow in the geometry that k gives instead of Wasserstein's
    [DuncanNuskenSzpruch2023]: dF/dt = −S. S, θ² times the squared kernel Stein discrepancy to the minimiser
    (for G that is linear in α: to e^{−G/θ}/Z), is the column `stein_discrepancy` of the records, taken where
    a step begins. `energy` estimates F as `Langevin` does, though the particles repel each other and are no
    independent draws: their entropy comes out too low while the cloud is more regular than a sample.

    `kernel` is "gaussian", e^{−|z|²/2h²}, or "inverse multiquadric", (1 + |z|²/h²)^{−1/2}, whose S controls
    convergence of the tails too [GorhamMackey2017]; h is the `bandwidth`, by default Liu and Wang's median
    rule at the first measure, kept from then on so that the geometry stays one. `sums` is "direct" (all
    pairs), "fourier" (O(n) on the host, to about 1e-8 of their size; the `note` of a step tells) or "auto":
    "fourier" from 20 000 particles on. A step beyond 2/L, L the spectral radius of v′ at the start (of at
    most 2000 of the particles), is refused.
    """

    kernel: str = "gaussian"
    bandwidth: float | None = None
    neighbours: int | None = None
    sums: str = "auto"

    takes: ClassVar = frozenset({"entropy", "potential", "interaction", "rest"})
    measures: ClassVar = (Particles,)
    order: ClassVar[int] = 1
    energy_kind: ClassVar[str] = "estimate"

    def __post_init__(self):
        one_of("kernel", self.kernel, tuple(PROFILES))
        if self.bandwidth is not None:
            positive_number("bandwidth", self.bandwidth)
        if self.neighbours is not None:
            whole_number("neighbours", self.neighbours)
        one_of("sums", self.sums, ("auto", "direct", "fourier"))

    def check(self, F: Functional, mu: Particles):
        super().check(F, mu)
        if F.parts.temperature == 0.0:
            raise UnsupportedFunctional(
                f"descent.SVGD descends an entropy and more, and {F!r} has none: use descent.ForwardEuler"
            )

    def prepare(self, F: Functional, mu: Measure) -> Problem:
        self.check(F, mu)
        refuse_coarse(mu, self.scheme_name())
        bandwidth = float(self.bandwidth or median_bandwidth(mu))
        flow = SteinField(field(outside_terms(F.parts)), F.parts.temperature, self.kernel, bandwidth)
        data = {"step": 0, "bandwidth": bandwidth}
        if self.sums == "fourier" or (self.sums == "auto" and mu.n >= FAST):
            flow = SteinSums(flow, self.sums)
            data["note"] = str(flow.choice(mu))
        return ParticleProblem(F, flow, data, mu.dimension)

    def step(self, problem: Problem, mu: Measure, t: float, tau: float, state: State):
        mu, state, records = self.advance(problem, mu, t, tau, 1, state)
        return mu, state, records.row(0)

    def advance(self, problem: Problem, mu: Measure, t: float, tau: float, n: int, state: State):
        """n steps; `stein_discrepancy` is recorded for each."""
        tau, x, w, first = positive_number("tau", tau), mu.positions, mu.weights, state["step"]
        discrepancies = np.zeros(n)
        watch = HostWatch(Watch(tau, 0.0), w)

        def velocity(x: np.ndarray, k: int):
            flow = problem.at(t + k * tau)
            return (flow.velocity if isinstance(flow, SteinSums) else compiled_velocity(flow))(x, w)

        with precision(x):
            if first == 0:
                _refuse_beyond_the_limit(problem.at(t), mu, tau)
            for k in range(n):
                v, stein = velocity(x, k)
                watch(x, v)
                x, discrepancies[k] = x + x.dtype.type(tau) * np.asarray(v), float(stein)
                if not np.all(np.isfinite(x)):
                    failed = Records.constant(
                        n, status=Status.UNSTABLE, note=_diverged(first, first + n, tau)
                    )
                    return mu, state, failed
            if watched_steps(first, first + n):
                watch(x, velocity(x, n)[0])
        if watch.thrown(n):
            note = thrown_sentence(first, first + n, tau, "")
            return mu, state, Records.constant(n, status=Status.UNSTABLE, note=note)
        records = Records.constant(n, iterations=1, mass_error=0.0, note=state.get("note", ""))
        records = records.with_columns(stein_discrepancy=discrepancies)
        return mu.with_positions(x), state.having(step=first + n), records

    def energy(self, problem: Problem, mu: Measure, t: float, state: State):
        return estimated_energy(problem.F.at(t), mu, problem.at(t).drift, self.neighbours)


def _refuse_beyond_the_limit(flow: SteinField, mu: Particles, tau: float):
    """L is that of all particles, or of every k-th of them where sums over all pairs would be long."""
    inner, stride = (flow.inner if isinstance(flow, SteinSums) else flow), -(-mu.n // TOLERANCES.stein_sample)
    x, w = mu.positions[::stride], mu.weights[::stride]
    stiffness = spectral_radius(lambda x, w: inner.velocity(x, w)[0], x, w / w.sum())
    if not tau * stiffness <= 2.0:
        of = f"L = {stiffness:.3g}, the spectral radius of the velocity's derivative"
        raise ValueError(beyond_the_limit(tau, 2.0 / stiffness, "descent.SVGD", of))


def _diverged(first, last, tau: float):
    return (
        f"a position became infinite between steps {first} and {last}: tau={tau:g} is too large for the "
        "drift there; take a smaller tau"
    )
