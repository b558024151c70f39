"""Thresholds of the functionals that check what is declared of them, or iterate."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # A cap
    quotient: float = 1e-12  # of a cap, by which quotients of masses and sizes err: so near, a cell is full

    # A declared convexity
    asked_points: int = 64  # at which a function of the place is checked, spread over those it is used at
    asked_densities: int = 257  # between 0 and the largest, at which a mobility is checked
    curvature: float = 1e-9  # of the largest curvature met: one above minus that is rounding
    least_log: float = -690.0  # of log π: below, densities and their ratios leave float64

    # Programs for points
    smallest: int = 16  # points that one is compiled for: for fewer a call costs no less
    large: int = 8192  # points from which on each size has its own: a third more costs more than it saves

    # The solution of U′(s) = p
    most_log: float = 350.0  # of a density, and minus it the least: squares stay finite
    rungs: int = 701  # densities at which U′ is known, half a power of e apart, where secants do well
    even: float = 1e-6  # of 1, by which rises of U′ differ where it goes like log s: their ratio has no root
    secants: int = 6  # from between rungs, each with 1.6 times the digits: what takes more is no smooth U′
    steep: float = 8.0  # times the slope from rung to rung: a steeper secant may lie across a jump
    narrow: float = 4.0  # powers of e, within which U′ is close enough to a line for a secant
    slow: float = 8.0  # times the bracket that halving at each third iteration leaves: more is halved
    of_logarithm: float = 1e-15  # of log s, or of 1: its rounding

    # Evaluation at points
    few_operations: int = 2**17  # on numbers: numpy does as many in half a millisecond
    few_passes: int = 16  # of a loop that is written out: a longer one is tens of operations times that

    # Sinkhorn's iterations
    between_looks: int = 5  # iterations between two looks at the marginals, as many as a rate is told from
    few_axes: int = 3  # up to which squares of distances are summed axis by axis within what reads them
    between_absorptions: int = 10  # blocks of iterations after which the scalings go into the potentials
    relaxation: float = 1.5  # of both scalings: some three times fewer iterations, once they converge
    slowly: float = 0.3  # of the error left by a block: relaxation is then too small, and is raised
    more_relaxed: float = 0.2  # of the way to 2, where it is raised: small steps do not overshoot the best
    most_relaxed: float = 1.8  # where a block leaves (1.8 − 1)⁵ = .33 of the error by relaxation itself
    settled: float = 0.1  # error of the marginals below which they are relaxed: before, it may diverge
    single_error: float = 1e-5  # of the marginals, down to which float32 iterates: its sums round to 1e-7
    single_share: float = 0.9  # of the tolerance, to which it goes: what float64 then finds is below it
    most_blocks: int = 4000  # of five iterations: small ε converge slowly; beyond, there is no answer


TOLERANCES = Tolerances()
