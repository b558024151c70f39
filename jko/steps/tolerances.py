"""Thresholds of the steps that take others: adaptive, of second order, chosen; and of Fisher–Rao."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Adaptive lengths
    safety: float = 0.9  # times the length that the error estimate allows, as is usual
    shrink: float = 0.2  # times the last length, at least: one estimate is not to end a run
    grow: float = 4.0  # times the last length, at most, for the same reason
    least_fall: float = 1.2  # factor by which a rejected error must fall when its step shrinks, or it stalls
    stalls: int = 2  # in a row, after which the error is the grid's and shorter steps do not help
    crumb: float = 1e-12  # of τ: a rest of less is none

    # Second order, by reflection
    starting_steps: int = 2  # from given data that may have to be plain: given data may be rough
    plain_pieces: int = 3  # of a plain step at the start, whose error of first order they divide by three
    rounding: float = 1e-13  # of F and of W₂²/2τ: what rounding of sums over cells may let F rise by
    bent: float = 0.1  # of the density, by which 2T − id made a transport map may differ from itself

    # The choice of a step
    few_cells: int = 4096  # which a convex program takes in seconds

    # The Fisher–Rao step, cell by cell
    cell_iterations: int = 60  # of Newton's method, 5 being usual; cells that need more are bisected
    longest_step: float = 4.0  # of log ρ in one of them: the prox may leave ρ by orders of magnitude
    settled: float = 4e-16  # of |log ρ| + 1, its last change
    mixed_fields: int = 5  # iterates that the self-consistent field is mixed from
    level_iterations: int = 60  # of Newton's method for the multiplier of the mass, 4 being usual
    level_mass: float = 1e-15  # fraction of the mass that the multiplier may miss
    level_settled: float = 1e-16  # of the multiplier, its last change
    smallest: float = 1e-290  # densities below, whose 1/ρ is no float, are bisected


TOLERANCES = Tolerances()
