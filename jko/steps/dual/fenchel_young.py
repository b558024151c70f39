"""What the last potential of a dual ascent proves about its step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jko.steps.dual.ascent import DualAscent


@dataclass(frozen=True)
class Certificate:
    """The Fenchel–Young gap, the cost W₂²/2τ along S = id − τ∇φ, the relative mass that the pull-back adds,
    how far mass moves, root mean square, in cells of the widest axis, and h²/8τ summed over the axes: what
    the minimum over a grid may add to |x − y|²/2τ."""

    gap: float
    transport: float
    pull_back_defect: float
    cells_moved: float
    grid_bias: float
    pushed: np.ndarray  # T_#ρ_k, of the mass of ρ_k

    @property
    def relative_gap(self) -> float:
        """gap/(W₂²/2τ)."""
        return self.gap / self.transport if self.transport > 0 else 0.0

    def closes(self, gap, tolerance, share=1.0) -> bool:
        """Whether a gap is below `tolerance` of W₂²/2τ or a share of h²/8τ."""
        return gap <= max(tolerance * self.transport, share * self.grid_bias)


def certify(ascent: DualAscent, phi, density, cell_volume: float) -> Certificate:
    """Of a normalised φ and its density ρ′ = U*′(−φ − V)."""
    pressure = -phi - ascent.potential
    pushed, _ = ascent.push(phi)
    found = float(pushed.sum())
    defect = found / ascent.total - 1.0
    gap = math.inf
    if 0.0 < found < math.inf:  # a far potential may move all mass out of the box
        pushed *= ascent.total / found
        work = np.where(pushed > 0, pressure, 0.0)
        primal = float(np.sum(ascent.energy.internal.density(pushed) - work * pushed))
        gap = (primal + ascent.energy.total_conjugate(pressure, density)) * cell_volume
    speed = sum(_centred_slope(phi, axis, h) ** 2 for axis, h in enumerate(ascent.spacing))
    moved = ascent.tau**2 * float(np.vdot(speed, density)) * cell_volume
    mass = ascent.total * cell_volume
    cells_moved = float(np.sqrt(moved / mass)) / max(ascent.spacing)
    bias = mass * sum(h * h for h in ascent.spacing) / (8.0 * ascent.tau)
    return Certificate(gap, moved / (2.0 * ascent.tau), defect, cells_moved, bias, pushed)


def _centred_slope(phi, axis, h):
    padded = np.concatenate([phi.take([0], axis), phi, phi.take([-1], axis)], axis)
    n = phi.shape[axis]
    return (padded.take(range(2, n + 2), axis) - padded.take(range(n), axis)) / (2.0 * h)
