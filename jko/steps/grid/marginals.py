"""What is known of W₂ between densities on one grid: a lower bound, from their marginals along the axes, and
by how much minima over cells may exceed minima over space."""

from __future__ import annotations

import numpy as np

from jko.loops.grids.torus import continued, within
from jko.measures import Density, Grid
from jko.steps.grid.tolerances import TOLERANCES
from jko.transport.distances.line import circle_distance, quantile_distance, quantile_function


def least_squared_distance(mu: Density, values: np.ndarray) -> float:
    """Σ over the axes of W₂² between the marginals of μ and of `values` on its grid: no more than W₂² of the
    two, since a coupling's cost is the sum of its marginals', and on the line and the circle that itself."""
    grid, total = mu.grid, 0.0
    for axis, (n, h) in enumerate(zip(grid.cells, grid.spacing, strict=True)):
        others = tuple(a for a in range(grid.dimension) if a != axis)
        line = Grid.uniform(0.0, n * h, n)
        marginals = [Density(line, rho.sum(axis=others)).normalized() for rho in (mu.values, values)]
        if grid.periodic[axis]:
            total += circle_distance(*marginals, 0.0, n * h) ** 2
        else:
            total += quantile_distance(*map(quantile_function, marginals)) ** 2
    return total * mu.mass


def grid_bias(mu: Density, tau: float) -> float:
    """h²/8τ a unit of mass, summed over the axes: what the minimum over a grid may add to |x − y|²/2τ."""
    return mu.mass * sum(h * h for h in mu.grid.spacing) / (8.0 * tau)


def keep_masses(
    energy,
    phi: np.ndarray,
    potential: np.ndarray,
    before: np.ndarray,
    density: np.ndarray,
    periodic: tuple[bool, ...],
):
    """(φ, U*′(−φ − V)) with φ shifted on each part by what gives it the mass that it had.

    φ has its own constant on every part that no mass reaches from another; an ascent that stops early has
    not found them all, and mass that jumps a gap costs its square. Cells belong to the nearest part.
    """
    parts, masses, _ = (None, None, None) if energy.cap is not None else _parts(before, density, periodic)
    if parts is None:
        return phi, density
    phi, density = phi.copy(), density.copy()
    for part in range(1, masses.size):
        cells = parts == part
        shift, density[cells] = energy.normalise((phi + potential)[cells], masses[part])
        phi[cells] -= shift
    return phi, density


def rescaled(values: np.ndarray, before: np.ndarray, periodic: tuple[bool, ...]):
    """The values times what gives each part the mass that it had."""
    parts, masses, found = _parts(before, values, periodic)
    if parts is None:
        return values
    found[0] = 1.0  # no cell's part
    return values * (masses / found)[parts]


def _parts(before: np.ndarray, after: np.ndarray, periodic: tuple[bool, ...]):
    """For each cell the number 1, 2, … of the part nearest to it, and the parts' masses before and after;
    None where there is one part only, or one is empty before or after: mass went from part to part."""
    held = (before > TOLERANCES.empty * before.max()) | (after > TOLERANCES.empty * after.max())
    if held.all():
        return None, None, None
    parts, number = components(held, periodic)
    if number == 1:
        return None, None, None
    parts = _spread(parts, held, periodic)
    masses = [np.bincount(parts.ravel(), rho.ravel(), number + 1) for rho in (before, after)]
    if not all(mass[1:].min() > 0.0 for mass in masses):
        return None, None, None
    return parts, *masses


def components(held: np.ndarray, periodic: tuple[bool, ...]) -> tuple[np.ndarray, int]:
    """(for each cell the number of its connected part, 0 for empty ones, how many parts); on periodic axes
    parts are joined across the ends."""
    from scipy.ndimage import label
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    neighbours = np.ones((3,) * held.ndim)
    parts, number = label(held, neighbours)
    joined, nodes = [np.empty((2, 0), int)], number
    for axis in np.flatnonzero(periodic):
        others = tuple(int(turns and a != axis) for a, turns in enumerate(periodic))
        seam = continued(parts.take([-1, 0], axis), others)
        across, more = label(seam > 0, neighbours)
        joined.append(np.unique([seam[seam > 0], nodes + across[seam > 0]], axis=1))
        nodes += more
    ends = np.concatenate(joined, axis=1) - 1
    links = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(nodes, nodes))
    owner = connected_components(links, directed=False)[1][:number]
    found, names = np.unique(owner, return_inverse=True)
    return np.append(0, names + 1)[parts], found.size


def _spread(parts: np.ndarray, held: np.ndarray, periodic: tuple[bool, ...]):
    """The part of the nearest held cell."""
    from scipy.ndimage import distance_transform_edt

    around = tuple(n // 2 if turns else 0 for n, turns in zip(held.shape, periodic, strict=True))
    wide = continued(held, around)
    nearest = distance_transform_edt(~wide, return_distances=False, return_indices=True)
    return within(continued(parts, around)[tuple(nearest)], around)
