"""What a step on the line leaves: a density on the grid, and the cells of the next step."""

from __future__ import annotations

import numpy as np

from functionals import Functional
from jko.measures import Density
from jko.steps.quantile import circle
from jko.steps.quantile.tolerances import TOLERANCES
from jko.transport import remap
from jko.transport.distances.line import circle_distance, quantile_distance, quantile_function
from jko.transport.grids.circle import length_of, remap_round

LIGHT = 1e-13, 1e-9  # of the mean mass of a cell: joined, to be tried in turn


def settled(problem, solution, mu: Density):
    """The density on the grid, the state of the next step, and which edges were kept.

    Crushed cells of no weight are joined, fronts that touch are one.
    """
    from jko.loops.elliptic import banded

    number = np.arange(problem.masses.size + 1.0)
    cells = number, solution.edges, solution.widths, problem.masses
    if problem.energy.keeps_open:
        number, edges, widths, masses = _joined(*cells)
        mean = masses.sum() / masses.size
        for light, narrow in TOLERANCES.negligible:
            at, widths, masses = banded.merge_light(
                np.arange(edges.size, dtype=float), widths, masses, light * mean, narrow * mu.grid.spacing[0]
            )
            number, edges = number[at.astype(int)], edges[at.astype(int)]
        cells = number, edges, widths, masses
    data = dict(zip(("edges", "widths", "masses"), cells[1:], strict=True))
    if mu.grid.is_periodic:
        data = circle.turned_back(data, mu.grid)
        return remap_round(data["edges"], data["masses"], mu.grid), data, cells[0].astype(int)
    increasing = np.maximum.accumulate(data["edges"])  # widths below rounding
    new = remap(increasing, data["masses"], mu.grid, cap=problem.energy.cap)
    return new, data, cells[0].astype(int)


def is_unresolved(F: Functional, mu: Density, new: Density) -> bool:
    """Whether a density that differs by no more than the grid resolves costs more than the edges gained.

    What is cheap is asked first: W₂ is at least the way of the mean, and most steps lower F.
    """
    resolved = TOLERANCES.unresolved * mu.grid.spacing[0]
    if not mu.grid.is_periodic and np.linalg.norm(new.mean() - mu.mean()) > resolved:
        return False
    if not F(new) > F(mu):
        return False
    if mu.grid.is_periodic:
        ends = mu.grid.lower[0], length_of(mu.grid)
        spread = circle_distance(mu.normalized(), new.normalized(), *ends)
    else:
        spread = quantile_distance(quantile_function(mu), quantile_function(new))
    return spread <= resolved


def without_weightless(edges: np.ndarray, masses: np.ndarray, U):
    """Cells that weigh nothing beside their pressure joined to a neighbour: the sU″ by which a density s
    drives its mass is unbounded in vacuum under fast diffusion, and such cells would be crushed by all of
    their digits."""
    from jko.loops.elliptic import banded

    held = masses > 0.0
    if U is None or not held.any():
        return edges, masses
    s = masses[held] / np.diff(edges)[held]
    with np.errstate(all="ignore"):
        drive = s * U.second_derivative(s)
    usual = float(np.average(np.where(np.isfinite(drive), drive, 0.0), weights=masses[held]))
    driven = masses[held][~(drive <= TOLERANCES.driven * usual)]
    light = min(driven.max(initial=0.0) * 1.001, TOLERANCES.weightless * masses.sum() / masses.size)
    edges, _, masses = banded.merge_light(edges, np.diff(edges), masses, light, np.inf)
    return edges, masses


