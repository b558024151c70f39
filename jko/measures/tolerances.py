"""Thresholds of measures on cells with edges of one's own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    directions: int = 5  # asked beside e₁: whatever is not radial differs in one of random ones
    alike: float = 1e-9  # of the largest value, that rounding makes of a radial function
    apart: float = 1e-12  # of a position: edges that are nearer are one to float64
    table_cells: int = 4096  # of which a table of a kernel takes 134 MB
    angles: int = 32  # of Gauss's rule over the sphere: a smooth W is exact to rounding long before
    agreed: float = 1e-6  # of W's range, by which rules of so many and of twice as many angles may differ


TOLERANCES = Tolerances()
