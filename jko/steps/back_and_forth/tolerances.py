"""Thresholds of the dual ascent by back-and-forth."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # The ascent
    loose_mass: float = 1e-4  # fraction of the mass to which φ is shifted while it still changes
    exact_mass: float = 1e-13  # fraction of the mass to which the answer is shifted, near rounding
    stray: float = 0.02  # fraction of the mass: growth of the residual that front noise explains
    renew: int = 8  # iterations between evaluations of the preconditioner's constant, which drifts slowly
    allowance: float = 4.0  # times max U*″/ρ, for the term that the √ρ metric leaves out
    metric_floor: float = 1e-4  # of the largest density: below it the metric is that of a uniform density
    start_floor: float = 1e-10  # of the largest density: what a start is raised to where U′(0) = −∞
    cautions: tuple = (0.65, 1.3, 2.6)  # multiples of the metric, in turn; not the first if U* is stiff

    # Its domain
    rim_full_support: int = 2  # cells kept round the support: few where U* is steep in vacuum
    rim: int = 6  # cells kept round the support elsewhere, over which a front may move
    blocked_potential: float = 1e300  # V in a blocked cell, finite so that no difference of it is NaN
    continued_layers: int = 2  # of blocked cells into which φ goes on, for differences beside them
    shared_cells: int = 65536  # cells from which a second thread earns its start

    # The ladder of grids
    coarsest: tuple = (32, 32, 16)  # cells along the longest axis of the coarsest grid, by dimension
    boxing_cells: int = 48  # along the longest axis: from then on a coarse answer says where the mass goes
    worthwhile_box: float = 0.8  # fraction of the cells: a larger box saves nothing

    # Pairs of ascent steps on each grid, finest first, by dimension; on the line they cost little
    pairs: tuple = ((8, 8, 12, 24, 48), (2, 6, 12, 24, 48), (2, 6, 12, 24, 48))  # of ψ and φ
    extra_pairs: int = 8  # pairs in a round of more on the given grid
    helps: float = 0.97  # times the gap, at most, after a round of more pairs that is worth another
    aim: float = 0.1  # fraction of h²/8τ, the grid's own bias in the gap, below which nothing is left to gain
    enough: float = 0.5  # fraction of h²/8τ, above which other step sizes are tried
    near: float = 1e-3  # of W₂²/2τ, above which they are on the line: it may be off by twice the root

    # Which density is taken
    poor: float = 2.0  # times the defect of ρ̂ = T_#ρ_k: a larger gap of ρ′ has it compared with ρ̂
    better: float = 0.5  # times its gap, below which ρ̂'s gap makes ρ̂ the answer
    mixing_halvings: int = 10  # of the share of ρ′ mixed into ρ_k where F + W₂²/2τ would rise

    # Passes of an interaction
    lag: float = 2.0  # times an ascent's own gap: what the lag of its field may bring it to
    settled_gap: float = 1e-3  # fraction of W₂²/2τ: a gap that no further pass is made for
    stalled_passes: int = 6  # without a better one
    least_share: float = 1e-2  # of the way from a field to its image: with less the passes are given up

    # What fails a step
    mass: float = 1e-8  # fraction of the mass that may change
    rounding: float = 64.0 * np.finfo(float).eps  # of F's summands: rounding of their sums
    still: float = 0.125  # cells: mass that moves and spreads by less is lost in the grid's error
    huge: float = 0.1  # of W₂²/2τ: no converged step has a larger gap, whatever the grid's own error
    floor: float = 1e-8  # fraction of F's summands: gaps below it count as none


TOLERANCES = Tolerances()
