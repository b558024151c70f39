"""Between a density on a circle and edges that carry its mass, lifted to the line: `remap` by periods."""

from __future__ import annotations

import numpy as np

from jko.measures import Density, Grid
from jko.transport.grids.remap import cell_averages, mass_between, point_values
from jko.transport.grids.tolerances import TOLERANCES


def length_of(grid: Grid) -> float:
    """L of a periodic grid of one dimension."""
    return grid.upper[0] - grid.lower[0]


def masses_round(values: np.ndarray, grid: Grid) -> np.ndarray:
    """The masses `[n]` of the cells round a circle, from point values to fourth order."""
    pad = TOLERANCES.seam_cells
    return cell_averages(np.pad(values, pad, mode="wrap"))[pad:-pad] * grid.spacing[0]


def between_round(edges: np.ndarray, masses: np.ndarray, faces: np.ndarray, length: float) -> np.ndarray:
    """`remap.mass_between` of edges `[n+1]` that span a length or less, and repeat after it: no end of
    them is the border of a run but where they leave a gap."""
    if edges[-1] < edges[0] + length:
        edges, masses = np.append(edges, edges[0] + length), np.append(masses, 0.0)
    turns = np.arange(np.floor((faces[0] - edges[0]) / length) - 1.0, (faces[-1] - edges[0]) / length + 1.0)
    ends = np.append((edges[:-1] + length * turns[:, None]).ravel(), edges[0] + length * (turns[-1] + 1.0))
    return mass_between(np.maximum.accumulate(ends), np.tile(masses, turns.size), faces)


def remap_round(edges: np.ndarray, masses: np.ndarray, grid: Grid) -> Density:
    """The density on a circle of the mass between edges, as of `remap.remap`."""
    pad = TOLERANCES.seam_cells
    faces = grid.lower[0] + grid.spacing[0] * np.arange(-pad, grid.size + pad + 1.0)
    averages = between_round(edges, masses, faces, length_of(grid)) / grid.spacing[0]
    return grid.density(point_values(averages)[pad:-pad])
