"""Thresholds of the step by a cone program."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # When a step is closed
    floor: float = 0.1  # of F at the start, added to W₂²/2τ for steps that hardly move
    negligible: float = 3e-3  # of F at the start: a smaller W₂²/2τ sets no aim of its own

    # The interaction as a quadratic form
    most_cells: int = 4096  # whose matrix of pairs takes 128 MiB
    most_columns: int = 256  # eigenvectors of its convex part in the program; the rest is linearised
    matrix_noise: float = 1e-12  # of the largest eigenvalue: smaller ones are rounding and have no sign

    # Cells on the line
    tail: float = 1e-12  # fraction of the mass: a tail of less at either end is emptied
    few_cells: int = 16  # with mass, below which a step could not shape a density: they are cut
    nodes_per_cell: int = 4  # coefficients of the spline of V: its error is far below the cells' own
    unit_length: float = 0.1  # of the box, in which edges are counted: densities are about so wide

    # The bound on the line
    pressure_iterations: int = 60  # of Newton's method in log s for the density of a pressure, at most
    pressure_trust: float = 100.0  # times what presses at X: more is rounding, but for cells at a wall

    # The bound on a grid
    repairs: int = 6  # passes that raise a potential of an inner slice until the bound holds
    level_halvings: int = 200  # of a bracket of levels, more than floats have digits
    sweeps: int = 60  # of flows being cut to what cells hold; the last lets a cell give only what it had
    rounding: float = 1e-15  # of the largest cell, by which one may fall below 0


TOLERANCES = Tolerances()
