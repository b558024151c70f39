"""The exchanges of a dynamic step as matrices, in which a conic program is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jko.steps.primal_dual.exchange import Source
from jko.steps.primal_dual.newton import face_matrices


@dataclass(frozen=True)
class FaceMatrices:
    """The cells of a `DynamicProblem` that are no walls, and its open faces, axis by axis, numbered.

    `divergence` D `[cells, faces]`, +1 for the cell that a positive flow leaves and −1 for the one that it
    enters; `mean` S `[faces, cells]`, the average of the two cells; `spacing` `[faces]`; `slices` K;
    `volume` |c|. With a `length` δ each cell has one more face, to the outside, through which mass is made:
    its density is the cell's own, its spacing δ. `crowding` κ is that of the mobility M = θ − κθ².
    """

    exchanges: list
    opened: list
    divergence: Any
    mean: Any
    spacing: np.ndarray
    slices: int
    volume: float
    length: float | None = None
    crowding: float = 0.0

    @classmethod
    def of(cls, problem: Any) -> FaceMatrices:
        """Those of a dynamic problem of one species."""
        import scipy.sparse as sp

        held, drops, means = np.flatnonzero(problem.grid.inside), [], []
        opened = [np.flatnonzero(~exchange.closed) for exchange in problem.exchanges]
        for exchange, numbers in zip(problem.exchanges, opened, strict=True):
            if isinstance(exchange, Source):
                own = sp.eye_array(held.size, format="csr")
                drop, mean = -own, own
            else:
                drop, mean = (matrix[numbers][:, held] for matrix in face_matrices(exchange, problem.shape))
            drops.append(drop)
            means.append(mean)
        spacing = [np.full(o.size, e.length) for o, e in zip(opened, problem.exchanges, strict=True)]
        return cls(
            problem.exchanges,
            opened,
            sp.csc_array(sp.vstack(drops).T),
            sp.csr_array(sp.vstack(means)),
            np.concatenate(spacing),
            problem.slices,
            problem.grid.cell_volume,
            problem.length,
            problem.crowding,
        )

    @property
    def outside(self) -> slice:
        """The places of the sources."""
        cells, faces = self.divergence.shape
        return slice(faces if self.length is None else faces - cells, None)

    def flows(self, v: np.ndarray) -> list:
        """Flows `[faces]` as those of the exchanges."""
        out = [exchange.zeros() for exchange in self.exchanges]
        parts = np.split(v, np.cumsum([numbers.size for numbers in self.opened])[:-1])
        for flow, numbers, part in zip(out, self.opened, parts, strict=True):
            flow.flat[numbers] = part
        return out

    def weights(self, actions: list) -> np.ndarray:
        """|c|α `[faces]` of the α of the exchanges."""
        parts = [
            np.broadcast_to(action, exchange.closed.shape).flat[numbers]
            for action, exchange, numbers in zip(actions, self.exchanges, self.opened, strict=True)
        ]
        return self.volume * np.concatenate(parts)
