"""The geodesic of the Hellinger–Kantorovich distance between clouds of any two masses."""

from __future__ import annotations

import math

import numpy as np

from jko.errors import fraction
from jko.measures import Particles, Population
from jko.transport.distances.unbalanced import hellinger_kantorovich
from jko.transport.tolerances import TOLERANCES


class HellingerKantorovichGeodesic:
    """t ↦ ρ_t from mu to nu with HK_δ(ρ_s, ρ_t) = |t − s|HK_δ(mu, nu), δ the `length`, for t in [0, 1].

    Of an optimal plan a pair (x, y) takes the masses m₀ = γ mu/γ₀ and m₁ = γ nu/γ₁ along the geodesic of the
    cone [LieroMielkeSavare2018]: with θ = |x − y|/2δ the mass is (1 − t)²m₀ + t²m₁ + 2t(1 − t)√(m₀m₁) cos θ,
    at the share α/θ of the way, tan α = t√m₁ sin θ/((1 − t)√m₀ + t√m₁ cos θ). What no point reaches dies as
    (1 − t)² and is born as t². Pairs that hold next to nothing of both their points are left out.

    Raises TypeError for what is no cloud, and as `hellinger_kantorovich` does.
    """

    def __init__(self, mu: Particles, nu: Particles, length: float = 1.0):
        for name, measure in (("mu", mu), ("nu", nu)):
            if not isinstance(measure, Particles):
                raise TypeError(
                    f"{name}: expected Particles or a Population, got {type(measure).__name__}: sample it"
                )
        self.distance = hellinger_kantorovich(mu, nu, length)
        (x, y), plan = self.distance.points, self.distance.plan
        a, b = self.distance.masses
        joined = np.maximum(_shares(plan, 1), _shares(plan, 0)) > TOLERANCES.thin_pair
        plan, (rows, columns) = np.where(joined, plan, 0.0), np.nonzero(joined)
        before, after = a[:, None] * _shares(plan, 1), b * _shares(plan, 0)
        die, born = ~joined.any(axis=1), ~joined.any(axis=0)
        self.start = np.concatenate([x[rows], x[die], y[born]])
        self.end = np.concatenate([y[columns], x[die], y[born]])
        self.before = np.concatenate([before[rows, columns], a[die], np.zeros(born.sum())])
        self.after = np.concatenate([after[rows, columns], np.zeros(die.sum()), b[born]])
        apart = np.linalg.norm(self.end - self.start, axis=1)
        self.angle = np.minimum(apart / (2.0 * length), 0.5 * math.pi)

    def __call__(self, t: float) -> Population:
        """ρ_t."""
        t = fraction("t", t)
        first, last = (1.0 - t) * np.sqrt(self.before), t * np.sqrt(self.after)
        along = first + last * np.cos(self.angle)
        across = last * np.sin(self.angle)
        masses = along**2 + across**2
        safe = np.where(self.angle > 0.0, self.angle, 1.0)
        share = np.where(self.angle > 0.0, np.arctan2(across, along) / safe, 0.0)
        held = masses > 0.0
        positions = self.start + share[:, None] * (self.end - self.start)
        return Population(positions[held], masses[held])


def _shares(plan: np.ndarray, axis: int):
    """Of each entry in its row or column, 0 where that is empty."""
    total = plan.sum(axis=axis, keepdims=True)
    return plan / np.where(total > 0.0, total, 1.0)
