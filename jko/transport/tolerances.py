"""Thresholds of the choice of a method, of maps between clouds, and of curves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # The choice of a method
    open_gap: float = 0.02  # of W₂², the gap from which another method is tried beside back-and-forth
    rounding: float = 1e-12  # of the variance: a gap below it is rounding of equal measures
    exact_cells: int = 90_000  # of a grid, up to which that other method is tried: 300 × 300
    most_points: int = 4000  # of a cloud, up to which a density is transported to it by power cells

    # Maps and their convexity
    checked_pairs: float = 4e6  # of points, tried for convexity of a potential: 2000 points
    map_rounding: float = 1e-9  # of the range of x·y: what rounding may cost convexity
    planes_at_once: int = 4_000_000  # pairs of points and planes, 32 MB

    # Curves between measures
    sliver: float = 1e-13  # of the mass, or of the grid: an interval that only rounding makes
    thin_pair: float = 1e-6  # of both its points: what an interior point leaves on pairs that are not joined
    largest_product: float = 4e6  # points of a product coupling of two clouds
    mode_cells: tuple = (400, 96, 32)  # along an axis of the grid on which a cloud's modes are counted
    mode_margin: float = 0.25  # of the cloud's width, round it on that grid: room for the kernel's tails

    # Envelopes
    largest_convolution: float = 1e10  # pairs of cells of an infimal convolution, each looked at once


TOLERANCES = Tolerances()
