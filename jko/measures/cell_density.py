"""What densities on the cells of a grid have in common, whatever the cells are."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np

from jko.measures.measure import Measure


class CellDensity(Measure):
    """A density ρ ≥ 0 by its values `[*cells]` in the cells of a grid; mass Σ ρ_c|c|.

    What depends on the kind of cells the grid answers: `is_uniform`, `is_radial`, `volume_within`. A subclass
    is made of a grid and values.
    """

    grid: Any
    values: np.ndarray

    @property
    def dimension(self) -> int:  # type: ignore[override]
        """The dimension d of the space."""
        return self.grid.dimension

    @property
    def points(self):
        return self.grid.points

    @property
    def masses(self):
        return self.values.reshape(-1) * self.grid.cell_volume

    @cached_property
    def mass(self) -> float:
        """Σ ρ_c|c|."""
        return float(self.masses.sum())

    def with_values(self, values: np.ndarray) -> Self:
        """Another density on the same grid."""
        return type(self)(self.grid, values)  # type: ignore[call-arg]

    def normalized(self) -> Self:
        """The density divided by its mass."""
        return self.with_values(self.values / self.mass)

    def packed(self):
        return {"values": self.values}

    def unpacked(self, arrays: dict):
        return self.with_values(arrays["values"])

    @property
    def layout(self):
        return (self.grid,)

    @property
    def extent(self):
        return np.array(self.grid.lower), np.array(self.grid.upper)

    def density_values(self):
        return self.values

    def __repr__(self) -> str:
        return f"{type(self).__name__} on {self.grid!r}"
