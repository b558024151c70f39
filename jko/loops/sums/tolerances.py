"""Thresholds of sums of Gaussians on grids and meshes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Kernel entries held at once
    block_entries: int = 524_288  # of a sum over pairs, 2¹⁹: 4 MiB, about a second-level cache

    # Meshes for blobs
    room: float = 1.5  # times the cloud's extent, so that it may move without a new program
    least_mesh: int = 4096  # points: smaller meshes cost no less
    chunk: int = 4096  # particles spread at a time: memory

    # Logarithms of Gaussian sums along a line
    lowest: float = 1e-250  # a sum above this has lost nothing to underflow
    largest_exponent: float = 600.0  # in the table, whose e⁶⁰⁰ and its inverse are floats with all digits
    widest_block: int = 64  # outputs summed together
    table_windows: float = 4.0  # windows of the kernel alone that the table reaches
    exponential_cost: float = 20.0  # of an exponential, in products
    most_decay: float = 4000.0  # of s n² beyond which no line is worth a matrix product

    # Heat
    finest_heat: int = 65  # fine cells in a cell, which a kernel narrower than a cell is summed on
    alike_bends: float = 0.2  # of the largest of three second differences: within it a quartic is trusted


TOLERANCES = Tolerances()
