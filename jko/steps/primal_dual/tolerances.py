"""Thresholds of the primal–dual step by flows through faces."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # When the iteration is certified and ends
    first_check: int = 10  # iterations before the first certificate, and between two at least
    as_last: float = 0.8  # of the last step's iterations, before the first certificate: few steps need less
    longest_wait: int = 100  # iterations between certificates, so that no step misses its gap by a whole tail
    wait_share: float = 0.5  # of the iterations so far, until the next certificate at most: one costs twenty
    at_rest: float = 1e-2  # times the tolerance: the share of what unbalanced forces would gain that is rest
    rested: float = 0.1  # of the gap that is enough: from a start with less nothing is sought
    stays: int = 2  # steps in turn that found no better place than the start, after which enough is enough
    own_error: float = 0.1  # of the gap of τ's own error: as measured, W₂ of a run is then within 2 %
    of_time_error: float = 0.02  # of τ's own error in F, where the metric is not W₂: a tenth, as measured
    strictest: float = 1e-3  # times the tolerance, where τ itself costs nothing: below it are tails
    strives: float = 5.0  # times the iterations to the tolerance itself, for less: it may be a slow tail
    rounding: float = 1e-14  # of W₂²/2τ and of F's summands: what sums over cells leave of a gap
    cap_excess: float = 1e-6  # fraction of the cap by which a density may exceed it, as Cap itself allows

    # The weights of flows, θ and densities
    weights: tuple = (1.0, 1.0, 2.0, 1.0)  # times the units of the problem's own scales; the last of sources
    patience: int = 20  # iterations with these before they are changed at all
    balance: int = 5  # iterations between changes of the weights
    settling: float = 10.0  # changes after which their size falls: their product stays bounded
    most_change: float = 4.0  # times a weight at once
    least_weight: float = 0.25  # of those, carried to the next step: from less, tails of a collapse drift

    block: int = 256  # faces that a loop takes at once: what is between their passes stays in the next cache

    # Newton's method for the potential, where alternating directions are slow
    before_newton: int = 500  # iterations before it, which cost what it does; on a line it starts at once
    newton_unknowns: int = 66000  # of one slice, by K² with K: with more a factorisation takes over a second
    proximal: float = 1e-2  # of the stiffness of the problem's own scales: the weight of the first update
    proximal_fall: float = 0.25  # of the weight from one update to the next: each is a start for the next
    thinnest: float = 1e-6  # of the largest density, below which thinner cells are not held more firmly
    newton_steps: int = 10  # between two updates, which need no exact maximiser
    newton_settled: float = 0.1  # of what has moved, and of all mass: what a step may still gain and miss
    newton_beyond: float = 0.01  # of the gap that is enough: a step or two more, each of which squares it
    newton_updates: int = 30  # of the densities at most: more than any problem tried has needed
    armijo: float = 1e-4  # of the gain that the slope promises, which a shortened step has to reach
    shortest: float = 1e-9  # of a Newton step: below it the value's own rounding decides
    ridge: float = 1e-10  # of the Hessian's diagonal, added to it: cells without mass have none
    least_ridge: float = 1e-14  # of its largest entry, added as well: for cells without any
    damped_below: float = 0.1  # of a Newton step: where less is taken, more of that entry is added
    damping: float = 100.0  # times what is added, up to that entry, and back after each full step

    # Starts and boxes
    coarsest_cells: int = 12  # along an axis, below which it is not halved
    coarse_iterations: int = 120  # on a halved grid, which is only a start
    coarse_residual: float = 1e-3  # of the densities, enough for a start of the next grid
    left_out: float = 1e-6  # of the mass may lie outside of the box: the certificate is of the whole grid
    box_block: int = 16  # cells: sides of a box are multiples, which halve well, and no wall is nearer to it
    largest_box: float = 0.7  # of the grid: a larger box saves nothing
    margin: int = 4  # cells beside what the forces say that mass needs; the certificate decides
    least_share: float = 1e-3  # of a move with an interaction that is tried: shorter ones gain nothing
    prox_iterations: int = 100  # of Newton's method for the prox of a general U; most cells need five
    prox_settled: float = 1e-14  # of a density, its last change in that method
    sample: int = 64  # cells whose median halves those in which the level of a mass without energy is sought
    level_sweeps: int = 8  # of the levels of several species, by Newton's method or along all and each
    level_settled: float = 1e-10  # of what fields vary by: the bound is flat in the levels at the best ones
    level_first: float = 1e-4  # of what fields vary by, the first step of a search: iterates are near
    level_halvings: int = 6  # of a step of the levels, until it raises the bound
    level_newton: int = 15  # iterations for the pressure of a cell: another one only lowers the bound
    level_fold: float = 3.0  # powers of e that such an iteration changes a density by, at most

    # The certificate: an admissible path, and a bound
    sweeps: int = 400  # visits a cell on average while flows are cut down; most paths need a few
    steepest: float = 4.0  # times the largest drop of the potential: a face with more carries solver noise
    cut_rounds: int = 8  # of cuts for the cap and for positivity in turn, with inner slices
    path_excess: float = 1e-12  # fraction of the cap by which rounding may exceed it
    flow_excess: float = 1e-9  # of what a face's density can carry: a flow of more is cut
    attempts: int = 20  # at flows that the density on their faces can carry; each cuts what the last left
    flow_noise: float = 1e-16  # of the largest density: smaller flows are rounding
    next_to_nothing: float = 1e-3  # of the largest density: with less no mass to speak of starts in a cell
    residue: float = 1e-2  # of the largest density: so little among as little says nothing of its potential
    neighbourhood: int = 5  # cells along each axis, over which a residue is alone
    polishes: int = 12  # passes that lower the potential where next to no mass starts
    polished: float = 0.03  # of what they have gained: a pass that gains less ends them, each gains an eighth
    matches: int = 3  # passes that take the slack off inner slices, each about a fifth of what the last left
    repairs: int = 6  # passes that raise a potential of an inner slice until the bound holds
    brink: float = 1e-3  # off −3α, at which a potential of an inner slice leaves none to the slice before
    shifts: int = 8  # of the whole potential after them: one does, but for rounding


TOLERANCES = Tolerances()
