"""A grid on α₀ that the Brenier map bends."""

from __future__ import annotations

import numpy as np

from jko.films.theorem.numbers import Theorem
from jko.films.theorem.tolerances import TOLERANCES


class Mesh:
    """Lines of a square grid where α₀ has mass, and their images under T_s = (1 − s) id + sT."""

    def __init__(self, theorem: Theorem, sky, width: float = 1.0):
        self.lines = sky.lines(linewidths=width * sky.scale)
        starts, ends = _pieces(theorem)
        self.start = np.stack([starts, ends], axis=1)
        self.end = np.stack([theorem.grid_map(starts), theorem.grid_map(ends)], axis=1)

    def set(self, s: float, colour: tuple, alpha: float) -> None:
        """Bend the grid to s."""
        self.lines.set_segments((1.0 - s) * self.start + s * self.end)
        self.lines.set_color([colour])
        self.lines.set_alpha(alpha)


def _pieces(theorem: Theorem) -> tuple[np.ndarray, np.ndarray]:
    """Both ends `[k, 2]` of the short pieces of the lines that have mass at both."""
    grid, values = theorem.support.grid, theorem.support.values
    pieces = []
    for axis in (0, 1):
        across = np.arange(grid.lower[1 - axis], grid.upper[1 - axis], TOLERANCES.apart)
        along = np.arange(grid.lower[axis], grid.upper[axis], TOLERANCES.apart / TOLERANCES.pieces)
        line = np.stack(np.meshgrid(across, along, indexing="ij"), axis=-1)
        line = line if axis == 1 else line[..., ::-1]
        held = _at(values, grid, line) > TOLERANCES.held * values.max()
        both = held[:, :-1] & held[:, 1:]
        pieces.append((line[:, :-1][both], line[:, 1:][both]))
    return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])


def _at(values: np.ndarray, grid, x: np.ndarray) -> np.ndarray:
    index = [
        np.clip(((x[..., a] - grid.lower[a]) / grid.spacing[a]).astype(int), 0, grid.cells[a] - 1)
        for a in (0, 1)
    ]
    return values[index[0], index[1]]
