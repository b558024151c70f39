"""The dynamic problem on other grids: halved ones to start from, and the box that holds the mass."""

from __future__ import annotations

import math

import numpy as np

from jko.measures import Grid
from jko.steps.primal_dual.tolerances import TOLERANCES


def halved(problem, start: np.ndarray, field: np.ndarray):
    """(problem, start, field) on a grid with half the cells along each axis that allows it, or None."""
    grid = problem.grid
    halves = [n % 2 == 0 and n > TOLERANCES.coarsest_cells for n in grid.cells]
    if not any(halves):
        return None
    cells = [n // 2 if half else n for n, half in zip(grid.cells, halves, strict=True)]
    blocked = problem.blocked
    if blocked is not None:
        blocked = _means((problem.most <= 0.0).astype(float), halves) >= 1.0
        blocked = blocked.reshape(*cells, -1).all(axis=-1)
    doors = problem.doors
    if doors is not None:
        doors = (_means(doors.reshape(problem.shape).astype(float), halves) > 0.0).reshape(cells)
    coarse = Grid.uniform(grid.lower, grid.upper, tuple(cells), grid.periodic)
    coarse = problem.on(coarse, _means(problem.most, halves), blocked, doors)
    return coarse, _means(start, halves), _means(field, halves)


def seam(start: np.ndarray, field: np.ndarray, periodic: tuple) -> tuple:
    """The turn along each axis that brings the face with the least mass beside it, of several that with the
    highest field, to its ends, so that coarser grids follow the data; 0 between walls."""
    turn = [0] * start.ndim
    for axis in np.flatnonzero(periodic).tolist():
        others = tuple(a for a in range(start.ndim) if a != axis)
        beside = [layers + np.roll(layers, 1) for layers in (-field.sum(axis=others), start.sum(axis=others))]
        turn[axis] = -int(np.lexsort(beside)[0])
    return tuple(turn)


def turned(problem, turn: tuple):
    """The same problem with its cells turned."""
    d = problem.grid.dimension
    around = (turn[:d], tuple(range(d)))
    blocked, doors = (None if x is None else np.roll(x, *around) for x in (problem.blocked, problem.doors))
    return problem.on(problem.grid, rolled(problem.most, turn), blocked, doors)


def rolled(values: np.ndarray, turn: tuple) -> np.ndarray:
    """A field of cells or of faces turned along its axes."""
    return np.ascontiguousarray(np.roll(values, turn, tuple(range(values.ndim))))


def _means(values: np.ndarray, halves: list):
    for axis, half in enumerate(halves):
        if half:
            lower = np.take(values, range(0, values.shape[axis], 2), axis)
            upper = np.take(values, range(1, values.shape[axis], 2), axis)
            values = 0.5 * (lower + upper)
    return np.ascontiguousarray(values)


def prolonged(potential, flow: list, problem):
    """A potential and flows of a coarser grid on the grid of `problem`: linear between cells and faces."""
    cells, turns = problem.shape, (*problem.grid.periodic, False, False)
    potentials = [_refined(p, cells, turns) for p in potential]
    flows = []
    for v in flow:
        fine = []
        for axis, (exchange, w) in enumerate(zip(problem.exchanges, v, strict=True)):
            if axis < problem.grid.dimension and w.shape[axis] != exchange.shape[axis]:
                w = 2.0 * _refined_faces(w, axis, turns[axis])
            fine.append(_refined(w, exchange.shape, turns))
        flows.append(fine)
    return potentials, flows


def _refined(values: np.ndarray, shape: tuple, turns: tuple):
    for axis in range(3):
        if values.shape[axis] != shape[axis]:
            lines = np.moveaxis(values, axis, 0)
            first, last = (lines[-1:], lines[:1]) if turns[axis] else (lines[:1], lines[-1:])
            before = np.concatenate([first, lines[:-1]])
            after = np.concatenate([lines[1:], last])
            fine = np.stack([0.75 * lines + 0.25 * before, 0.75 * lines + 0.25 * after], axis=1)
            values = np.moveaxis(fine.reshape(-1, *lines.shape[1:]), 0, axis)
    return np.ascontiguousarray(values)


def _refined_faces(values: np.ndarray, axis: int, turns: bool):
    """From n − 1 faces to 2n − 1: those of the coarse grid, and the mean of two between them, 0 at the
    walls; from n to 2n where the axis turns.
    """
    lines = np.moveaxis(values, axis, 0)
    end = lines[-1:] if turns else 0.0 * lines[:1]
    ended = np.concatenate([end, lines, end])
    between = 0.5 * (ended[1:] + ended[:-1])
    fine = np.empty((2 * lines.shape[0] + 1, *lines.shape[1:]))
    fine[1::2] = lines
    fine[0::2] = between
    return np.moveaxis(fine[:-1] if turns else fine, 0, axis)


def reach_of(problem, start: np.ndarray, field: np.ndarray, tau: float) -> list:
    """Cells along each axis that mass may need beside it: how far the field pushes it in τ, how far U
    can, as |x − y|²/2τ ≤ U′(max ρ) − U′(0), and a few. All cells where U′(0) = −∞ and along axes that
    turn."""
    push, largest = 0.0, start.max(axis=problem.axes, keepdims=True)
    if problem.internal is not None:
        with np.errstate(all="ignore"):
            lowest = problem.internal.derivative(np.zeros((1, 1, problem.species)))
        push = float((problem.internal.derivative(largest) - lowest).max())
        push = push if math.isfinite(push) else math.inf
    reach = []
    for axis, (h, n) in enumerate(zip(problem.spacing, problem.grid.cells, strict=True)):
        faces = problem.exchanges[axis]
        held = faces.mean(start) > TOLERANCES.next_to_nothing * largest
        slope = float(np.abs(faces.drop(field)[held]).max(initial=0.0)) / h
        cells = (tau * slope + math.sqrt(2.0 * tau * max(push, 0.0))) / h
        reach.append(n if faces.turns else 2 * TOLERANCES.margin + math.ceil(min(cells, n)))
    return reach + [0] * (3 - len(reach))


def box_of_mass(start: np.ndarray, reach: list):
    """Slices of the least box that holds all but 1e-6 of the mass and `reach` cells of each axis around it,
    or None where that is next to the whole grid. A reach of all cells takes the whole axis."""
    box = []
    for axis, n in enumerate(start.shape):
        others = tuple(a for a in range(start.ndim) if a != axis)
        mass = np.cumsum(start.sum(axis=others))
        first = int(np.searchsorted(mass, TOLERANCES.left_out * mass[-1] / 6.0)) - reach[axis]
        last = int(np.searchsorted(mass, (1.0 - TOLERANCES.left_out / 6.0) * mass[-1])) + 1 + reach[axis]
        first, last = (
            first if first >= TOLERANCES.box_block else 0,
            last if last <= n - TOLERANCES.box_block else n,
        )
        width = min(-((first - last) // TOLERANCES.box_block) * TOLERANCES.box_block, n)
        first = min(first, n - width)
        box.append(slice(first, first + width))
    share = math.prod((b.stop - b.start) / n for b, n in zip(box, start.shape, strict=True))
    return box if share <= TOLERANCES.largest_box else None


def inside(box: list, shape: tuple, cells: int):
    """A box less some cells along the sides that are no walls of the grid."""
    return [
        slice(b.start + cells * (b.start > 0), b.stop - cells * (b.stop < n))
        for b, n in zip(box, shape, strict=True)
    ]
