"""Between a density on a uniform grid of the line and the edges that carry its mass.

A `Density` holds point values at cell centres; the Lagrangian form of a step wants edges and the masses
between them. The two differ by h²/24 of a second difference, moved here as fluxes through faces: mass is
kept to rounding, densities stay positive, and nothing crosses the border of a vacuum.
"""

from __future__ import annotations

import numpy as np

from jko.errors import whole_number
from jko.measures import CellDensity, Grid, LineGrid
from jko.transport.grids.tolerances import TOLERANCES


def cut(density: CellDensity):
    """Edges `[n+1]` and masses `[n]` of the cells that carry a density on the line.

    masses[i] is the mass of the interval (edges[i], edges[i+1]), an average over the cell computed from the
    point values to fourth order; on a grid with edges of its own it is that of the cell. Empty cells at
    either end are dropped; a run of empty cells inside becomes one interval with masses[i] == 0, so that a
    zero always marks a gap, never stands first or last, and has no zero beside it.

    Raises TypeError where the measure is no Density, ValueError where it is not one-dimensional or has no
    mass.
    """
    if not isinstance(density, CellDensity):
        raise TypeError(
            f"density: expected a Density, got {type(density).__name__}; put the measure on a grid first"
        )
    if not density.grid.is_uniform:
        masses = np.where(density.values > TOLERANCES.vacuum * density.values.max(), density.masses, 0.0)
        return merge_empty(density.grid.edges[0], masses)
    if density.grid.dimension != 1:
        raise ValueError(
            f"density: cut works on the line, got {density.grid.dimension} dimensions; use an Eulerian "
            "step there"
        )
    values = np.asarray(density.values, dtype=np.float64)
    if not values.max() > 0.0:
        raise ValueError("density: expected some mass, got none; give at least one positive cell")
    values = np.where(values > TOLERANCES.vacuum * values.max(), values, 0.0)
    masses = cell_averages(values) * density.grid.spacing[0]
    return merge_empty(np.asarray(density.grid.edges[0], dtype=np.float64), masses)


def remap(edges: np.ndarray, masses: np.ndarray, grid: Grid | LineGrid, cap=None):
    """The Density on `grid` of the mass that lies between `edges` `[n+1]`, masses `[n]` as returned by
    `cut`.

    The cumulative mass is interpolated by monotone cubics between the edges, one run of occupied cells at a
    time, and read off at the cell faces of the grid [FritschCarlson1980]: conservative to rounding,
    positive, order 2 in the mesh width for smooth densities, and no mass beyond the outermost edge of a
    front but for the grid cell that holds it.

    On a grid with edges of its own the cubics are in the volume, and under a cap the density is constant
    between the edges.

    With a `cap`, fluxes from the density that is constant between edges are limited [Zalesak1979] so that
    no cell exceeds it that did not before. A cap that varies is an object with its values on the `cells` of
    the grid, its `faces` and its `integral` C: the density is then constant in C between edges.

    Raises ValueError where the edges leave the grid or decrease, or are not one more than the masses.
    """
    edges, masses = np.asarray(edges, dtype=np.float64), np.asarray(masses, dtype=np.float64)
    if len(grid.cells) != 1:
        raise ValueError(
            f"grid: remap works on the line, got {grid.dimension} dimensions; use a grid of one dimension"
        )
    if masses.ndim != 1 or edges.shape != (masses.size + 1,):
        raise ValueError(
            f"edges, masses: expected n + 1 edges of n masses, got shapes {edges.shape} and {masses.shape}; "
            "give them as cut returns them"
        )
    lower, upper = grid.lower[0], grid.upper[0]
    slack = 1e-9 * (upper - lower)
    if edges[0] < lower - slack or edges[-1] > upper + slack:
        raise ValueError(
            f"grid: [{lower:g}, {upper:g}] does not hold the mass, which spans [{edges[0]:g}, "
            f"{edges[-1]:g}]; widen the grid"
        )
    if np.any(np.diff(edges) < 0.0):
        raise ValueError(
            "edges: expected increasing positions, got a decrease; check the step that moved them"
        )
    edges = np.clip(edges, lower, upper)
    faces = np.asarray(grid.edges[0], dtype=np.float64)
    if cap is not None and not np.isscalar(cap) and cap.faces.size != faces.size:
        raise ValueError(f"cap: expected one on the grid's {faces.size - 1} cells, got {cap.cells.size}")
    if not grid.is_uniform:
        ends, faces = grid.volume_within(edges), grid.volume_within(faces)
        flat = np.diff(np.interp(faces, ends, np.append(0.0, np.cumsum(masses)))) if cap is not None else None
        return grid.density((mass_between(ends, masses, faces) if flat is None else flat) / grid.cell_volume)
    inside = mass_between(edges, masses, faces)
    sharp = point_values(inside / grid.spacing[0])
    return grid.density(sharp if cap is None else _capped(edges, masses, faces, sharp, cap))


