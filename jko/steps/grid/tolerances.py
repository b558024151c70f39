"""Thresholds that the steps on grids share."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # What a problem is refused for
    largest_potential: float = 1e100  # of |V| in a cell: its squares stay within float64
    largest_density: float = 1e50  # 1 over it the least: fourth powers on faces stay within float64
    largest_single: float = 1e35  # the same where a preconditioner is in single precision
    farthest: float = 1e20  # of the box's squared length above τ, of h² below it: their quotients fit float32
    cap_excess: float = 1e-6  # fraction of the cap by which a density may exceed it, as Cap itself allows
    flat: float = 0.1  # of U″ at the largest density: less at a thousandth of it, and U* is stiff
    short_of_full: float = 1e-3  # of the cap: cells so near to it are full, gaps of steps leave a part of it
    wall_pressure: float = 1e200  # a pressure beyond it is that of a blocked cell

    # Grids and masses
    few_cells: int = 8  # along an axis, which are not halved any more
    empty: float = 1e-12  # of the largest density: emptier cells part a support into components
    exact_mass: float = 1e-13  # fraction of the mass to which a potential is shifted, near rounding
    mixed_fields: int = 4  # fields that Anderson's method mixes; more remember what is no longer true
    way_samples: float = 2.0  # points a cell on a straight way, so that no blocked cell is jumped over

    # Reflection, the second-order step
    folded: float = 0.1  # fraction of the mass where 2T − id folds: above, it is called no transport
    dense: float = 1e-3  # of the largest density, where folds are looked for
    lost: float = 1e-3  # fraction of the mass that a pull-back by a smooth potential may miss
    rim: int = 2  # cells round the support of ρ_k that the c-transform keeps
    smoothing: int = 4  # binomial passes over a potential, whose second differences are noisy
    smallest: float = 1e-300  # the density of empty cells to U′ and to logarithms
    deepest: float = 650.0  # of log ρ below its maximum, at most; underflow is no vacuum
    answered: float = 1.0  # of ρU″ at the maximum, the residual that a small correction answers
    whole_depth: float = 12.0  # of log ρ below its maximum, to where corrections of the pressure are whole
    fade_depth: float = 8.0  # of log ρ further down, over which they fade to none
    reduction: float = 1e-2  # of the residual, what multigrid leaves: one correction is not exact anyway

    # Sources
    moved: float = 0.01  # of the mass, that flows between cells in a step: with less a reaction is alone
    helped: float = 3.0  # of τ|ξ|/δ²: beyond, next to growth without bound, more slices only find more of it
    most_mass: float = 0.99  # of the mass, whose growth a step is judged by: thin tails die as they like
    emptied: float = 2e-15  # of the mean of both ends, by which a source that empties its cell may exceed it


TOLERANCES = Tolerances()
