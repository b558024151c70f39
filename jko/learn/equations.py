"""The normal equations of the least squares, from what each interval says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jko.learn.model import Model
from jko.learn.tolerances import TOLERANCES


@dataclass(frozen=True)
class Interval:
    """S p − θl + d = 0 for one gap τ between snapshots: how S = ⟨∇δF_i, ∇δF_j⟩ `[M, M]` and l = ⟨Δ(δF_i)⟩
    `[M]`
    make the energies change, and d `[M]`, the rate at which they were seen to."""

    gram: np.ndarray
    laplacians: np.ndarray
    change: np.ndarray
    gap: float


@dataclass(frozen=True)
class Normal:
    """N p = h: the minimiser of Σ_k τ_k |S_k p_k − θl_k + d_k|² in the norm of S_k⁻¹, which is the mean
    square of
    what the velocity leaves unexplained, for gradients among the basis's."""

    matrix: np.ndarray
    right: np.ndarray

    @property
    def scale(self) -> float:
        """The mean diagonal entry, the unit of the regularisation."""
        return float(np.trace(self.matrix)) / len(self.right) or 1.0

    def excess(self, parameters: np.ndarray) -> float:
        """pᵀNp − 2pᵀh, the loss but for a constant."""
        return float(parameters @ self.matrix @ parameters - 2.0 * parameters @ self.right)

    def solved(self, share: float, penalised: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """The minimiser with the regularisation `share` of the mean diagonal on the penalised parameters,
        among
        those in the span of `known` `[size, r]` where that is given."""
        matrix = self.matrix + np.diag(share * self.scale * penalised)
        if known is not None:
            inner = known.T @ matrix @ known
            return known @ _solve(inner, known.T @ self.right)
        return _solve(matrix, self.right)


def normal_equations(model: Model, intervals: list[Interval]) -> Normal:
    """Their sum over intervals; the row of θ is their least squares against the projected score."""
    size = model.size
    matrix, right = np.zeros((size, size)), np.zeros(size)
    own = slice(0, size - model.fits_temperature)
    for k, each in enumerate(intervals):
        spread = model.spread(k)
        known = 0.0 if model.fits_temperature else model.temperature
        alone = model.factors.shape == (1, 1) and model.factors[0, 0] == 1.0
        gram = each.gram if alone else spread.T @ each.gram @ spread
        matrix[own, own] += each.gap * gram
        right[own] -= each.gap * spread.T @ (each.change - known * each.laplacians)
        if model.fits_temperature:
            score = projected_score(each)
            cross = -each.gap * spread.T @ each.laplacians
            matrix[own, -1] += cross
            matrix[-1, own] += cross
            matrix[-1, -1] += each.gap * score @ each.laplacians
            right[-1] += each.gap * score @ each.change
    return Normal(matrix, right)


def weights_of(model: Model, intervals: Callable, gaps: list[float]) -> list[np.ndarray]:
    """τ_k [E_k, −a_k] `[M, size]`, by which Σ_k W_kᵀ(S_k p_k − θl_k + d_k) is the residual of the normal
    equations. `intervals()` gives those whose scores are projected, where θ is fitted."""
    own = [gap * model.spread(number) for number, gap in enumerate(gaps)]
    if not model.fits_temperature:
        return own
    scores = [-each.gap * projected_score(each)[:, None] for each in intervals()]
    return [np.concatenate(columns, axis=1) for columns in zip(own, scores, strict=True)]


def projected_score(interval: Interval) -> np.ndarray:
    """a `[M]` such that −Σ a_i∇δF_i is the gradient among those of the basis that is nearest to the score
    ∇log ρ in L²(ρ): score matching [Hyvarinen2005] in closed form, Sa = l. It is no more regularised than
    rounding asks for: an equation of θ by another a than that has another solution."""
    gram = interval.gram
    raised = gram + TOLERANCES.score_share * np.trace(gram) / len(gram) * np.eye(len(gram))
    return _solve(raised, interval.laplacians)


def _solve(matrix: np.ndarray, right: np.ndarray):
    """The least solution of a symmetric system of positive semidefinite matrix, scaled to a unit diagonal."""
    from scipy.linalg import cho_factor, cho_solve, eigh

    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    scaled = matrix * np.outer(scale, scale)
    try:
        factor = cho_factor(scaled + 1e-13 * np.eye(len(scaled)))
        found = scale * cho_solve(factor, scale * right)
        if np.all(np.isfinite(found)):
            return found
    except np.linalg.LinAlgError:
        pass
    values, vectors = eigh(scaled)
    held = values > 1e-12 * max(values[-1], 0.0)
    return scale * (vectors[:, held] @ ((vectors[:, held].T @ (scale * right)) / values[held]))
