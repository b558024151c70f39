"""Thresholds of derivatives of runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Steps on the line
    tight: float = 1e-10  # of a bound: a width so near to it is held by it, and does not move with the data
    closed: float = 1e-12  # of the line: a width below is that of two fronts that touch
    solved: float = 1e-14  # of the right side, the residual at which conjugate gradients end in float64
    line_iterations: int = 400  # of conjugate gradients on the line, at most
    touching: float = 1e-300  # of widths: keeps quotients of two empty cells finite

    # Steps of particles
    energy_rounding: float = 64.0  # units of a dtype's rounding of F: a rise below is none
    solved_single: float = 1e-7  # as `solved`, in float32
    particle_iterations: int = 500  # of conjugate gradients for the derivative of an implicit step

    path: int = 2**28  # bytes of a run's positions and slopes, a quarter of 1 GB: densities take as much
    path_block: int = 64  # steps of one program: its call costs less than they do, also of small clouds

    # Steps on grids
    solved_grid: float = 1e-8  # of the right side, where Krylov methods end: so much do gradients err
    enough: float = 1e-7  # of the right side: above it an adjoint equation is solved by elimination
    enough_single: float = 1e-5  # the same for particles in float32, a hundred roundings
    refused: float = 1e-4  # of the right side: a gradient that is wrong by more than that is no gradient
    inner: float = 1e-3  # of the residual: single precision and the differences leave more than that
    inner_iterations: int = 3  # of conjugate gradients with a V-cycle, cheaper than three of GMRES
    restart: int = 40  # iterations that GMRES remembers: with a V-cycle it needs ten
    rounds: int = 5  # restarts: an equation not solved by then goes to elimination
    reach: int = 2  # cells as far as the equations of a step couple along an axis
    apart: float = 1e-6  # of the mass: farther from the stored density, the equation is not the step's
    empty: float = 1e-12  # of the largest density: below, a step's p is continued, and solves no equation
    told: float = 1e-11  # of the largest density: below, a derivative by ρ_k is that of a continuation, and 0
    sharp_gap: float = 1e-15  # of W₂²/2τ: where a potential counts as that of the stored density
    metric_floor: float = 1e-4  # of the largest density: below it a residual weighs no more
    folded: float = 1e-2  # least eigenvalue of DS: what an ascent leaves folded weighs no more
    polished: float = 1e-14  # of W₂²/2τ: the gap of a polished ascent, its velocity is off by 1e-7 of itself
    polish: int = 3  # Newton iterations towards it, each of which doubles the digits


TOLERANCES = Tolerances()
