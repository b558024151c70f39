"""Thresholds of the step in Lagrangian form on the line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # When Newton's method on the edges ends
    rounding: float = 1e-14  # fraction of J's summands that rounding may hide: a gap below it is closed
    decrement_cost: float = 1e-6  # of W₂²/2τ, half a squared decrement: with more the gap is not asked yet
    decrement_rounding: float = 1e-12  # of J's summands, which such a decrement may have beside that
    still: float = 1e-15  # fraction of J's summands: a cost W₂²/2τ below it is rounding, nothing moved
    nothing_to_gain: float = 1e-24  # fraction of J's summands: a step that gains less is not taken any more
    stalled_iterations: int = 25  # in which J falls by less than the gap asked for: it will not close
    unbounded_iterations: int = 100  # Newton steps on open cells before the slower active set is tried
    few_iterations: int = 8  # the same where no energy holds cells open: enough while none closes
    mass: float = 1e-9  # fraction of the mass that may change on the way to the grid and back
    unresolved: float = 0.5  # cells: two densities nearer than a face is to its centres are one to the grid

    # Its direction
    convexified: float = 0.9  # fraction of 1/τ that concave V may take of the Hessian, which stays positive
    least_move: float = 1e-8  # fraction of the largest move: what moves less has its weight, where p ≠ 2
    near_wanted: float = 0.1  # of a cell's largest move: nearer to what is wanted the Hessian is taken, p < 2
    stiffenings: int = 8  # rounds that stiffen cells which a direction would empty; each settles some of them
    active_set_rounds: int = 60  # changes of the set of cells at their bounds within one direction

    centre: float = 1e-12  # fraction of the last radius: a smaller hole round the centre of shells is none
    fixed: float = 1e150  # the stiffness of that centre, beside which any other is nothing

    # Its line search
    sufficient_decrease: float = 1e-4  # fraction of the slope by which J must fall: Armijo's usual one
    search_noise: float = 1e-13  # of J's summands: a rise by less is rounding, and the step is taken
    halvings: int = 40  # of a straight step; 2⁻⁴⁰ is where J cannot tell it from none
    bendings: int = 24  # halvings along the arc of nearest admissible edges before the straight step is tried
    cap_bendings: int = 30  # the same under a cap, where no straight step stands behind it
    given_up: float = 0.9  # fraction of its width that an open cell may lose in one step: it never closes
    kept_width: float = 0.1  # the rest, for arcs: fraction of its width that an open cell keeps in one step
    pooled: float = 1e-15  # of the walls' positions: what the mean of equal edges may round them by
    short: float = 0.5  # fraction of a direction: shorter steps are bent round the cells that hold them up

    # Round a circle
    vacuum: float = 1e-150  # fraction of the largest value: less is a gap, as `transport.cut` has it
    seam_jump: float = 1e-9  # fraction of V's range: a larger jump where the ends meet is no rounding
    kink_probe: float = 1e-6  # of half a turn: so near to 0 the slope of a smooth W is as small a part
    kink_slope: float = 1e-5  # fraction of the steepest slope of W, above that: a kink where ends meet

    # When a cell counts as at its bound
    tight: float = 1e-12  # fraction of the bound itself, which rounding of widths exceeds by less
    tight_point: float = 1e-15  # fraction of the line, for bounds of 0
    cap_tight: float = 1e-11  # fraction of the cell's mass, a difference of two integrals of the cap
    cap_tight_point: float = 1e-14  # fraction of all that the cap can hold, for empty cells
    least_cap: float = 1e-6  # fraction of the largest cap: less is an obstacle, which is refused

    # The interaction as passes over a convex model
    model_near: float = 0.1  # of √n: κ, by which neighbours keep apart; π²/8 suits waves of two cells
    most_passes: int = 120  # of the model at most, five times the patience with a stall
    pass_memory: int = 12  # passes mixed by Anderson's method
    dependent: float = 1e-10  # of the largest singular value: past passes that differ by less are one
    stalled_passes: int = 24  # without a fall of J, twice the memory: what was mixed has been replaced wholly
    pair_rounding: float = 1e-12  # fraction of J's summands: pair sums come from tables as good as that
    pass_stiffenings: int = 6  # fourfold, of the model's curvature, before passes are given up
    pass_tolerance: float = 0.1  # fraction of the tolerance for one pass; the lag between passes has the rest
    least_width: float = 0.5  # fraction of a width, below which a cell shrinks as 1/x, never to nothing

    # Repulsion by quasi-Newton steps
    repulsion_steps: int = 40  # at most; light tails beside heavy fronts hold it up, and it ends early
    repulsion_memory: int = 10  # pairs of step and turn remembered, as limited-memory BFGS usually does
    repulsion_halvings: int = 8  # of a step; a shorter one says that the memory is wrong
    forgotten: float = 0.2  # fraction of a direction: after a shorter step the memory is dropped
    pole_spacing: float = 2.5  # of the logarithms of the poles of x^θ: the integral is good to 1e-5
    below_poles: float = 1e-3  # times the least value that counts: the poles begin there
    above_poles: float = 30.0  # times the largest value that counts: the poles end there

    # Pair sums and the table of W
    sums_kept: int = 3  # pair sums remembered: a step begins with the cells where the last one ended
    curvature_cells: int = 128  # along the support for W″ ∗ ρ, which only a model needs
    table_powers: tuple = (12, 17)  # intervals of the coarsest and the finest table of W, as powers of two
    table_error: float = 1e-12  # fraction of max |W| between entries: a table as good is not refined
    least_slope: float = 1e-9  # of max |W′|: a slope at 0 below it is no kink of |z|
    smooth_error: float = 1e-10  # fraction of W's range that 16 Chebyshev terms may miss: W is smooth there
    length_halvings: int = 8  # of a third of the grid, down to the shortest length that is called smooth

    # Potentials and internal energies
    curvature_nodes: int = 4096  # for secants of V: closer ones would divide rounding of V by too small an h²
    thinnest: float = 1e-150  # density below which s² U″ would leave float64
    averaging_nodes: int = 4  # a cell: averages reach half a cell, less than constant cells resolve
    kink: float = 0.6  # of the second differences beside: V″ misses more at a kink, less where it jumps
    least_kink: float = 1e-6  # fraction of the steepest slope of V: a smaller change of slope is no kink

    # Cells: joined, feathered, cut
    negligible: tuple = ((1e-12, 0.05), (1e-5, 1e-4))  # of mean mass, of h: cells below both join
    driven: float = 1e12  # times the mean sU″: a cell with more weighs nothing beside its pressure, and joins
    weightless: float = 1e-12  # of the mean cell mass, the most mass of a cell that joins for that
    feather_ratio: float = 1.7  # between masses of cells beside vacuum; 1.5 gains 0.3 % more energy
    feathers: int = 60  # such cells, to 1.5e-14 of one: there lives fast diffusion's gain at τ = 1e-8
    most_feathers: int = 512  # in all, or as many as the grid has cells: they may double the cost of a step
    torn: float = 2.0  # times its width at the start, and wider than the grid's cells: a cell has been torn
    torn_parts: int = 8  # parts at most that a torn cell is cut into, by how many grid cells it covers
    least_part: float = 1e-6  # fraction of the mean cell mass, down to which torn cells are cut
    torn_rounds: int = 2  # of cutting in one step: to 1/64 of a torn cell's mass
    touching: float = 1e-4  # fraction of the width of the cells beside a gap: narrower ones are closed

    # The duality gap among all densities
    saturated: float = 1e-6  # fraction of the cap, as Cap allows: a nearer density counts as at it
    light: float = 1e-6  # fraction of the mean cell mass: lighter cells are ignored, being on their way
    point_width: float = 1e-9  # of the grid's mean spacing: cells that are points count as so wide
    level_doublings: int = 200  # of a step from 1e-3 of the forces' spread: more than any level is away

    # The second start, from a convex program on the grid
    proved: float = 1e-3  # fraction of W₂²/2τ: a gap below it needs no second start
    certain: float = 1e-6  # fraction of W₂²/2τ: a gap that proves a step, stationary or not
    second_starts: int = 8  # where cells feel each other, each lower than the last: two or three do
    mixtures: int = 4  # by halves of the way to the step in a fixed field, which goes too far where W repels
    same_value: float = 1e-12  # fraction of J's summands by which the second point must be lower to be taken
    open_width: float = 1e-9  # of the grid's spacing: the least width of a cell from a rough step
    rough_cells: int = 4096  # of the rough step, at most: it is only a start
    phases: int = 11  # of barrier and smoothing: 0.25¹¹ ends at 2e-7 of their first size
    phase_fall: float = 0.25  # of barrier and smoothing from phase to phase
    least_blur: float = 1e-5  # of the smoothing, which begins at 0.1
    phase_iterations: int = 30  # Newton steps in a phase at most
    phase_decrement: float = 0.1  # fraction of the barrier: the half squared decrement that ends a phase
    inside: float = 0.95  # of the way to the nearest bound: the barrier stays finite
    overshot: float = 0.3  # fraction of the first slope: more of the opposite sign halves the step
    rough_halvings: int = 30  # of such a step


TOLERANCES = Tolerances()
