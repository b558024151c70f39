"""The step in Lagrangian form on a circle: a monotone map of the line that repeats, and where it is cut.

W₂² on a circle is the least of ∫|T(x) − x|² over the monotone maps T(x + L) = T(x) + L
[DelonSalomonSobolevski2010], so that a step minimises over the edges X alone, lifted to the line: how far it
turns is part of X, and it is (1/τ + λ)-convex as on the line. A circle of which mass holds no more than a
part is cut in a gap, its ends free; elsewhere Xₙ = X₀ + L (`joined_ends`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from functionals import Interaction, Potential, pointwise
from functionals.parts import Parts
from functionals.time_dependence import AtTime, split
from jko.errors import UnsupportedFunctional
from jko.measures import Density, Grid
from jko.measures.confined import AtImages, Folding, Nearest, OfNearest
from jko.steps.quantile.tolerances import TOLERANCES
from jko.transport.grids.circle import between_round, length_of, masses_round
from jko.transport.grids.remap import graded, merge_empty


def three_turns(grid: Grid) -> Grid:
    """A period more to either side, as a grid between walls."""
    length = length_of(grid)
    return Grid.uniform(grid.lower[0] - length, grid.upper[0] + length, 3 * grid.size)


def repeated(potential: Callable | None, turns: Grid) -> Callable | None:
    """A potential on `three_turns`, read in the middle one at positions on the whole line."""
    if potential is None:
        return None
    length = length_of(turns) / 3.0
    lower = turns.lower[0] + length
    return lambda x: potential(lower + np.mod(x - lower, length))


def round_parts(parts: Parts, grid: Grid) -> Parts:
    """The parts with potentials read at images in the box and kernels at the nearest image; raises
    UnsupportedFunctional for what has no step on a circle here."""
    if parts.internal_energy is None or parts.constraints:
        what = parts.constraints[0] if parts.constraints else "none"
        raise UnsupportedFunctional(
            f"steps.Quantile takes on a circle an internal energy and no cap, got {what!s}: take "
            "steps.PrimalDual"
        )
    _require_periodic(parts, grid)
    for _, atom in parts.interaction:
        _require_smooth(atom, grid)
    fold = Folding.into(grid)
    nearest = Nearest(fold.sides, fold.periodic)
    return replace(
        parts,
        potential=tuple((c, _in_the_box(atom, fold)) for c, atom in parts.potential),
        interaction=tuple((c, _at_the_nearest_image(atom, nearest)) for c, atom in parts.interaction),
    )


def _in_the_box(atom, fold: Folding) -> Potential:
    return Potential(_read(atom.V, AtImages, fold), modulus=atom.modulus)


def _at_the_nearest_image(atom, nearest: Nearest) -> Interaction:
    return Interaction(_read(atom.W, OfNearest, nearest))


def _read(f: Callable, reader: Callable, where: Folding | Nearest):
    function, time = split(f)
    read = reader(function, where)
    return AtTime(read, *time) if time else read


def _require_periodic(parts: Parts, grid: Grid) -> None:
    if not parts.potential:
        return
    points = np.array([grid.lower, *grid.points, grid.upper])
    values = np.sum([_sampled(c, atom, points) for c, atom in parts.potential], axis=0)
    jump = abs(float(values[-1] - values[0]))
    if jump > TOLERANCES.seam_jump * np.ptp(values):
        raise UnsupportedFunctional(
            f"steps.Quantile takes on a circle potentials that are periodic, got one that jumps by "
            f"{jump:.3g} where the ends of the grid meet: take steps.MongeAmpere, or a grid between walls"
        )


def _sampled(c: float, atom, points: np.ndarray):
    return float(c) * pointwise.values(atom.V, points)


def _require_smooth(atom, grid: Grid) -> None:
    """Refuse a kernel, read at the nearest image, with a kink where points meet or are half a turn apart."""
    if atom.general:
        raise UnsupportedFunctional(
            f"steps.Quantile takes an interaction of differences W(x − y), got {atom!r}; "
            "steps.Cvxpy takes a kernel of two points on a small grid"
        )
    atom.require_even(1)
    half = 0.5 * length_of(grid)
    slopes = pointwise.gradients(atom.W, half * np.linspace(TOLERANCES.kink_probe, 1.0, 101)[:, None])
    smooth = np.abs(slopes.ravel()[[0, -1]]) <= TOLERANCES.kink_slope * np.abs(slopes).max()
    if not smooth.all():
        where = "they are half a turn apart" if smooth[0] else "points meet"
        raise UnsupportedFunctional(
            f"steps.Quantile takes on a circle interactions that are smooth round it, got {atom!r} with a "
            f"kink where {where}: take steps.MongeAmpere or steps.BackAndForth"
        )


def laid(mu: Density):
    """Edges `[n+1]` and masses `[n]` as of `transport.cut` and `graded`, from the end of the longest vacuum
    to its beginning, or all the way round from the emptiest face: the cells turn with the data."""
    grid = mu.grid
    values = np.where(mu.values > TOLERANCES.vacuum * mu.values.max(), mu.values, 0.0)
    first = _emptiest(values)
    masses = masses_round(np.roll(values, -first), grid)
    edges = grid.lower[0] + grid.spacing[0] * (first + np.arange(values.size + 1.0))
    edges[-1] = edges[0] + length_of(grid)
    edges, masses = merge_empty(edges, masses)
    new, _ = graded(edges, masses, grid.size)
    return merge_empty(new, between_round(edges, masses, new, length_of(grid)))


def _emptiest(values: np.ndarray) -> int:
    """The cell with which to begin: that after the longest run of empty ones, or after the emptiest face; of
    several that whose values, read on from there, come first in lexicographic order."""
    held = np.flatnonzero(values > 0.0)
    after = np.append(held[1:], held[0] + values.size)
    runs = after - held
    if np.max(runs) > 1:
        first = after[runs == np.max(runs)] % values.size
    else:
        beside = values + np.roll(values, 1)
        first = np.flatnonzero(beside == beside.min())
    return int(first[0] if first.size == 1 else first[np.argmin(_ranks_of_turns(values)[first])])


def _ranks_of_turns(values: np.ndarray) -> np.ndarray:
    """The lexicographic rank `[n]` of the values read from each cell on, equal for equal turns: by twice as
    many of them each time."""
    ranks, read = np.unique(values, return_inverse=True)[1], 1
    while read < values.size and ranks.max() + 1 < values.size:
        pairs = ranks * values.size + np.roll(ranks, -read)
        ranks, read = np.unique(pairs, return_inverse=True)[1], 2 * read
    return ranks


def turned_back(cells: dict, grid: Grid) -> dict:
    """The same cells whole turns away, the first edge in the box."""
    edges, length = cells["edges"], length_of(grid)
    whole = edges[-1] == edges[0] + length
    edges = edges - length * np.floor((edges[0] - grid.lower[0]) / length)
    if whole:
        edges[-1] = edges[0] + length
    return {**cells, "edges": edges}


def walls_round(edges: np.ndarray, length: float) -> tuple[float, float]:
    """Where no edge comes in a step, since no optimal map goes further than half a turn."""
    middle = 0.5 * (edges[0] + edges[-1])
    return middle - 1.5 * length, middle + 1.5 * length


def ends_of(edges: np.ndarray, grid: Grid) -> tuple[float, float]:
    """Where vacuum beside the outermost edges ends: at these edges where they go all the way round."""
    if edges[-1] == edges[0] + length_of(grid):
        return edges[0], edges[-1]
    return walls_round(edges, length_of(grid))


def lifted(past: dict, now: dict, grid: Grid):
    """(The past's edges lifted beside those of now, the walls and the period, if any, of both.)"""
    length, edges = length_of(grid), now["edges"]
    turns = np.round((edges[0] - past["edges"][0]) / length)
    period = length if edges[-1] == edges[0] + length else None
    return {**past, "edges": past["edges"] + length * turns}, walls_round(edges, length), period


def solved(problem, length: float, solve: Callable):
    """(problem, solution, note) of the step, `solve(problem)` giving those of one that is cut or joined.

    Cut in a gap of the support, ends free, a step is relaxed, and is the step where its edges span no more
    than a turn. J is convex: if at the minimum some gap is open nothing pushes there, and the problem cut
    there has the same minimum. Where none is, the edges go all the way round and every gap is shut.
    """
    for tried in _cuts(problem, length):
        found = solve(tried)
        edges = found[1].edges
        if edges[-1] <= edges[0] + length:
            return found
    return solve(_joined(problem, length))


def _cuts(problem, length: float) -> Iterator:
    """The problems cut in a gap, widest first."""
    ring = _whole(problem, length)
    gaps = np.flatnonzero(ring.masses == 0.0)
    for k in gaps[np.argsort(-ring.widths[gaps], kind="stable")]:
        cells = np.append(np.arange(k + 1, ring.masses.size), np.arange(k))
        start = np.append(ring.start[k + 1 : -1], ring.start[: k + 1] + length)
        yield ring._replace(
            start=start,
            widths=ring.widths[cells],
            masses=ring.masses[cells],
            walls=walls_round(start, length),
        )


def _whole(problem, length: float):
    """The problem with the gap between its ends as a cell."""
    edges, seam = problem.start, length - (problem.start[-1] - problem.start[0])
    if edges[-1] == edges[0] + length:
        return problem
    return problem._replace(
        start=np.append(edges, edges[0] + length),
        widths=np.append(problem.widths, seam),
        masses=np.append(problem.masses, 0.0),
    )


def _joined(problem, length: float):
    """The problem all the way round, from within a run of cells."""
    ring = _whole(problem, length)
    k = int(np.argmax(np.minimum(ring.masses, np.roll(ring.masses, 1))))
    start = np.append(ring.start[k:-1], ring.start[: k + 1] + length)
    start[-1] = start[0] + length
    return ring._replace(
        start=start,
        widths=np.roll(ring.widths, -k),
        masses=np.roll(ring.masses, -k),
        walls=walls_round(start, length),
        period=length,
    )
