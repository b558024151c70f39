"""Thresholds of Newton's method for the Monge–Ampère equation of a step."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # The ladder of grids
    coarsest: tuple = (32, 32, 16)  # cells along the longest axis of the coarsest grid, by dimension
    medium: tuple = (128, 128, 32)  # cells along an axis up to which back-and-forth may begin
    coarse_gap: float = 0.3  # of W₂²/2τ: a coarse answer with a larger gap is no start for finer grids
    start_stretch: float = 1.25  # times τ, for which the start is made convex: I + 1.25 τ D²p ≥ 0
    ascent_pairs: tuple = (8, 12, 12, 24, 48)  # of the back-and-forth that begins a steep step
    ascent_margin: float = 0.05  # its margin round the support, of the box
    ascent_metric: float = 1.3  # its metric, that of the second of back-and-forth's own tries
    smoothing: int = 4  # binomial passes over its potential, whose second differences are noisy

    # The density and its tails, in log ρ
    far: float = 25.0  # of log ρ below its maximum all along a wall, e⁻²⁵ = 1e-11: mass there does not count
    deepest: float = 650.0  # of log ρ below its maximum, at most; underflow is no vacuum
    fade: float = 15.0  # of log ρ, over which corrections fade out in the tails
    dense: float = 14.0  # of log ρ_k below its maximum, where much compression is taken for what it is
    held: float = 24.0  # of log ρ′ below its maximum, from where on p only follows its neighbours
    follows: float = 16.0  # cells, over which it does

    # Newton's method
    smallest: float = 1e-300  # keeps quotients of densities finite where both are 0
    least_forcing: float = 1e-3  # of a Newton equation's residual, what conjugate gradients leave at least
    most_forcing: float = 0.1  # the same, at most: Newton's method still gains a digit an iteration
    largest_residual: float = 1e15  # in units of ρU″: its square fits single precision; no start has more
    stiffness_range: float = 1e20  # of ρU″, about that of the largest density
    bregman_near: float = 1e-4  # of a density: the Bregman distance of nearer ones is its second-order term
    stiffest: float = 100.0  # cells, over which a correction of a steep step reaches at most
    largest_field: float = 1.0  # of ρU″ at the maximum, the residual that a logarithmic row answers
    negative: float = -1e-3  # least eigenvalue of DS that rounding explains
    steep_halvings: int = 5  # of a steep step's correction
    steep_helps: float = 0.7  # times the gap, at most, after an iteration that is worth another
    steep_gap: float = 2e-4  # of W₂²/2τ, at which a steep step is left, τ's own error allowing
    iterate_mass: float = 1e-9  # fraction of the mass to which p is shifted at an iterate of a steep step
    own_error: float = 0.05  # of τ's own error in the velocity: a tenth moves a mean by 2.6 % of its shift
    second_order_gap: float = 1e-9  # of W₂²/2τ, for steps within one of second order: gaps add up

    # Rounding
    rounded: float = 4.0 * np.finfo(float).eps  # of |U′| + |V| + |p|: what one operation rounds
    sums: float = 16.0  # of such roundings in U′(ρ̂) + V − p, with the logarithm's interpolation
    nothing: float = 64.0 * np.finfo(float).eps  # of F: a gap below it is rounding of F
    energy_rounding: float = 64.0 * np.finfo(float).eps  # of F's summands: rounding of their sums

    # Which density is stored
    thin: float = 1e-8  # of the largest density, from where on U*′(p − V) is stored, not ρ̂
    apart: float = 0.25  # of ρ̂ + U*′: where they differ by more the map is no guide

    # What rejects a step, in favour of back-and-forth
    folded: float = 1e-4  # fraction of the mass, what may lie where the map folds
    defect: float = 0.02  # fraction of the mass, the most that the transported density may miss
    dissipated: float = 0.9  # of W₂²/2τ, what F must fall by: all but the differences' error
    fewest_cells: int = 8  # along an axis, below which fourth-order differences have no room
    least_density: float = 1e-100  # of the largest: beside smaller ones zeros are underflow, no vacuum


TOLERANCES = Tolerances()
