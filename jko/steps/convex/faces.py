"""Cells and faces of a grid as sparse operators, and flows between cells that keep a density non-negative."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_SWEEPS = 60
_ROUNDING = 1e-15


@dataclass(frozen=True)
class Faces:
    """The interior faces of a grid: no mass crosses the boundary of the box.

    `divergence` D `[cells, faces]`, +1 for the cell that a positive flow leaves and −1 for the one that it
    enters; `mean` S `[faces, cells]`, the average of the two cells; `spacing` `[faces]`; `slices` K;
    `volume` |c|.
    """

    divergence: object
    mean: object
    spacing: np.ndarray
    slices: int
    volume: float

    @classmethod
    def of(cls, grid, slices: int) -> Faces:
        """The faces of a grid, axis by axis."""
        import scipy.sparse as sp

        blocks = []
        for axis, n in enumerate(grid.cells):
            difference = sp.diags_array([np.ones(n - 1), -np.ones(n - 1)], offsets=[0, -1], shape=(n, n - 1))
            for m in reversed(grid.cells[:axis]):
                difference = sp.kron(sp.eye_array(m), difference)
            for m in grid.cells[axis + 1 :]:
                difference = sp.kron(difference, sp.eye_array(m))
            blocks.append(difference)
        divergence = sp.csc_array(sp.hstack(blocks))
        spacing = np.concatenate([np.full(b.shape[1], h) for b, h in zip(blocks, grid.spacing, strict=True)])
        return cls(divergence, sp.csr_array(0.5 * abs(divergence).T), spacing, slices, grid.cell_volume)

    @cached_property
    def _ends(self):
        return sp_parts(self.divergence)

    def gradient(self, potential):
        """Dᵀφ, the potential at the cell that a flow leaves minus that where it arrives."""
        return self.divergence.T @ potential

    def speed_term(self, potential, action):
        """w = ½Sᵀ(Dᵀφ)²/(4G), with |c|G = action the weight of v²/θ on the faces."""
        return 0.5 * (self.mean.T @ (self.gradient(potential) ** 2 * (self.volume / (4.0 * action))))

    def advance(self, r, v):
        """r − Dv."""
        return r - self.divergence @ v

    def theta(self, before, after):
        """The density on the faces during a slice."""
        return self.mean @ (0.5 * (before + after))

    def limited(self, r, v):
        """v with flows scaled down where they would take more than a cell holds and receives."""
        leaves, enters = self._ends
        least = -_ROUNDING * r.max()
        for sweep in range(_SWEEPS):
            if np.all(self.advance(r, v) >= least):
                return v
            forward, backward = np.maximum(v, 0.0), np.maximum(-v, 0.0)
            out = leaves @ forward + enters @ backward
            held = r + (enters @ forward + leaves @ backward if sweep < _SWEEPS - 1 else 0.0)
            keep = held / np.maximum(out, 1e-300)
            keep = np.where(out > held, keep, 1.0)
            v = (leaves.T @ keep) * forward - (enters.T @ keep) * backward
        return v

    def admissible(self, start, flows, action, slope):
        """Densities r⁰ … r^K ≥ 0 and flows with r^k = r^{k−1} − Dv^k exactly, near the flows of a solver.

        `slope` bounds 2G|v|/θ, |c|G = action: a face that carries more than its density allows is solver
        noise in a vacuum and is cut down. Returns (densities, flows).
        """
        densities, kept = [start], []
        for v in flows:
            r = densities[-1]
            for sweep in range(_SWEEPS):
                v = self.limited(r, v)
                theta = self.theta(r, np.maximum(self.advance(r, v), 0.0))
                most = slope * theta * (self.volume / (2.0 * action))
                bad = np.abs(v) > most * (1.0 + 1e-9)
                if not bad.any():
                    break
                v = np.where(bad, np.sign(v) * most if sweep < _SWEEPS // 2 else 0.0, v)
            densities.append(np.maximum(self.advance(r, v), 0.0))
            kept.append(v)
        return densities, kept

    def cost(self, densities, flows, action) -> float:
        """Σ action v²/θ over slices and faces: W₂²/2τ of the discrete step, which these flows realise."""
        total = 0.0
        for k, v in enumerate(flows):
            theta = self.theta(densities[k], densities[k + 1])
            total += float(np.sum(action * np.divide(v * v, theta, out=np.zeros_like(v), where=theta > 0.0)))
        return total


def sp_parts(divergence):
    """The positive part of D and that of −D."""
    positive, negative = divergence.copy(), divergence.copy()
    positive.data, negative.data = np.maximum(positive.data, 0.0), np.maximum(-negative.data, 0.0)
    positive.eliminate_zeros()
    negative.eliminate_zeros()
    return positive.tocsr(), negative.tocsr()
