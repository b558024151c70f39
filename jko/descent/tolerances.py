"""Thresholds of the particle schemes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Newton's method for an implicit step
    sufficient_decrease: float = 1e-4  # of the slope, by which the objective must fall: Armijo's usual share
    halvings: int = 30  # of a step; 2⁻³⁰ is where the objective cannot tell it from none
    least_curvature: float = 1e-3  # of I + τD²V in absolute value, where the step folds: below, steps run off
    objective_rounding: float = 1e-10  # of the largest objective: below, sums of many terms hide a decrease
    largest_own: int = 32  # coordinates of particles that each solve their own equation: matrices of 8 kB
    own_block: int = 4096  # particles whose second derivatives are taken at once, for memory
    few_products: int = 12  # conjugate gradients about as dear as a factorisation, which is tried after them
    largest_dense: int = 2000  # coordinates whose Jacobian an implicit Runge–Kutta method factorises: 32 MB

    # Stability of explicit steps
    energy_rounding: int = 64  # units of a dtype's rounding of F, above which F rose
    resolved: float = 1000.0  # spacings of a dtype that a cloud must be wide
    curvature_sample: int = 2_000  # particles over which the curvature of V is averaged
    curvature_entries: int = 4_194_304  # second derivatives held at once, 2²²: 32 MiB
    curvature_targets: int = 128  # particles over which that of W is averaged
    curvature_sources: int = 1024  # particles whose W is summed at those
    curvature_pairs: int = 8_388_608  # of particles and of points that a potential sums over, 2²³
    remeasured_steps: int = 10  # between two estimates of the curvature of blobs, which drifts slowly
    curvature_safety: float = 1.25  # times that estimate: what it may grow by until the next
    stein_sample: int = 2000  # particles over which SVGD's limit is taken: its sums go over all pairs
    far: float = 8.0  # standard deviations of several steps' noise: a particle beyond is looked at again

    # The bandwidth of blobs
    bandwidth_rows: int = 500  # particles at which the estimate is asked
    bandwidth_columns: int = 2_000  # particles that it is made of
    bandwidth_pairs: int = 8_388_608  # of both at most, 2²³: 64 MiB
    most_own: float = 0.5  # of the density at a particle: with more its blob is more than its neighbours'
    worth_a_note: float = 0.05  # of a variance: a smaller bias of the bandwidth is not told

    # Sums over particles
    worth_the_host: int = 32_768  # numbers that a potential computes, 2¹⁵: half a millisecond of work
    sum_tolerance: float = 1e-9  # of the largest value: densities far out are small
    difference: float = 1e-3  # of a bandwidth, over which gradients are differenced
    largest_mesh: int = 4_194_304  # points of a mesh for blobs, 2²²: beyond, sums over pairs are taken

    # Estimated entropies
    high_dimension: int = 7  # from which on a tree of neighbours prunes nothing
    high_dimension_sample: int = 2_000  # particles that are then looked at, all pairs of them

    # Populations that are born and die
    drift: float = 0.25  # of a particle's mass: a changing population further off takes another number
    most_growth: float = 50.0  # of log w in a step: beyond, one particle is all that is left


TOLERANCES = Tolerances()
