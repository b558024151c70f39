"""Thresholds of Wasserstein distances."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Pairs of measures
    same_mass: float = 1e-6  # of the mass, by which two measures may differ and count as of one mass
    same_box: float = 1e-9  # of its sides, by which two tori may differ: rounding of their ends
    reach: float = 7.0  # standard deviations of a Gaussian to each side of a grid: 3e-12 is outside
    cells: tuple = (1000, 160, 48)  # along an axis of the grid of two Gaussians, by dimension

    # On the line
    line_reach: float = 9.0  # standard deviations of a Gaussian to each side: 2e-19 is outside
    line_cells: int = 40_000  # of constant density, into which that is cut: 2e-8 of it in W₂
    turn: float = 1e-16  # of a turn, to which the best one on the circle is found: rounding of levels
    widening: float = 64.0  # of the bracket in which it is sought, outwards from no turn: 9 cover all of them
    thin_shells: int = 8  # into which a shell is cut, where the radius runs linearly in the mass: 1/64 of h²

    # Plans between atoms
    largest_plan: float = 4e7  # pairs, 320 MB
    simplex_iterations: int = 100_000_000  # of the network simplex: the limit at which POT would stop short
    pairs_at_once: float = 4e6  # of atoms, 32 MB
    sliver: float = 1e-14  # of the mass: what cumulative sums of weights leave between equal levels
    negligible: float = 1e-12  # of the largest cell: left out of a plan, where it weighs nothing
    atom_reach: float = 6.0  # standard deviations of a Gaussian to each side of the grid of its atoms

    # The entropic distance
    temperature: float = 2e-3  # of the total variance, ε unless it is given: a blur of some 4 % of the spread

    # The Hellinger–Kantorovich distance, by an interior point
    unbalanced_pairs: int = 4_000_000  # of points with mass: a minute, and a few matrices of 32 MB
    unbalanced_near: float = 1e-2  # of p/q from 1, where p log(p/q) − p + q is taken as a series
    unbalanced_rounding: float = 1e-6  # of the distance, that may be left open by rounding
    interior_iterations: int = 100  # of the interior-point method, 15 to 30 being usual
    boundary: float = 0.995  # of the way to the boundary of the cone that a step may go
    longest_step: float = 2.0  # of a potential: e^{−φ} is followed so far by its tangent
    nothing: float = 1e-13  # of the mass: a gap that is rounding


TOLERANCES = Tolerances()
