"""Thresholds of entropic transport and Schrödinger bridges."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Scaling
    mixed: int = 6  # iterates that Anderson's method mixes
    start_mixing: float = 0.5  # of the mass, the L1 error below which iterates are worth mixing
    largest_exponent: float = 600.0  # exponents above are as good as infinite, and e⁶⁰⁰ overflows no sum
    coarsest: int = 16  # cells along the longest axis of the coarsest grid
    coarse_temperature: float = 1.0  # times h², at least, on coarse grids: colder kernels join no cells
    temperature_fall: float = 4.0  # of the temperature, from one to the next for clouds
    rough: float = 1e-2  # the L1 error that is good enough to start the next temperature
    finest: float = 0.05  # of h²: for a smaller ε e^{−h²/ε} leaves neighbouring cells without each other
    self_tolerance: float = 0.1  # times the tolerance, for a measure with itself, which converges fast

    # Newton's method on clouds
    few_pairs: float = 3e6  # of points, for which it has the memory and time
    before_newton: int = 40  # rounds of scaling, after which it takes over
    first_radius: float = 1.0  # of a step in g: no entry of the plan changes by more than a factor e²
    shrink: float = 0.25  # times the radius, where the quadratic model is poor
    grow: float = 2.0  # times the radius, where it is good
    poor: float = 0.25  # of the rise that the model predicts: with less it is poor
    good: float = 0.75  # of the rise that the model predicts: with more it is good
    least_shift: float = 1e-12  # multiple of ν on the Hessian's diagonal: what rounding of it needs
    shift_more: float = 10.0  # times the multiple, from one tried to the next
    shift_less: float = 0.01  # times the multiple, from a step to the next
    rounding: float = 1e-13  # of J: a predicted rise below it is not seen in J, and the error decides

    # Plans and bridges
    largest_plan: float = 4e7  # pairs, 320 MB
    nearly_one: float = 1e-9  # of the bridge's time: nearer to an end there are atoms and no density
    pairs_at_once: int = 2_000_000  # of points and cells: 16 MB an array
    lost: float = 0.1  # of the mass: a marginal that misses more is none
    most_intervals: int = 12  # of 21 times each, for the dynamic cost, and as many halved again


TOLERANCES = Tolerances()