def feathered(edges: np.ndarray, masses: np.ndarray, U, walls: tuple):
    """(edges, widths, masses) with cells beside vacuum cut into ever lighter ones, where U′(0) = −∞ and mass
    enters the vacuum at once.

    Constant on one cell of a hundredth of the mass, the tail of a step would miss up to all of what the
    step gains (under fast diffusion, half); in cells of masses q^k the density falls by a factor from cell
    to cell, whatever its tail.
    """
    widths, held = np.diff(edges), np.flatnonzero(masses > 0.0)
    before = np.append(edges[0] > walls[0], masses[:-1] == 0.0)[held]
    after = np.append(masses[1:] == 0.0, edges[-1] < walls[1])[held]
    ends = int(np.sum(before) + np.sum(after))
    if U is None or ends == 0 or not U.fills:
        return edges, widths, masses
    count = max(1, min(TOLERANCES.feathers, max(TOLERANCES.most_feathers, masses.size) // ends))
    falling = TOLERANCES.feather_ratio ** -np.arange(float(count))
    left, right = np.zeros(masses.size, bool), np.zeros(masses.size, bool)
    left[held], right[held] = before, after
    new_edges, shared = [edges[:1]], []
    for i in range(masses.size):
        parts = [falling[::-1]] * int(left[i]) + [falling] * int(right[i]) or [np.ones(1)]
        shares = np.concatenate(parts) / np.sum(np.concatenate(parts))
        shared.append(shares)
        inner = edges[i] + widths[i] * np.cumsum(shares)[:-1]
        new_edges.append(np.append(inner, edges[i + 1]))
    counts, shares = [part.size for part in shared], np.concatenate(shared)
    return np.concatenate(new_edges), shares * np.repeat(widths, counts), shares * np.repeat(masses, counts)


def without_light(problem, share: float = LIGHT[0]):
    """The problem with cells of less than a share of the mean mass joined to their neighbours."""
    from jko.loops.elliptic import banded

    number = np.arange(problem.start.size, dtype=float)
    light = share * problem.masses.sum() / problem.masses.size
    number, widths, masses = banded.merge_light(number, problem.widths, problem.masses, light, np.inf)
    kept = number.astype(int)
    return problem._replace(start=problem.start[kept], widths=widths, masses=masses, kept=kept)


def cut_where_torn(problem, solution, spacing: float):
    """The cells at the start, those that the step tears cut into equal parts; None where it tears none.

    Where V″ < −1/τ, or over some steps where V″ < 0 and no diffusion fills the room, neighbours part, and the
    one cell between them is stretched from well to well with its share of the mass. A cell cut is the same
    density, of which each part goes its own way.
    """
    if (problem.convexity if problem.energy.keeps_open else problem.energy.modulus) >= 0.0:
        return None
    widths, masses = problem.widths, problem.masses
    torn = (solution.widths > TOLERANCES.torn * widths) & (solution.widths > spacing)
    torn &= masses > TOLERANCES.least_part * masses.sum() / masses.size
    if not torn.any():
        return None
    parts = np.where(torn, np.clip(np.ceil(solution.widths / spacing), 2, TOLERANCES.torn_parts), 1).astype(
        int
    )
    inner = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    edges = np.repeat(problem.start[:-1], parts) + inner * np.repeat(widths / parts, parts)
    shared = {"widths": np.repeat(widths / parts, parts), "masses": np.repeat(masses / parts, parts)}
    return {"edges": np.append(edges, problem.start[-1]), **shared}


def kept_cells(edges: np.ndarray, widths: np.ndarray, kept: np.ndarray):
    """The past's edges and widths with the cells joined that `settled` joined."""
    return {"edges": edges[kept], "widths": np.add.reduceat(widths, kept[:-1])}


def _joined(number: np.ndarray, edges: np.ndarray, widths: np.ndarray, masses: np.ndarray):
    gaps = np.flatnonzero(masses == 0.0)
    if gaps.size == 0:
        return number, edges, widths, masses
    closed = gaps[widths[gaps] < TOLERANCES.touching * np.minimum(widths[gaps - 1], widths[gaps + 1])]
    edges = edges.copy()
    edges[closed] = 0.5 * (edges[closed] + edges[closed + 1])
    edges, widths, masses = np.delete(edges, closed + 1), np.delete(widths, closed), np.delete(masses, closed)
    return np.delete(number, closed + 1), edges, widths, masses
