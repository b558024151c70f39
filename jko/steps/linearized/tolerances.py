"""Thresholds of the step of W₂ linearised at the new density."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Newton's method
    vacuum: float = 1e-5  # of the largest value: what U*″ and ρ are raised to where there is vacuum
    smallest: float = 1e-290  # the density of an empty cell to an entropy, whose logarithm is finite
    least_forcing: float = 1e-3  # of a Newton equation's residual, what conjugate gradients leave at least
    most_forcing: float = 0.1  # the same, at most: Newton's method still gains a digit an iteration
    rise: float = 2.0  # of log ρ in one iteration, at most: e² is as far as the tangent is to be trusted
    rounding: float = 1e-15  # of F's summands: a gap below it is none
    direct_work: float = 1e6  # cells times bandwidth²: below, elimination is quicker than multigrid
    diagonal_range: float = 1e12  # of ρ over the zeroth-order coefficient, up and down, to the preconditioner
    coarsest: tuple = (64, 32, 16)  # cells along the longest axis of the coarsest grid, by dimension

    # Newton's method in log ρ
    path_iterations: int = 300  # 10 to 40 being usual, 120 with V over 300 temperatures
    path_cells: int = 40_000  # beyond these its eliminations take seconds each, and a step minutes
    stride: float = 3.0  # of log ρ along the path in one iteration: 6 came to no end on a rough torus
    near: float = 1.0  # of log ρ in the balance's correction: above, that is made before V is moved on

    # The step
    attempts: tuple = ((1e-9, True), (1e-6, True), (1e-6, False))  # ρ_k raised to, of its maximum; nested?
    accepted: float = 100.0  # times the tolerance, the most that counts as converged
    rest: float = 1e-12  # of F's summands: a gap below it counts as none, the flow being at rest
    reflected_least: float = 0.25  # of the half step's density, what a reflection leaves in a cell
    straight: float = 1e-6  # of how far ρ moved: more that positivity bends tells of rough data


TOLERANCES = Tolerances()
