"""Thresholds of transport from a density to points."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    gaussian_reach: float = 6.0  # standard deviations of a Gaussian to each side of its grid: 2e-9 is outside
    gaussian_cells: int = 256  # along an axis of that grid
    planes_at_once: int = 4096  # points whose highest plane is looked for together: memory
    far: float = 10.0  # of the box and the weights: where four helpers stand that make every cell bounded
    halvings: int = 40  # of Newton's step, which keeps every cell's mass positive
    filled: tuple = tuple(10.0**-k for k in range(1, 13))  # of uniform density mixed in beside vacuum
    shrinks: tuple = (0.9, 0.5, 0.2, 0.05)  # of the cloud about the density's centre, in turn


TOLERANCES = Tolerances()
