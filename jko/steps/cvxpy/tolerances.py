"""Thresholds of the step by a cone program."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # When a step is closed
    floor: float = 0.1  # of F at the start, added to W₂²/2τ for steps that hardly move
    negligible: float = 3e-3  # of F at the start: a smaller W₂²/2τ sets no aim of its own
    rounding_of_sums: float = 1e-14  # of the largest summand: what float64 may hide in a difference
    cap_excess: float = 1e-6  # fraction of the cap by which a density may exceed it, as Cap itself allows
    least_share: float = 1e-6  # of a move on a grid: where none so short lowers the value, none does
    shift: float = 1e-9  # of the largest diagonal of a form ≥ 0, below which its least eigenvalue is sought
    touch: float = 1e-12  # of the largest density: where a gradient energy's tangent touches a vacuum
    least_line_share: float = 1e-8  # the same on the line, where cells that close allow shorter moves alone

    # The interaction as a quadratic form
    most_cells: int = 4096  # whose matrix of pairs takes 128 MiB
    most_columns: int = 256  # eigenvectors of its convex part in the program; the rest is linearised
    matrix_noise: float = 1e-12  # of the largest eigenvalue: smaller ones are rounding and have no sign
    concave: float = -1e-9  # of the largest eigenvalue: a matrix with none below it counts as convex

    # Cells on the line
    tail: float = 1e-12  # fraction of the mass: a tail of less at either end is emptied
    dust: float = 1e-15  # fraction of the mass: a cell of less is emptied
    light: float = 1e-7  # fraction of the mass: shells of less weigh as little as a solver's last digits
    full: float = 1e-9  # of the cap of an energy: cells as near push more than edges can tell
    few_cells: int = 16  # with mass, below which a step could not shape a density: they are cut
    most_nodes: int = 100_000  # cells for the spline of V where edges of one's own are narrow somewhere
    nodes_per_cell: int = 4  # coefficients of the spline of V: its error is far below the cells' own
    quadratic: float = 1e-9  # of V″: what it may vary by and V count as quadratic, and the program as exact
    least_width: float = 1e-14  # of the box, of a cell that a solver has closed
    unit_length: float = 0.1  # of the box, in which edges are counted: densities are about so wide

    # The bound on the line
    pressure_iterations: int = 60  # of Newton's method in log s for the density of a pressure, at most
    pressure_trust: float = 100.0  # times what presses at X: more is rounding, but for cells at a wall
    pressure_settled: float = 1e-13  # of log s, the last change of that method


TOLERANCES = Tolerances()
