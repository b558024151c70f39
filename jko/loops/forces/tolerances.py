"""Thresholds of the choice among ways to sum forces, and costs measured for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Thresholds of this room: a field with its value and its reason each."""

    # Costs in seconds, measured on two cores
    pair_cost: float = 0.7e-9  # of a pair, of all pairs
    near_cost: float = 6e-9  # of a pair in neighbouring cells
    mesh_cost: float = 2.5e-8  # of a mesh point transformed there and back
    row_cost: float = 6e-9  # of a row of 8 mesh points spread and read
    tree_pair_cost: float = 1.8e-9  # of a near pair in a tree
    tree_field_cost: float = 1.8e-9  # of a pair of points of two far boxes
    tree_particle_cost: float = 4e-7  # of a particle in a tree
    tree_point_cost: float = 7e-9  # more for each point of its box
    sample: int = 16_384  # particles of a cloud on which near pairs are counted

    # Which ways are open
    few: int = 4096  # particles, up to which all pairs stand in for a method that misses
    patience: float = 60.0  # seconds, up to which they do as well
    largest_mesh: float = 2.0**25  # points: 512 MiB for the transform
    no_extent: float = 1e-100  # of a cloud: below, mesh points a length overflow
    checked: int = 64  # particles at which a way's error is measured
    watched: int = 32  # particles at which it is watched in a run

    # Meshes
    mesh_slack: float = 10.0  # times the tolerance for the kernel: sums over particles lose less, measured
    split_slack: float = 20.0  # the same with a near field, measured
    taylor_terms: int = 12  # of the polynomial for the kernel within the cutoff: 11 derivatives
    finer: float = 40.0  # mesh points within the near field's cutoff, at most
    longest: float = 8192.0  # mesh points across a cloud without a near field, at most
    window: float = 1500.0  # times a window's own error, which its derivative errs by: measured
    seen_near: float = 16.0  # cutoffs across what is seen from near, the rest being sampled apart
    taylor_degree: int = 30  # of the interpolation that the polynomial is read from
    taylor_reach: float = 0.7  # of the cutoff's square to each side, where that interpolates
    few_samples: int = 200_000  # of a profile, below which threads are not worth starting
    mesh_difference: float = 0.03  # mesh points, for a second derivative: below the window, above its jumps

    # Trees and cells
    most_points: tuple = (16, 16, 10)  # of a box along an axis; kernels that need more take no tree
    levels: int = 24  # of box sizes looked at, each half the last
    tree_slack: float = 8.0  # of what neighbouring far boxes lose, against a sum over all of them: measured
    probes: int = 48  # points in each of two boxes, by which their loss is measured
    tree_difference: float = 1e-3  # of the least box, for a second derivative: above round-off
    key_bits: tuple = (60, 30, 20)  # halvings of the outermost box that a key of 60 bits holds, by dimension
    tree_shares: int = 8  # of about equal cost, into which near pairs are cut for the threads
    dense_cells: int = 8  # cells a particle, up to which a counting sort over all cells is the cheaper


TOLERANCES = Tolerances()
