"""Standard errors, by blocks of the points: how far the equations at the solution differ from block to
block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.learn.closed_form import Cloud, Data, between, intervals_of
from jko.learn.equations import Interval, Normal, weights_of
from jko.learn.model import Model
from jko.learn.moments import moments
from jko.learn.refinement import MOST_DIFFERENCED, copies_for, differences, path

BLOCKS = 12  # of each snapshot; variances with 11 degrees of freedom a snapshot


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """`moments` Ω `[size, size]`, the covariance of the residual Np − h at the solution, and `covariance`
    J⁻¹ΩJ⁻ᵀ, that of the parameters; the bias of the regularisation is no part of it."""

    moments: np.ndarray
    covariance: np.ndarray


def uncertainty(
    model: Model,
    data: Data,
    chosen: list[int],
    parameters: np.ndarray,
    normal: Normal,
    share: float,
    steps: list[int] | None,
    seed: int,
) -> Uncertainty:
    """By `BLOCKS` random blocks of each snapshot, the snapshots being independent [EfronStein1981].

    What is a mean over points is taken block by block, sums over pairs with a block left out. J is that of
    the equations along the paths where parameters are few, else their matrix. `steps` are those of
    the paths of a refined fit.
    """
    seen = _Seen(model, data, chosen, parameters, steps, seed)
    spread = np.zeros((model.size, model.size))
    for s in sorted({*chosen, *(k + 1 for k in chosen)}):
        cloud = data.clouds[s]
        count = min(BLOCKS, len(cloud.x) // 2)
        if not cloud.sampled or count < 2:
            continue
        order = np.random.default_rng(seed + 7919 * (s + 1)).permutation(len(cloud.x))
        blocks = [np.sort(block) for block in np.array_split(order, count)]
        if model.kernels is None:
            each = seen.block_means(s, blocks)
            spread += np.cov(each.T).reshape(spread.shape) / count
        else:
            each = np.array([seen.without(s, block) for block in blocks])
            away = each - each.mean(axis=0)
            spread += (count - 1.0) / count * away.T @ away
    raised = np.diag(share * normal.scale * model.penalised)
    jacobian = normal.matrix + raised
    if steps is not None and model.size <= MOST_DIFFERENCED:
        jacobian = seen.jacobian() + raised
    inverse = np.linalg.pinv(jacobian, rcond=1e-13)
    return Uncertainty(spread, inverse @ spread @ inverse.T)


class _Seen:
    """The residual Σ_k [E_k, −a_k]ᵀ τ_k (S_k p − θl_k + d_k), a_k the projected score, for restricted
    clouds."""

    def __init__(
        self,
        model: Model,
        data: Data,
        chosen: list,
        parameters: np.ndarray,
        steps: list | None,
        seed: int,
    ):
        self.model, self.data, self.chosen, self.p = model, data, chosen, parameters
        self.steps, self.seed = steps, seed
        gaps = [float(data.gaps[k]) for k in chosen]
        self.weights = weights_of(model, lambda: self._intervals(parameters), gaps)

    def _intervals(self, parameters: np.ndarray) -> list[Interval]:
        if self.steps is None:
            return intervals_of(self.model, self.data, self.chosen)
        return [self._interval(parameters, n, {}) for n in range(len(self.chosen))]

    def _cloud(self, k: int, restricted: dict) -> Cloud:
        return restricted.get(k, self.data.clouds[k])

    def _interval(self, parameters: np.ndarray, number: int, restricted: dict[int, Cloud]) -> Interval:
        k = self.chosen[number]
        gap = float(self.data.gaps[k])
        first, last = self._cloud(k, restricted), self._cloud(k + 1, restricted)
        before, after = (moments(self.model, c.x, c.w) for c in (first, last))
        change = (after.energies - before.energies) / gap
        if self.steps is not None:
            many = copies_for(self.model, self.data.clouds[k])
            along = path(
                self.model, parameters, number, first, gap, self.steps[number], self.seed + k, copies=many
            ).along
            return Interval(along.gram, along.laplacians, change, gap)
        if self.data.step == "flow":
            return between(before, after, gap)
        here = before if self.data.step == "explicit" else after
        return Interval(here.gram, here.laplacians, change, gap)

    def _residual(self, parameters: np.ndarray, number: int, restricted: dict) -> np.ndarray:
        each = self._interval(parameters, number, restricted)
        p, theta = self.model.of_interval(number, parameters), self.model.theta(parameters)
        return self.weights[number].T @ (each.gram @ p - theta * each.laplacians + each.change)

    def without(self, s: int, block: np.ndarray) -> np.ndarray:
        """That of the intervals beside the snapshot s, without a block of its points."""
        cloud = self.data.clouds[s]
        kept = cloud.part(np.setdiff1d(np.arange(len(cloud.x)), block))
        beside = [n for n, k in enumerate(self.chosen) if s in (k, k + 1)]
        return sum(self._residual(self.p, n, {s: kept}) for n in beside)

    def jacobian(self) -> np.ndarray:
        """By central differences, along the same noise."""

        def residual(p: np.ndarray):
            return sum(self._residual(p, number, {}) for number in range(len(self.chosen)))

        return differences(residual, self.p)

    def block_means(self, s: int, blocks: list[np.ndarray]) -> np.ndarray:
        """What each block of the snapshot s adds to the residual, `[blocks, size]`."""
        cloud, total = self.data.clouds[s], np.zeros((len(blocks), self.model.size))
        for number, k in enumerate(self.chosen):
            if s not in (k, k + 1):
                continue
            gap = float(self.data.gaps[k])
            sign = 1.0 if s == k + 1 else -1.0
            share = self._share_of_slopes(s == k)
            for b, block in enumerate(blocks):
                part = cloud.part(block)
                vector = sign / gap * (part.w @ self.model.potential.values(part.x))
                if self.steps is not None and s == k:
                    steps, seed = self.steps[number], self.seed + k + 104729 * (b + 1)
                    pull, many = self._pull(number), copies_for(self.model, cloud)
                    along = path(self.model, self.p, number, part, gap, steps, seed, pull, many).along
                    vector = vector + along
                elif share:
                    vector = vector + share * self._pull(number)(part.x, part.w)
                total[b] += self.weights[number].T @ vector
        return total

    def _share_of_slopes(self, first: bool) -> float:
        """How much of ⟨∇δF_i, ∇δF⟩ is taken at the first end of an interval, or at the last."""
        if self.steps is not None:
            return 0.0
        return {"flow": 0.5, "explicit": float(first), "implicit": float(not first)}[self.data.step]

    def _pull(self, number: int):
        p, theta = self.model.of_interval(number, self.p), self.model.theta(self.p)

        def pull(x: np.ndarray, w: np.ndarray):
            slopes = self.model.potential.gradients(x)
            force = self.model.potential.slopes(x, p) * w[:, None]
            return np.tensordot(force, slopes, axes=2) - theta * (w @ self.model.potential.laplacians(x))

        return pull
