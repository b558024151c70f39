"""Thresholds of derivatives of runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Steps on the line
    tight: float = 1e-10  # of a bound: a width so near to it is held by it, and does not move with the data
    closed: float = 1e-12  # of the line: a width below is that of two fronts that touch
    solved: float = 1e-14  # of the right side, the residual at which conjugate gradients end in float64
    line_iterations: int = 400  # of conjugate gradients on the line, at most
    touching: float = 1e-300  # of widths: keeps quotients of two empty cells finite

    # Steps of particles
    energy_rounding: float = 64.0  # units of a dtype's rounding of F: a rise below is none
    solved_single: float = 1e-7  # as `solved`, in float32
    particle_iterations: int = 500  # of conjugate gradients for the derivative of an implicit step


TOLERANCES = Tolerances()
