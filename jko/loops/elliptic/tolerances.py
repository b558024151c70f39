"""Thresholds of multigrid."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    lowest_damped: float = 0.4  # of the Jacobi-scaled operator's spectrum, the least that the smoother damps
    highest_damped: float = 2.0  # of that spectrum, its upper bound
    coarsest: int = 4  # cells along the longest axis of the coarsest grid
    local: float = 0.05  # a level whose coefficients all sum to less is solved by its smoother
    last_degree: int = 8  # of the smoother's polynomial on the coarsest grid, where it solves


TOLERANCES = Tolerances()
