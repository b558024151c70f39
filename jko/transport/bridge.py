"""What every Schrödinger bridge answers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.errors import finite_array, seed_number, whole_number


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

    def dynamic_cost(self, n_times: int = 24) -> float:
        """∫₀¹∫½ρ_t|v_t|² by Gauss–Legendre quadrature in time: the cost once more, from the dynamics."""
        nodes, weights = np.polynomial.legendre.leggauss(whole_number("n_times", n_times))
        return float(
            0.5 * sum(w * self._kinetic(0.5 * (1.0 + t)) for t, w in zip(nodes, weights, strict=True))
        )


def checked_time(t) -> float:
    """t as a float in [0, 1]."""
    if not 0.0 <= float(t) <= 1.0:
        raise ValueError(f"t: expected a number between 0 and 1, got {t!r}")
    return float(t)


def checked_points(x, dimension) -> np.ndarray:
    """Points `[n, d]`; on the line `[n]` will do."""
    x = finite_array("x", x)
    if dimension == 1 and x.ndim < 2:
        x = x.reshape(-1, 1)
    if x.ndim != 2 or x.shape[1] != dimension:
        raise ValueError(f"x: expected points of shape [n, {dimension}], got {x.shape}")
    return x
