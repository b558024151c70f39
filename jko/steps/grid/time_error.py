"""What the inner slices of a dynamic step cost: a lower bound on the step with the exact W₂²."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from jko.loops.transport.c_transform import c_transform
from jko.measures import Grid, fields
from jko.steps.grid.tolerances import TOLERANCES

MOST_LOST = 0.1  # of the decrease of F + W₂²/2τ: what loses more is not the step that was asked for


def overpaid(grid: Grid, tau: float, mass: float, loss: float, decrease: float) -> float:
    """The share of the exact step's decrease of F + W₂²/2τ that is lost, 0 where it is below MOST_LOST or
    where the loss is no more than Σ h²/8τ times the mass, half a cell for all of it: no grid tells less.
    """
    loss -= mass * sum(h * h for h in grid.spacing) / (8.0 * tau)
    share = loss / (decrease + loss) if loss > 0.0 else 0.0
    return share if share > MOST_LOST else 0.0


def told(share: float, slices: int, form: str = "") -> str:
    """Why a step with these inner slices is not the one asked for, and what to do."""
    name = "one inner slice loses" if slices == 1 else f"{slices} inner slices lose"
    return (
        f"{name} up to {share:.0%} of what the exact step lowers F + W2^2/2tau by, since mass moves by more "
        f"than its own structure: take {form}slices={2 * slices} or a smaller tau"
    )


def lost_to_slices(
    problem,
    tau: float,
    start: np.ndarray,
    end: np.ndarray,
    ends: Iterable,
    field: np.ndarray,
    bound: float,
    decrease: float,
) -> float:
    """What is `overpaid` of a step of a `DynamicProblem` from `start` to `end`, 0 where that is little.

    `bound` is a lower bound on the discrete step in the `field` of F without U. On the exact one it is the
    dual of W₂ itself, Σ φ₀ρ_k + min_ρ E + φ₁ρ, E the cells' energy in the field, the best of those of the
    `ends`, candidates for (p¹ − w¹, p^K + w^K).
    """
    free, total, share, exact = problem.most > 0.0, problem.totals(start), 0.0, -math.inf
    mass = float(total.sum()) * problem.grid.cell_volume
    for first, last in ends:
        fields = map(problem.each, (start, first, np.where(free, last, math.inf)))
        duals = [
            dual_of_transport(problem.grid, tau, *ones, problem.blocked) for ones in zip(*fields, strict=True)
        ]
        seen = field + problem.together([last for _, last in duals])
        least = problem.least(seen, total, end)[0] + sum(paid for paid, _ in duals)
        exact = max(exact, least * problem.grid.cell_volume)
        share = overpaid(problem.grid, tau, mass, bound - exact, decrease)
        if share == 0.0:
            break
    return share


def dual_of_transport(
    grid: Grid, tau: float, start: np.ndarray, begin: np.ndarray, end: np.ndarray, blocked=None
) -> tuple[float, np.ndarray]:
    """Σ φ₀ρ_k and −φ₁ of potentials with φ₀(x) + φ₁(y) ≤ |x − y|²/2τ.

    end: ψ = p^K + w^K of the last inner slice, +∞ where no mass may end; φ₀(x) = min_y |x − y|²/2τ + ψ(y) and
    φ₁ the same of −φ₀ over the start's mass. Cells whose straight way meets an obstacle keep `begin` =
    p¹ − w¹, so that ways round it count as exact; then φ₁ = −ψ.
    """
    first = c_transform(-end, grid.spacing, tau, periodic=grid.periodic)
    held = start > 0.0
    if blocked is None:
        last = c_transform(np.where(held, first, -math.inf), grid.spacing, tau, periodic=grid.periodic)
    else:
        meets = _meets(grid, tau, first, held, blocked)
        first[meets] = begin[meets]
        last = -end
    return float(np.vdot(first[held], start[held])), last


def _meets(grid: Grid, tau: float, first, held, blocked):
    """Cells with mass whose straight way to x − τ∇φ₀ meets a blocked cell."""
    slopes = np.moveaxis(fields.gradient(grid, first), -1, 0)
    moves = np.stack([-tau * m[held] / h for m, h in zip(slopes, grid.spacing, strict=True)])
    at = np.stack(np.nonzero(held))
    longest = np.minimum(np.abs(moves).max(initial=0.0), max(grid.cells))
    count = max(1, math.ceil(TOLERANCES.way_samples * longest))
    met = np.zeros(at.shape[1], bool)
    for k in range(1, count + 1):
        cell = np.rint(at + (k / count) * moves).astype(int)
        size, turns = np.array(grid.cells)[:, None], np.array(grid.periodic)[:, None]
        cell = np.where(turns, cell % size, np.clip(cell, 0, size - 1))
        met |= blocked[tuple(cell)]
    meets = np.zeros(held.shape, bool)
    meets[held] = met
    return meets
