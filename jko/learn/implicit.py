"""Fits of implicit steps: Gauss–Newton through the step of each point, y = x − τ∇V(y).

The closed form regresses y − x on y. Pairs of a coupling scatter, so that E[x | y] is flatter than the
inverse of E[y | x], and the steps of what it finds spread too far. Here y(p) itself is fitted to E[y | x],
with its derivative −(1/τ + D²V)⁻¹∇φ_j at y, from the potential whose steps go where explicit ones go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jko.descent.newton.separable import separable_proximal_step
from jko.learn.closed_form import SHARES, Data, Solved, solve
from jko.learn.equations import Interval, Normal, normal_equations
from jko.learn.features import Combination, Features
from jko.learn.model import Model
from jko.learn.refinement import Refined
from jko.learn.tolerances import TOLERANCES


def takes_steps(model: Model) -> bool:
    """Whether each point's step is its own: potentials alone."""
    return model.kernels is None and not (model.temperature or model.fits_temperature)


def through_steps(
    model: Model, data: Data, chosen: list[int], share: float | None, rounds: int, seed: int, tick: Callable
) -> tuple[Solved, Refined]:
    """At most `rounds` of Gauss–Newton from the closed form of explicit steps, and the regularisation that
    foretells held-out halves of the steps best, chosen once unless it is given."""
    explicit = Data(data.times, data.clouds, "explicit", data.couplings)
    first = solve(model, explicit, chosen, share, seed)
    p, pairs = first.parameters, [_Pairs.of(model, data, number, k) for number, k in enumerate(chosen)]
    forward = [each.x + each.gap * each.velocity(p) for each in pairs]
    p = normal_equations(model, [a.towards(y, a.x) for a, y in zip(pairs, forward, strict=True)]).solved(
        first.share, model.penalised
    )
    steps = [a.step(p, y) for a, y in zip(pairs, forward, strict=True)]
    chosen_share, tried, residuals, settled, penalty = first.share, first.tried, [], False, None
    normal = first.normal
    for _ in range(rounds):
        tick()
        linear = [a.linearised(p, y) for a, y in zip(pairs, steps, strict=True)]
        normal = normal_equations(model, [a.interval(*each) for a, each in zip(pairs, linear, strict=True)])
        if penalty is None:
            if share is None and model.penalised.any():
                chosen_share, tried = _by_halves(model, pairs, linear, seed)
            penalty = chosen_share * normal.scale * model.penalised
        change = normal.solved(chosen_share, model.penalised) - p
        size = max(float(p @ normal.matrix @ p), np.finfo(float).tiny)
        residuals.append(float(np.sqrt(max(change @ normal.matrix @ change, 0.0) / size)))
        if residuals[-1] < TOLERANCES.nearly_settled:
            settled = True
            break
        found = _lowered(pairs, p, change, steps, penalty)
        if found is None:
            break
        p, steps = found
    return Solved(p, first.normal, chosen_share, tried), Refined(p, normal, residuals, settled, [])


def _lowered(pairs: list[_Pairs], p: np.ndarray, change: np.ndarray, steps: list, penalty: np.ndarray):
    """(p, steps) after the first of change/2^k that lowers the loss; None where none does."""

    def loss(p: np.ndarray, steps: list):
        return sum(a.loss(y) for a, y in zip(pairs, steps, strict=True)) + p @ (penalty * p)

    before = loss(p, steps)
    for _ in range(TOLERANCES.halvings):
        there = [a.step(p + change, y) for a, y in zip(pairs, steps, strict=True)]
        if loss(p + change, there) < before:
            return p + change, there
        change = 0.5 * change
    return None


def _by_halves(model: Model, pairs: list[_Pairs], linear: list[tuple], seed: int):
    """The regularisation whose linearised steps foretell the other half best, and the losses."""
    halves: list[Normal] = []
    sides = [np.random.default_rng(seed + a.number).permutation(len(a.x)) % 2 for a in pairs]
    for half in (0, 1):
        parts = [
            a.interval(slopes, moved, side == half)
            for a, (slopes, moved), side in zip(pairs, linear, sides, strict=True)
        ]
        halves.append(normal_equations(model, parts))
    tried = {}
    for share in SHARES:
        found = [half.solved(share, model.penalised) for half in halves]
        tried[share] = float(halves[0].excess(found[1]) + halves[1].excess(found[0]))
    return min(tried, key=lambda share: tried[share]), tried


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The points x of an interval, and where a coupling with the next snapshot sends them on average."""

    model: Model
    number: int
    x: np.ndarray
    w: np.ndarray
    y: np.ndarray
    gap: float

    @classmethod
    def of(cls, model: Model, data: Data, number: int, k: int) -> _Pairs:
        """Those of the interval k, which is the model's by its `number`."""
        cloud, y = data.clouds[k], data.clouds[k + 1].x
        assert data.couplings is not None  # of steps
        return cls(model, number, cloud.x, cloud.w, data.couplings[k].images(y), float(data.gaps[k]))

    @property
    def features(self) -> Features:
        """The functions of V."""
        assert self.model.potential is not None  # takes_steps
        return self.model.potential

    def velocity(self, p: np.ndarray):
        """−∇V at the points x."""
        return -self.features.slopes(self.x, self.model.of_interval(self.number, p))

    def step(self, p: np.ndarray, near: np.ndarray):
        """y(p), from the points near it on."""
        c = self.model.of_interval(self.number, p)
        return steps_of(self.features, c, self.x, near, self.w, self.gap)

    def loss(self, y: np.ndarray):
        """Σ w|y − E[y | x]|²/τ."""
        return float(self.w @ np.sum((y - self.y) ** 2, axis=1)) / self.gap

    def linearised(self, p: np.ndarray, y: np.ndarray):
        """(slopes `[n, d, m]`, moved `[n, d]`): y(q) − E[y | x] = −τ(slopes q + moved/τ) to first order."""
        c, features = self.model.of_interval(self.number, p), self.features
        curvature = features.hessians(y, c)
        inverse = np.linalg.inv(np.eye(y.shape[1]) + self.gap * curvature)
        slopes = inverse @ features.gradients(y)
        return slopes, self.y - y - self.gap * (slopes @ c)

    def interval(self, slopes: np.ndarray, moved: np.ndarray, among: np.ndarray | None = None):
        """The least squares of these, of the points `among` them alone where that is given."""
        w = self.w if among is None else self.w * among / self.w[among].sum()
        flat = slopes.reshape(-1, slopes.shape[2])
        weighted = flat * np.repeat(w, self.x.shape[1])[:, None]
        change = weighted.T @ moved.ravel() / self.gap
        return Interval(weighted.T @ flat, np.zeros(flat.shape[1]), change, self.gap)

    def towards(self, y: np.ndarray, x: np.ndarray):
        """The least squares of x = y + τ∇V(y)."""
        return self.interval(self.features.gradients(y), y - x)


def steps_of(
    features: Features, c: np.ndarray, x: np.ndarray, near: np.ndarray, w: np.ndarray, tau: float
) -> np.ndarray:
    """argmin |y − x|²/2τ + V(y), V = Σ c_jφ_j, for each point x `[n, d]` of the weights w: the local one that
    Newton's method reaches from `near`."""
    terms = ((1.0, Combination(features, c)),)
    return separable_proximal_step(terms, x, near, w, tau, TOLERANCES.stepped, TOLERANCES.newton_steps)[0]
