"""Thresholds of comparisons of runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # The measured rate of decay
    least_excess: float = 1e-3  # of the initial one: below, the discretisation's own minimum is in sight
    significant: float = 4.0  # standard errors of an estimated energy, which an excess must be above
    least_points: int = 4  # of a line fitted to log(F − F_min): two are its own, two tell of its error
    least_joint: int = 6  # of a fit with F_min unknown, which has three numbers of its own
    singular: float = 1e14  # condition number of that fit, beyond which rounding decides its errors
    most_unseen: float = 1.0 / 3.0  # of the drop seen: with more left to fall F_min is a guess

    # What runs are laid on
    cells: tuple = (400, 96, 32)  # along an axis of a grid for clouds and Gaussians, by dimension
    reference_cells: tuple = (1000, 128, 40)  # along an axis of the reference's grid, by dimension
    same_start: float = 0.02  # of the spread, by which moments may differ from an exact answer's
    line_times: int = 9  # common times looked at on the line
    times: int = 3  # the same in several dimensions, where a distance takes longer
    close_times: float = 1e-6  # of the smallest τ, within which two stored times are one
    same_mass: float = 1e-6  # of the mass, by which two measures may differ and count as of one mass
    rounding: float = 1e-12  # of the largest energy: what sums over many cells may let it rise by


TOLERANCES = Tolerances()
