"""The interaction on a grid as a matrix, split into a convex and a concave part where the mass is fixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from functionals import pointwise
from jko.measures import fields

_MOST_CELLS = 4096
_MOST_COLUMNS = 256
_NOISE = 1e-12


@dataclass(frozen=True)
class PairEnergy:
    """½ aᵀWa of cell masses a of total mass M, as ½(āᵀWā) + (Wā)ᵀ(a − ā) + ½ aᵀ(W₊ − W₋)a, ā uniform.

    W₊ and W₋ are the positive and negative parts of PWP, P the projection on mean zero, where linear
    convexity is decided: the mass is fixed. `factor` B has ½|Bᵀa|² ≤ ½aᵀW₊a, with equality unless the
    spectrum is cut.
    """

    matrix: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    factor: np.ndarray | None
    exact_factor: bool
    convex: bool

    @classmethod
    def of(cls, grid, terms) -> PairEnergy:
        """The split of Σ c W for interaction terms (c, atom) on a grid."""
        matrix = sum(c * _kernel_matrix(grid, atom) for c, atom in terms)
        mean = matrix.mean(axis=0)
        projected = matrix - mean[:, None] - mean[None, :] + matrix.mean()
        values, vectors = np.linalg.eigh(0.5 * (projected + projected.T))
        scale = np.abs(values).max() + 1e-300
        up, down = values > _NOISE * scale, values < -_NOISE * scale
        positive = (vectors[:, up] * values[up]) @ vectors[:, up].T
        negative = (vectors[:, down] * -values[down]) @ vectors[:, down].T
        order = np.argsort(-values)[: min(int(up.sum()), _MOST_COLUMNS)]
        factor = vectors[:, order] * np.sqrt(values[order]) if order.size else None
        convex = not np.any(values < -1e-9 * scale)
        return cls(matrix, positive, negative, factor, order.size == up.sum(), convex)

    def energy(self, a) -> float:
        """½ aᵀWa."""
        return 0.5 * float(a @ (self.matrix @ a))

    def variation(self, a):
        """Wa, the first variation on the cells."""
        return self.matrix @ a


def _kernel_matrix(grid, atom) -> np.ndarray:
    """W at the pairs of cell centres, by the grid's own rule for singular kernels."""
    if grid.size > _MOST_CELLS:
        raise ValueError(
            f"functional: a convex step takes an interaction on up to {_MOST_CELLS} cells, got {grid.size}: "
            "take a coarser grid, or limits.FiniteVolume"
        )
    if atom.general:
        points = grid.points
        first, second = np.meshgrid(np.arange(grid.size), np.arange(grid.size), indexing="ij")
        d = grid.dimension
        pairs = np.concatenate([points[first.ravel()], points[second.ravel()]], axis=1)
        kernel = atom.symmetric_kernel
        return pointwise.values(_OfPairs(kernel, d), pairs).reshape(grid.size, grid.size)
    table = fields.kernel_table(grid, atom.W)
    index = np.stack(np.unravel_index(np.arange(grid.size), grid.cells))
    offsets = tuple(i[:, None] - i[None, :] + n - 1 for i, n in zip(index, grid.cells, strict=True))
    return table[offsets]


class _OfPairs:
    """A kernel of two points as a function of one point of twice the dimension."""

    def __init__(self, kernel, dimension):
        self.kernel, self.dimension = kernel, dimension

    def __call__(self, z):
        return self.kernel(z[: self.dimension], z[self.dimension :])