def _capped(edges: np.ndarray, masses: np.ndarray, faces: np.ndarray, sharp: np.ndarray, cap):
    total = np.concatenate([[0.0], np.cumsum(masses)])
    width = faces[1] - faces[0]
    if not np.isscalar(cap):
        faces, edges, cap = cap.integral(faces), np.maximum.accumulate(cap.integral(edges)), cap.cells
    below = np.interp(faces, edges, total)
    below[0], below[-1] = 0.0, total[-1]
    flat = np.maximum(np.diff(below) / width, 0.0)
    flux = np.cumsum(flat - sharp)[:-1]  # rightwards, through interior faces, from flat to sharp
    into = np.append(0.0, np.maximum(flux, 0.0)) + np.append(np.maximum(-flux, 0.0), 0.0)
    out = np.append(np.maximum(flux, 0.0), 0.0) + np.append(0.0, np.maximum(-flux, 0.0))
    room = np.minimum(1.0, np.maximum(cap - flat, 0.0) / np.where(into > 0.0, into, 1.0))
    stock = np.minimum(1.0, flat / np.where(out > 0.0, out, 1.0))
    rightwards = np.minimum(stock[:-1], room[1:])
    leftwards = np.minimum(stock[1:], room[:-1])
    flux = flux * np.where(flux > 0.0, rightwards, leftwards)
    return np.maximum(flat - np.append(flux, 0.0) + np.append(0.0, flux), 0.0)


def cell_averages(values: np.ndarray):
    """Averages over the cells `[n]` from point values at their centres `[n]`: v + h² v''/24, conservative
    and positive."""
    flux = np.diff(values) / 24.0
    flux[(values[1:] == 0.0) | (values[:-1] == 0.0)] = 0.0
    return add_fluxes(values, flux)


def point_values(averages: np.ndarray):
    """Point values `[n]` from cell averages `[n]`, the inverse of `cell_averages` to fourth order.

    The correction sharpens, so its flux is limited: no cell gives more than a quarter of its mass through a
    face.
    """
    low = np.minimum(averages[1:], averages[:-1])
    flux = _flux_through_faces(averages)
    return add_fluxes(averages, -np.clip(flux, -0.25 * low, 0.25 * low))


def _flux_through_faces(averages: np.ndarray):
    # corrected for the second difference's own h²/24: the round trip holds to sixth order
    curvature = np.zeros_like(averages)
    curvature[1:-1] = averages[2:] - 2.0 * averages[1:-1] + averages[:-2]
    curvature[1:-1][(averages[2:] == 0.0) | (averages[1:-1] == 0.0) | (averages[:-2] == 0.0)] = 0.0
    return np.diff(averages - curvature / 24.0) / 24.0


