"""Thresholds of the finite volumes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # A step, halved until structure holds
    fixed_point_rounds: int = 14  # of the moving part of Ψ at (ρ + ρ′)/2
    slowest: float = 0.5  # factor by which each round must lessen the change: else a shorter step is quicker
    fixed_point: float = 1e-7  # of the largest density, its last change at (ρ + ρ′)/2
    mass: float = 2e-14  # fraction of the mass that rounding may change in a step
    energy_rounding: float = 1e-14  # of F's summands: a rise of F by less is rounding
    stays: float = 1e-6  # of the largest density: F falls by its square, which is rounding
    singular_floor: float = 1e-12  # of the mean density, added where a field is infinite in empty cells
    frozen: float = 2.0**-8  # of the step: from here Ψ may be that of the start, if two values disagree on it
    shortest: float = 2.0**-70  # of the step: none is shorter
    most_tries: int = 4000  # substeps tried for one step, of which half a minute is a few
    foreseen_tries: int = 200  # after which a step that would need more than those is given up
    streak: int = 4  # substeps that pass before a longer one is tried
    cached_plans: int = 8  # pairs of τ and order whose sweeps are kept: wrappers take few lengths

    # Substeps by what the drift carries in one, in cells
    upwind_substeps: int = 400  # of explicit transport; what would need more is taken implicitly
    crowd_share: float = 0.5  # of a cell that the slope of Ψ takes away, up to which the fluxes keep ρ ≥ 0
    crowd_substeps: int = 400  # as many; beyond, the constraint ρ ≥ 0 acts
    capped_rounds: int = 12  # solves with M at the last ρ′, 2 to 5 being usual
    capped_settled: float = 1e-3  # of the largest density, the change by the last: far below τ's own error
    capped_share: float = 1.0  # of a cell that the slope of Ψ takes away: M, iterated, follows that far
    capped_substeps: int = 50  # on all axes together, each a sparse solve
    carried: float = 0.7  # cells that −∂ξ carries mass in a substep on a line: M, iterated, follows that far
    mobility_settled: float = 1e-9  # of the largest density, its last change in the iteration of M
    line_substeps: int = 100  # that follow mass cell by cell; later ones follow how cells change
    settled: float = 1e-3  # of a cell's own mass, what its equation with M(ρ′) may leave: far below τ's error
    lost: float = 1e-12  # of a line's mass, beyond which it is not spread over basins that do not touch
    level_rounding: float = 4e-15  # of the sizes of p and Ψ, a difference of ξ over a face that is rounding
    upwind_iterations: int = 60  # of Newton's method, 5 to 20 being usual
    full_touch: float = 1e-20  # of what the faces of a full cell let through: holds p on a line that is full
    upwind_halvings: int = 12  # of its step, until the sum of the remainders falls
    upwind_settled: float = 1e-13  # of the largest density, a remainder that is rounding
    held: float = 1e-6  # of the largest density: where less is held, drift asks for no substeps

    # Newton's method on lines and grids
    newton_floor: float = 1e-6  # of a line's mean, where it starts: an empty cell has p = −∞ if U′(0) is
    tail_floor: float = 1e-12  # the same where no cell is empty: tails of a solution need not fall anew
    stalled_iterations: int = 15  # without a hundredth gained on the worst line
    dual_rounding: float = 1e-13  # of the dual value: a rise by less is rounding, and the step is taken
    line_touch: float = 1e-9  # of what the faces of a cell let through, over n²: holds a free constant
    accepted: float = 1e4  # times a residual of 1e-13: mass is made exact and the energy is checked
    capped_iterations: int = 40  # 4 to 8 being usual
    capped_halvings: int = 6  # of a substep that Newton's method does not solve
    negligible: float = 1e-18  # U″ times what the faces carry: below, a cell's p answers to its own ρ alone
    grid_touch: float = 1e-14  # of the diagonal: holds the constant of a pressure that no free cell fixes
    nothing: float = 1e-280  # a diagonal below belongs to a cell that nothing enters or leaves

    # Energies of gradients, all cells together
    coupled_iterations: int = 40  # of Newton's method, 3 to 6 being usual
    coupled_stall: int = 8  # of them in a row that do not halve the residual, before a shorter step is tried
    coupled_halvings: int = 5  # of its step, until the residual falls
    steepest: float = 3.0  # ratio of densities over a face up to which M is their mean, where mass flows up

    flat: float = 1e-12  # of the steepest ξ: flatter faces have its |∂ξ|^{q−2}, which is 0 or ∞ at 0

    # Edges of a matrix metric, whose length ℓ costs a mode of length L (2πℓ/L)²/12 of its rate
    long_edge: float = 0.1  # of an axis, 3 % of the rate of a mode as long: a note says so beyond
    longest_edge: float = 0.25  # of an axis, 20 %, and no expansion in ℓ/L holds any more: refused beyond
    edge_rounding: float = 1e-6  # of a cell, by which a longer edge is more than a face; and of A at a seam
    seam_jumps: float = 3.0  # of A's largest step between neighbours: more across a seam is no period

    # Crowd motion
    crowd_margin: int = 8  # cells round a crowd that are looked at: it comes one further in a substep
    crowd_halvings: int = 8  # of a substep whose sets of full and empty cells do not settle
    crowd_patience: int = 10  # rounds, 2 to 5 being usual, until a turning face carries the mean of its sides
    crowd_rounding: float = 1e-12  # of the densities and of the pressures, whose signs decide the sets

    # Diffusion by exponential fluxes
    kept: float = 1e-3  # of a positive first-order density, what fluxes of second order leave

    # Reactions
    growth: float = 0.125  # of log ρ, or of its rate, in the first substep; later ones follow the error
    growth_error: float = 1e-6  # of ρ, the local error of order 3: what order 4 leaves is a tenth of it
    growth_substeps: int = 10_000  # tried in half a step: logistic growth takes 30 to 120 to any τ


TOLERANCES = Tolerances()
