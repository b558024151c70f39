"""A box that is full: no other density of its mass keeps below the caps of F, and nothing moves."""

from __future__ import annotations

import numpy as np

from functionals.constraint import EXCESS
from functionals.tolerances import TOLERANCES
from jko.measures import Density, LineDensity, Measure
from jko.records import StepInfo


def is_full(parts, mu: Measure, obstacle=None) -> bool:
    """Whether ρ = cap in all cells but walls and those of an `obstacle`, a mask or a Density that is positive
    there, to rounding, the cap being the least of those of the constraints and internal energies among a
    functional's `parts`.

    Never where doors let mass out.
    """
    atoms = parts.constraints
    caps = [float(U.cap) for _, U in parts.internal]
    if not (atoms or np.isfinite(caps).any()) or not isinstance(mu, Density | LineDensity):
        return False
    grid = mu.grid
    if grid.doors.any():
        return False
    fields = [np.reshape(atom.values(grid.points), grid.cells) for atom in atoms]
    cap, free = np.minimum.reduce([np.full(grid.cells, min(caps, default=np.inf)), *fields]), grid.inside
    if obstacle is not None:
        free = free & ~(np.asarray(getattr(obstacle, "values", obstacle)) > 0)
    rho, cap = np.asarray(mu.values)[free], cap[free]
    return bool(((rho >= (1.0 - TOLERANCES.quotient) * cap) & (rho <= (1.0 + EXCESS) * cap)).all())


def fits(room: float, mu: Density | LineDensity) -> bool:
    """Whether the mass of mu is at most the `room` below a cap, but for rounding."""
    return float(mu.mass) <= room * (1.0 + TOLERANCES.quotient)


def at_rest(mu: Density | LineDensity) -> StepInfo:
    """The record of a step that stays."""
    return StepInfo(
        gap=0.0,
        relative_gap=0.0,
        mass_error=0.0,
        dissipation=0.0,
        transport_cost=0.0,
        min_density=float(np.min(mu.values)),
        note="the box is full: nothing can move",
    )
