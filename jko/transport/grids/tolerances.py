"""Thresholds of transport between densities on grids."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Back-and-forth
    coarsest: tuple = (64, 32, 12)  # cells along the longest axis of the coarsest grid, by dimension
    tiny: int = 8  # cells along an axis, which are not halved any more
    rounds: tuple = (8, 12, 16, 24)  # at most, on the given grid, the next coarser, …
    still: float = 2e-6  # of ½W₂², what a round must gain for another; times fine per coarse cell
    fell: float = 1e-5  # of the dual value: what noise may cost a round
    step: float = 0.5  # of the correction at first, whose linear model overshoots at fronts
    shortest_step: float = 1e-3  # of the correction, after rounds that lost
    mobility: float = 0.1  # of the largest density, the mobility of a vacuum in the first rounds
    ease: float = 0.25  # by which that falls after a round that gained
    least_mobility: float = 1e-4  # of the largest density, to which it falls
    gap_mobility: float = 1e-5  # the same where the gap is measured, which is to see vacuum as it is
    screen: float = 1e-4  # of the least mobility over the box's diagonal squared: fixes φ's constant
    stretch: tuple = (0.05, 20.0)  # of 1 − ∂²φ, between which the gap believes it: φ has kinks
    kept_pairs: int = 4  # of densities whose potentials are remembered, as several questions ask for them

    # Newton's method on a torus
    least_positive: float = 1e-8  # of the largest density: one that falls below is taken by back-and-forth
    newton: float = 1e-11  # in L²(μ) of log μ: rounding of second differences is a hundredth of that
    newton_coarse: float = 1e-3  # the same on coarser grids and on the way, where a start is wanted
    newton_enough: float = 1e-8  # in L²(μ) of log μ, where rounding lets no step gain any more
    newton_gap: float = 1e-3  # of ½W₂²: above, where T has layers of a cell, the lesser gap counts
    newton_iterations: int = 60  # on one grid: some ten are needed, and forty from afar at high contrast
    newton_shortest: float = 1e-2  # of a step: one that gains nothing by then goes a part of the way first
    newton_share: float = 1e-2  # of that way, at least
    newton_shrinks: float = 0.1  # by which a step may lower the least eigenvalue of DT, which stays positive
    newton_basis: int = 20  # directions of GMRES a step
    newton_cycles: int = 4  # V-cycles before each of them, which leave the mixed derivatives
    forcing: float = 1e-2  # of the residual, what GMRES leaves of it: each step is that good near the end
    difference: float = 1e-7  # of h², the root of rounding: how far derivatives look along a direction

    inverse: float = 1e-10  # of a cell, to which x + t∇φ(x) = z is solved for x
    inverse_iterations: int = 40  # of Newton's method for it, of which five are needed
    inverse_halvings: int = 8  # of its steps, a point each

    # The box of both densities
    empty: float = 1e-10  # of the largest density: tails below it do not widen the box, and are left out
    margin: float = 0.06  # of the box's width, and two cells
    alike: float = 1e-9  # of the spacing, by which grids of one spacing may differ: rounding

    # Maps
    open_gap: float = 0.05  # of W₂², beside h², the gap above which there is no map to speak of
    checked_cells: int = 2000  # whose pairs are tried for convexity, 4 million of them
    checked_density: float = 1e-3  # of the largest density, which those cells hold at least
    folded: float = 1e-2  # of its range, by which u may fail to be convex: splines of it, and cells at jumps
    geodesic_rim: int = 3  # cells that a grid is widened by for a geodesic's potential

    # Cells of a line
    vacuum: float = 1e-280  # of the largest density: below it a quotient of masses leaves float64
    seam_cells: int = 6  # beyond either end of a circle: the stencils of averages and point values reach 4
    grading: float = 0.25  # power of the density by which graded cells are dense
    even: float = 1.0 / 3.0  # of the cells, which are spread evenly: no gap is left to a few
    most_runs: int = 100  # pieces of a support, from which its cells are left as they are
    tail: float = 1e-12  # of the mass at either end, which is given few cells
    tail_cells: int = 20  # cells for such an end, at most
    tail_share: float = 0.04  # of all cells for such an end, at most


TOLERANCES = Tolerances()
