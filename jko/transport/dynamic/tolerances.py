"""Thresholds of dynamic transport."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    coarsest: int = 24  # cells along the longest axis: grids of twice as many are halved
    fewest_times: int = 4  # steps in time on coarse grids
    unit_of_length: float = 2.0  # in lower bounds of W₂: how time is weighed against space in the projection
    sigma: float = 16.0  # dual step, its inverse the primal one, for scaled data: together at their limit
    relaxation: float = 1.8  # of the saddle's iteration, below its limit 2
    check: int = 10  # iterations between looks at the value
    still: float = 1e-2  # of the mass: values below are of measures that do not move
    largest_program: int = 40_000  # cells of space-time, beyond which a cone program is too much
    empty: float = 1e-9  # of the largest density, below which there is no velocity
    vacuum: float = 1e-14  # of the largest density: a face below it carries nothing


TOLERANCES = Tolerances()