def add_fluxes(values: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Values `[n]` after fluxes `[n − 1]` from each to the one before it."""
    out = values.copy()
    out[:-1] += flux
    out[1:] -= flux
    return out


def merge_empty(edges: np.ndarray, masses: np.ndarray):
    """The same mass with empty intervals dropped at the ends and merged into one inside: edges `[m+1]`,
    masses `[m]`."""
    held = np.flatnonzero(masses > 0.0)
    first, last = held[0], held[-1]
    edges, masses = edges[first : last + 2], masses[first : last + 1]
    empty = masses == 0.0
    keep = np.ones(masses.size, dtype=bool)
    keep[1:] = ~(empty[1:] & empty[:-1])
    return np.append(edges[:-1][keep], edges[-1]), masses[keep]


def mass_between(edges: np.ndarray, masses: np.ndarray, faces: np.ndarray):
    """Mass `[len(faces) - 1]` between consecutive faces, from monotone cubics through the cumulative mass.

    An interval of no width on a face counts on its left, on the first face on its right.
    """
    widths = np.diff(edges)
    solid = (masses > 0.0) & (widths > 0.0)
    secant = np.where(solid, masses / np.where(solid, widths, 1.0), 0.0)
    left, right = _edge_densities(widths, secant, solid)
    where = np.searchsorted(edges, faces, side="right") - 1
    where[0] = np.searchsorted(edges, faces[0], side="left") - 1
    where = np.clip(where, 0, masses.size - 1)
    width = widths[where]
    beyond = (faces > edges[where]).astype(float)  # of an interval of no width, nothing or all
    s = np.clip(np.divide(faces - edges[where], width, out=beyond, where=width > 0.0), 0.0, 1.0)
    s[1:][faces[1:] >= edges[-1]] = 1.0
    return _sums(masses, where, s, width * left[where], width * right[where])


def _sums(masses: np.ndarray, where: np.ndarray, s: np.ndarray, a: np.ndarray, b: np.ndarray):
    # Summed face by face, from the nearer end of a cell, so that a tail of 1e-40 keeps its digits.
    w = masses[where]
    part = s * (a + s * (3.0 * w - 2.0 * a - b + s * (a + b - 2.0 * w)))
    u = 1.0 - s
    rest = u * (b + u * (3.0 * w - 2.0 * b - a + u * (a + b - 2.0 * w)))
    within = np.where(s[:-1] < 0.5, part[1:] - part[:-1], rest[:-1] - rest[1:])
    jump = np.where(where[1:] == where[:-1], within, rest[:-1] + part[1:])
    first, stop = where[:-1] + 1, where[1:]
    pairs = np.stack([first, stop], axis=1).ravel()
    between = np.where(stop > first, np.add.reduceat(np.append(masses, 0.0), pairs)[::2], 0.0)
    return np.maximum(jump + between, 0.0)


def _edge_densities(widths: np.ndarray, secant: np.ndarray, solid: np.ndarray):
    """Limited densities at the left and right edge of every cell, each run of occupied cells by itself."""
    joined = solid[1:] & solid[:-1]
    inner = (widths[:-1] * secant[1:] + widths[1:] * secant[:-1]) / np.maximum(
        widths[:-1] + widths[1:], 1e-300
    )
    inner = np.minimum(inner, 3.0 * np.minimum(secant[1:], secant[:-1]))
    left, right = np.empty_like(secant), np.empty_like(secant)
    left[1:], right[:-1] = inner, inner
    starts = np.append(True, ~joined)
    stops = np.append(~joined, True)
    left[starts], right[stops] = np.nan, np.nan
    # at the border of a run the cumulative mass is a parabola: its slope is 2 s - d there
    alone = starts & stops
    left[starts] = np.clip(2.0 * secant[starts] - right[starts], 0.0, 3.0 * secant[starts])
    right[stops] = np.clip(2.0 * secant[stops] - left[stops], 0.0, 3.0 * secant[stops])
    left[alone] = secant[alone]
    right[alone] = secant[alone]
    return left, right


def graded(edges: np.ndarray, masses: np.ndarray, cells: int):
    """The same mass between other edges, about `cells` of them, closer where the density is higher.

    Energies of piecewise constant densities err by ∫ h² ρ′²/24ρ dx for an entropy, least when cells are
    about as dense as (ρ′²/ρ)^⅓; here as ρ^¼, a third of them spread evenly. The borders of vacua stay where
    they are, and the masses come from the monotone cubics of `remap`. More than 100 runs of occupied cells
    are left as they are. Raises ValueError for fewer cells than one.
    """
    cells = whole_number("cells", cells)
    held = masses > 0.0
    stops = np.flatnonzero(~held)
    if stops.size >= TOLERANCES.most_runs:
        return edges, masses
    widths = np.where(held, np.diff(edges), 0.0)
    density = np.where(held, masses / np.where(held, widths, 1.0), 0.0)
    wanted = density**TOLERANCES.grading * widths
    wanted = (1.0 - TOLERANCES.even) * wanted / wanted.sum() + TOLERANCES.even * widths / widths.sum()
    wanted = _thinned(wanted, masses, cells)
    level = np.concatenate([[0.0], np.cumsum(wanted)])
    runs = zip(np.append(0, stops + 1), np.append(stops, masses.size), strict=True)
    new = np.concatenate([_spread(edges, level, first, stop, cells) for first, stop in runs])
    return merge_empty(new, mass_between(edges, masses, new))


def _thinned(wanted: np.ndarray, masses: np.ndarray, cells: int):
    """The same, with no more than a few cells for the 1e-12 of the mass at either end."""
    total = masses.sum()
    for tail in (
        np.cumsum(masses) < TOLERANCES.tail * total,
        np.cumsum(masses[::-1])[::-1] < TOLERANCES.tail * total,
    ):
        share = wanted[tail].sum() / wanted.sum()
        most = min(TOLERANCES.tail_cells / cells, TOLERANCES.tail_share)
        if share > most:
            wanted = np.where(tail, wanted * most / share, wanted)
    return wanted


def _spread(edges: np.ndarray, level: np.ndarray, first: int, stop: int, cells: int):
    span = level[stop] - level[first]
    number = max(1, round(cells * span / level[-1]))
    targets = level[first] + span * np.linspace(0.0, 1.0, number + 1)
    new = np.interp(targets, level[first : stop + 1], edges[first : stop + 1])
    new[0], new[-1] = edges[first], edges[stop]
    return new
