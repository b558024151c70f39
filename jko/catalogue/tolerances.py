"""The thresholds of the matrix of functionals and engines."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tolerances:
    """How a cell is measured, and what a step may miss of a law."""

    finer: int = 4  # cells of the reference for one of the grid: its own error is a sixteenth of the grid's
    moved: dict[int, float] = field(default_factory=lambda: {1: 0.05, 2: 0.15})  # root mean square by which
    # a step moves mass, by dimension: 4/5 of a cell
    grown: float = 0.1  # by how much of itself mass may change where it changes the most
    slowest: float = 0.1  # of a speed, below which the time stays: a cap that holds nothing moves nothing
    still: float = 1e-5  # what a gap of 1e-9 of the energy may move where nothing pushes, √(2τ · 1e-9)
    mass: float = 1e-9  # of the mass: what rounding of a step, and its own tolerance, leave
    rise: float = 1e-9  # of the time times the squared speed, by which F of a step may be rounded upwards
    rates: float = 0.15  # of the largest rate: a step is as long as a cell, its own error some 1/10
    apart: dict[int, float] = field(default_factory=lambda: {1: 0.15, 2: 0.2})  # of how far mass moves:
    # two engines each err by some 1/10, in the plane on cells three times as long by somewhat more
    shorter: dict[int, tuple] = field(default_factory=lambda: {1: (4,), 2: (4, 12)})  # times, one after the
    # other where the step misses a law: a step errs by its own length, some need one of a cell
    deviations: float = 5.0  # of the noise: one draw in two millions lies beyond, of some hundred


TOLERANCES = Tolerances()
