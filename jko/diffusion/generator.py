"""Jumps between the cells of a grid: the generator of a Markov chain, its fluxes and implicit steps."""

from __future__ import annotations

import numpy as np

from jko.loops.elliptic.factors import factored
from jko.loops.grids.selling import decompose
from jko.measures import Grid


class CellChain:
    """Mass moving along edges from cell i to cell j at rates `right`, and back at rates `left`.

    (Qu)ᵢ gathers the fluxes right·uᵢ − left·uⱼ: columns sum to zero, entries off the diagonal are ≥ 0, so
    that (I − sQ)⁻¹ is a positive matrix which keeps Σu, for any s ≥ 0.
    """

    def __init__(
        self,
        size: int,
        i: np.ndarray,
        j: np.ndarray,
        right: np.ndarray,
        left: np.ndarray,
        excess: np.ndarray | None = None,
    ):
        self.size, self.i, self.j, self.right, self.left = size, i, j, right, left
        self.excess = np.zeros(size) if excess is None else excess
        self._factors = {}

    def flux(self, u: np.ndarray):
        """right·uᵢ − left·uⱼ on every edge."""
        return self.right * u[self.i] - self.left * u[self.j]

    def gathered(self, flux: np.ndarray):
        """What flows into each cell."""
        out = np.bincount(self.i, flux, self.size)
        return np.bincount(self.j, flux, self.size) - out

    def solve(self, length: float, u: np.ndarray):
        """(I − length·Q)⁻¹u, factored once for each length."""
        from scipy.sparse import coo_array

        if length not in self._factors:
            i, j, cells = self.i, self.j, np.arange(self.size)
            leaving = np.bincount(i, self.right, self.size) + np.bincount(j, self.left, self.size)
            data = np.concatenate([1.0 + length * leaving, -length * self.right, -length * self.left])
            where = np.concatenate([cells, j, i]), np.concatenate([cells, i, j])
            matrix = coo_array((data, where), shape=(self.size, self.size)).tocsc()
            # column sums are ≥ 1 with one positive entry: the diagonal pivots are safe
            self._factors[length] = factored(
                matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            )
        return self._factors[length].solve(u)


def generator(grid: Grid, drift: np.ndarray, covariance: np.ndarray) -> CellChain:
    """The chain whose law solves the Fokker–Planck equation to second order in h, d = 1, 2.

    With D = Σₑ λₑ e eᵀ over a few offsets e of the grid and λₑ ≥ 0, a jump by ±e has the rate ½λₑ B(∓qₑ),
    qₑ = 2e·D⁻¹f, B(x) = x/(eˣ − 1): exponentially fitted along every offset [ScharfetterGummel1969,
    BonnansZidani2003]. No derivative of D is taken, the rates being those of the cell that is left; `drift`
    `[n, d]` and `covariance` `[n, d, d]` are given at the centres. Along an offset the jumps carry the noise
    λₑ (q/2) coth(q/2), q = qₑ, which is too much where the drift outruns it: `.excess` is by how much of D,
    at every cell, in the direction where it is most.
    """
    h = np.array(grid.spacing)
    offsets, weights = decompose(covariance / np.outer(h, h))
    pull = np.linalg.solve(covariance, drift[..., None])[..., 0]
    index = np.arange(grid.size).reshape(grid.cells)
    edges, excess = [], np.zeros_like(covariance)
    for e in np.unique(offsets.reshape(-1, grid.dimension), axis=0):
        strength = np.sum(weights * np.all(offsets == e, axis=2), axis=1)
        i, j = _pairs(index, e)
        used = (strength[i] > 0) | (strength[j] > 0)
        i, j = i[used], j[used]
        q = (pull[i] + pull[j]) @ (e * h)
        pulled = np.abs(pull @ (e * h))
        excess += (strength * _excess(2.0 * pulled))[:, None, None] * np.outer(e * h, e * h)
        edges.append((i, j, 0.5 * strength[i] * _bernoulli(-q), 0.5 * strength[j] * _bernoulli(q)))
    parts = (np.concatenate(part) for part in zip(*edges, strict=True))
    return CellChain(grid.size, *parts, excess=_largest(covariance, excess))


def centred(grid: Grid, drift: np.ndarray, covariance: np.ndarray) -> CellChain:
    """The drift by centred fluxes along the axes, of order h² whatever the noise; rates may be negative."""
    still = generator(grid, np.zeros_like(drift), covariance)
    index = np.arange(grid.size).reshape(grid.cells)
    parts = [(still.i, still.j, still.right, still.left)]
    for axis, (e, h) in enumerate(zip(np.eye(grid.dimension, dtype=int), grid.spacing, strict=True)):
        i, j = _pairs(index, e)
        parts.append((i, j, 0.5 * drift[i, axis] / h, -0.5 * drift[j, axis] / h))
    return CellChain(grid.size, *(np.concatenate(part) for part in zip(*parts, strict=True)))


def upwind(grid: Grid, drift: np.ndarray, covariance: np.ndarray) -> CellChain:
    """The drift alone, from each cell to the next ones that it points to: of order h, positive."""
    index = np.arange(grid.size).reshape(grid.cells)
    parts = []
    for axis, (e, h) in enumerate(zip(np.eye(grid.dimension, dtype=int), grid.spacing, strict=True)):
        i, j = _pairs(index, e)
        # the speed at the face, by which the chain's mean moves as the drift says to second order
        speed = 0.5 * (drift[i, axis] + drift[j, axis]) / h
        parts.append((i, j, np.maximum(speed, 0.0), np.maximum(-speed, 0.0)))
    return CellChain(grid.size, *(np.concatenate(part) for part in zip(*parts, strict=True)))


def _excess(q: np.ndarray):
    """(q/2) coth(q/2) − 1."""
    safe = np.maximum(0.5 * q, 1e-3)
    return np.where(q > 2e-3, safe / np.tanh(safe) - 1.0, q**2 / 12.0)


def _largest(covariance: np.ndarray, excess: np.ndarray):
    """The largest eigenvalue of D⁻¹E, at every cell."""
    root = np.linalg.cholesky(covariance)
    half = np.linalg.solve(root, excess)
    return np.linalg.eigvalsh(np.linalg.solve(root, half.transpose(0, 2, 1)))[:, -1]


def _pairs(index: np.ndarray, e: np.ndarray):
    start = tuple(slice(max(0, -k), min(n, n - k)) for k, n in zip(e, index.shape, strict=True))
    end = tuple(slice(max(0, k), min(n, n + k)) for k, n in zip(e, index.shape, strict=True))
    return index[start].ravel(), index[end].ravel()


def _bernoulli(x: np.ndarray):
    magnitude = np.minimum(np.abs(x), 700.0)
    safe = np.where(magnitude > 1e-5, magnitude, 1.0)
    small = np.where(magnitude > 1e-5, safe / np.expm1(safe), 1.0 - 0.5 * magnitude)
    return np.where(x > 0, small, small + np.abs(x))
