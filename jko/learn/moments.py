"""What the least squares need of a cloud: energies, their Gram matrix in Otto's metric, and their Laplacians.

Along the flow of F = Σ p_j F_j + θ∫ρ log ρ every energy falls as dF_i/dt = −Σ_j ⟨∇δF_i, ∇δF_j⟩_ρ p_j +
θ⟨Δ(δF_i)⟩_ρ:
one equation for each F_i, linear in p and θ, in which neither a pairing of points nor the score of ρ stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jko.learn.features import ENTRIES, EvenPowers
from jko.learn.model import Model

MOST_PAIRED = 1500  # points of a cloud whose pairs are summed: 2 million pairs


@dataclass(frozen=True)
class Moments:
    """`energies` F_i `[M]`, `gram` ⟨∇δF_i, ∇δF_j⟩ `[M, M]` and `laplacians` ⟨Δ(δF_i)⟩ `[M]` of a cloud."""

    energies: np.ndarray
    gram: np.ndarray
    laplacians: np.ndarray

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.energies + other.energies, self.gram + other.gram, self.laplacians + other.laplacians
        )

    def __rmul__(self, factor: float) -> Moments:
        return Moments(factor * self.energies, factor * self.gram, factor * self.laplacians)


def moments(model: Model, x: np.ndarray, w: np.ndarray) -> Moments:
    """Those of the points `[n, d]` with weights `[n]` of sum 1. Sums over pairs leave out each point with
    itself, and are unbiased for the law that the points sample."""
    if model.kernels is not None:
        return _with_pairs(model, x, w)
    m, d = model.tests, x.shape[1]
    energies, gram, laplacians = np.zeros(m), np.zeros((m, m)), np.zeros(m)
    block = max(1, ENTRIES // (m * d))
    for first in range(0, len(x), block):
        part, share = x[first : first + block], w[first : first + block]
        slopes = model.potential.gradients(part) * np.sqrt(share)[:, None, None]
        slopes = slopes.reshape(-1, m)
        gram += slopes.T @ slopes
        energies += share @ model.potential.values(part)
        laplacians += share @ model.potential.laplacians(part)
    return Moments(energies, gram, laplacians)


def paired_sums(model: Model, x: np.ndarray, w: np.ndarray):
    """(ψ∗ρ `[n, q]`, ∇ψ∗ρ `[n, d, q]`, Δψ∗ρ `[n, q]`, Σ_l w_l² ∇ψ∇ψᵀ `[n, q, q]`) at the points, each over
    the
    others, whose weights are made to sum to 1."""
    n, d, q = len(x), x.shape[1], model.interactions
    if isinstance(model.kernels, EvenPowers) and q == 1:
        return _square_sums(x, w, model.kernels.scale)
    values, laplacians = np.empty((n, q)), np.empty((n, q))
    slopes, squares = np.empty((n, d, q)), np.empty((n, q, q))
    block = max(1, ENTRIES // (n * d * max(q, 1)))
    for first in range(0, n, block):
        rows = np.arange(first, min(first + block, n))
        others = np.tile(w, (len(rows), 1))
        others[np.arange(len(rows)), rows] = 0.0
        others /= others.sum(axis=1, keepdims=True)
        away = (x[rows][:, None] - x[None]).reshape(-1, d)
        share = others[:, None, :]
        values[rows] = (share @ model.kernels.values(away).reshape(-1, n, q))[:, 0]
        laplacians[rows] = (share @ model.kernels.laplacians(away).reshape(-1, n, q))[:, 0]
        pulls = model.kernels.gradients(away).reshape(len(rows), n, d * q)
        slopes[rows] = (share @ pulls)[:, 0].reshape(-1, d, q)
        weighted = (pulls * others[:, :, None]).reshape(len(rows), n * d, q)
        squares[rows] = weighted.transpose(0, 2, 1) @ weighted
    return values, slopes, laplacians, squares


def _square_sums(x: np.ndarray, w: np.ndarray, scale: float):
    """`paired_sums` of |z|²/scale², by the first two moments: O(n)."""
    others, squares = 1.0 - w, np.sum(x**2, axis=1)
    mean = (w @ x - w[:, None] * x) / others[:, None]
    second = (w @ squares - w * squares) / others
    values = (squares - 2.0 * np.sum(x * mean, axis=1) + second) / scale**2
    v = w**2
    counts, firsts = v.sum() - v, v @ x - v[:, None] * x
    same = counts * squares - 2.0 * np.sum(x * firsts, axis=1) + v @ squares - v * squares
    same = 4.0 / scale**4 * same / others**2
    slopes, laplacians = 2.0 / scale**2 * (x - mean), np.full(len(x), 2.0 * x.shape[1] / scale**2)
    return values[:, None], slopes[:, :, None], laplacians[:, None], same[:, None, None]


def _with_pairs(model: Model, x: np.ndarray, w: np.ndarray):
    m, q, d = model.potentials, model.interactions, x.shape[1]
    values, slopes, laplacians, squares = paired_sums(model, x, w)
    gram = np.empty((m + q, m + q))
    own = np.empty((len(x), d, 0)) if model.potential is None else model.potential.gradients(x)
    rows = len(x) * d
    flat = (own * w[:, None, None]).reshape(rows, m)
    gram[:m, :m] = flat.T @ own.reshape(rows, m)
    gram[:m, m:] = flat.T @ slopes.reshape(rows, q)
    gram[m:, :m] = gram[:m, m:].T
    # pairs of partners of a point, without a partner with itself
    shares = w[None, :] ** 2
    kept = (1.0 - w) ** 2 - (shares.sum() - w**2)
    same = ((1.0 - w) ** 2 / kept)[:, None, None]
    product = np.einsum("idq,idr->iqr", slopes, slopes)
    gram[m:, m:] = np.einsum("i,iqr->qr", w, same * (product - squares))
    energies = 0.5 * (w @ values)
    if model.potential is None:
        return Moments(energies, gram, w @ laplacians)
    return Moments(
        np.concatenate([w @ model.potential.values(x), energies]),
        gram,
        np.concatenate([w @ model.potential.laplacians(x), w @ laplacians]),
    )


def velocity(model: Model, coefficients: np.ndarray, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """−∇(V + W∗ρ) at the points `[n, d]` for the coefficients `[m + q]` of an interval."""
    m = model.potentials
    total = np.zeros_like(x)
    if model.potential is not None:
        block = max(1, ENTRIES // m)
        for first in range(0, len(x), block):
            part = slice(first, first + block)
            total[part] -= model.potential.slopes(x[part], coefficients[:m])
    if model.kernels is not None:
        total -= _pull(model, coefficients[m:], x, w)
    return total


def _pull(model: Model, coefficients: np.ndarray, x: np.ndarray, w: np.ndarray):
    n, d = x.shape
    if isinstance(model.kernels, EvenPowers) and model.interactions == 1:
        return coefficients[0] * _square_sums(x, w, model.kernels.scale)[1][:, :, 0]
    out = np.empty_like(x)
    block = max(1, ENTRIES // (n * d * model.interactions))
    for first in range(0, n, block):
        away = (x[first : first + block][:, None] - x[None]).reshape(-1, d)
        pulls = (model.kernels.gradients(away) @ coefficients).reshape(-1, n, d)
        shares = w / (1.0 - w[first : first + block])[:, None]  # a point does not pull itself: ∇ψ(0) = 0
        out[first : first + block] = np.einsum("rl,rld->rd", shares, pulls)
    return out
