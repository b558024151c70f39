"""What every Schrödinger bridge answers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.errors import positive_number, seed_number, whole_number
from jko.transport.entropic.tolerances import TOLERANCES


class DynamicCost(float):
    """The cost from the dynamics, a float with `error`, an estimate of what it may err by, and `n_times`, how
    many times the quadrature took. `error` is the more of what the quadrature estimates and the difference
    from the static cost, which has the errors of the fields in it."""

    def __new__(cls, value, error, n_times):
        self = super().__new__(cls, value)
        self.error, self.n_times = float(error), int(n_times)
        return self

    def __reduce__(self):
        return DynamicCost, (float(self), self.error, self.n_times)

    def __repr__(self) -> str:
        return f"DynamicCost({float(self):.10g}, error={self.error:.1e}, n_times={self.n_times})"


@dataclass(frozen=True, eq=False)
class SchrodingerBridge:
    """The law nearest to dX = √(2ε) dB in free space with the marginals mu at t = 0 and nu at t = 1.

    `cost` is inf ∫₀¹∫½ρ|v|² under ∂tρ + div(ρv) = εΔρ; `marginal(t)` is ρ_t = Ψ_tΨ̂_t; `drift(x, t)` the
    optimal v = 2ε∇log Ψ_t, with which dX = v dt + √(2ε) dB leads from mu to nu; `current_velocity(x, t)`
    ε(∇log Ψ_t − ∇log Ψ̂_t) = v − ε∇log ρ_t, whose flow has the same marginals without noise. Points are
    `[n, d]`. `gap` bounds the error of the cost from a finite number of rounds, `marginal_error` is the L1
    error of the marginal at t = 1.
    """

    epsilon: float
    cost: float
    gap: float
    marginal_error: float
    iterations: int
    method: str

    def simulate(self, n_paths: int, n_steps: int = 100, seed: int = 0):
        """Times `[k + 1]` and paths `[k + 1, n_paths, d]` of dX = v dt + √(2ε) dB by the Euler–Maruyama
        method, started from mu."""
        steps = whole_number("n_steps", n_steps)
        generator = np.random.default_rng(seed_number("seed", seed))
        start_seed, dt = int(generator.integers(2**31)), 1.0 / steps
        paths = [self._start(whole_number("n_paths", n_paths), start_seed)]
        for k in range(steps):
            noise = generator.standard_normal(paths[-1].shape)
            paths.append(
                paths[-1] + dt * self.drift(paths[-1], k * dt) + math.sqrt(2.0 * self.epsilon * dt) * noise
            )
        return np.linspace(0.0, 1.0, steps + 1), np.stack(paths)

    def dynamic_cost(self, *, tolerance: float = 1e-8) -> DynamicCost:
        """∫₀¹∫½ρ_t|v_t|² by adaptive Gauss–Kronrod quadrature in time, to a relative tolerance: the cost
        once more, from the dynamics. Large noise turns paths within a time of 1/ε of the end, where
        intervals are halved; on a grid whose values are too rough for the tolerance `error` says how far
        it got."""
        from scipy.integrate import quad

        tolerance = positive_number("tolerance", tolerance)
        value, error, details, *_ = quad(
            self._kinetic,
            0.0,
            1.0,
            epsabs=0.0,
            epsrel=tolerance,
            limit=TOLERANCES.most_intervals,
            full_output=True,
        )
        if math.isfinite(self.cost):
            error = max(error, abs(value - self.cost))
        return DynamicCost(value, error, details["neval"])
