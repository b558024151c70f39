"""Thresholds of the entropic step by scaling."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # The temperature
    blur: float = 1.5  # cells: √ε unless ε is given, the least whose Gaussian the cells resolve well
    least_blur: float = 0.7  # cells: √ε below which samples of the Gaussian are no quadrature
    turns: float = 16.0  # √ε to a turn, beyond which only the nearest image counts: e^{−32}

    # A room
    most_cells: int = 4096  # whose matrix of ways takes 128 MiB
    wall_rounds: int = 60  # of the fixed point for u, at most; each halves what is left
    wall_settled: float = 1e-9  # of log u, its last change

    # Scaling
    mixed: int = 8  # iterates that Anderson's method mixes
    start_mixing: float = 0.5  # of the mass, the marginals' mismatch below which iterates are worth mixing
    largest_exponent: float = 600.0  # e⁶⁰⁰ is as good as infinite and its square does not overflow a sum
    coarsest: int = 16  # cells along the longest axis of the coarsest grid
    coarsest_turning: int = 32  # the same with a periodic axis, round which the Gaussian must fit
    unsolved: float = 0.1  # of the mass: marginals so far apart are no answer, nor a start for the next

    # The proximal step of the energy, in log ρ
    prox_rounds: int = 200  # of Newton's method at most, in log ρ and the multiplier of the mass
    prox_fall: float = 5.0  # the most that log ρ falls in a round where U′(0) = −∞
    prox_settled: float = 1e-10  # of log ρ, its last change
    prox_mass: float = 1e-13  # fraction of the mass, near rounding
    lowest_log: float = -690.0  # of log ρ: e⁻⁶⁹⁰ is near the least float with all digits
    mass_counts: float = 0.03  # of log ρ: its change below which its mass is looked at
    far_off: float = 0.2  # of log mass: off by more, the multiplier's side is sure and brackets it
    empty: float = 1e-200  # fraction of the mass: with less found Newton's rate for the mass means nothing

    # The certificate
    self_rounds: int = 30  # of the symmetric iteration for the cost of staying, at most
    self_settled: float = 1e-8  # of that cost: what a further round would still add
    certificate_mass: float = 1e-12  # fraction of the mass to which a bound's pressure is shifted
    balanced: float = 0.01  # of what unbalanced forces would gain: as far may F rise by the bias
    rounding: float = 1e-9  # of α times the mass and of |F|: rounding of sums of logarithms


TOLERANCES = Tolerances()
