"""The inertia of faces at the front of a full region, for dynamic steps by flows through faces."""

from __future__ import annotations

import numpy as np

from jko.steps.grid.tolerances import TOLERANCES


def front_shares(lower: tuple, upper: tuple) -> np.ndarray:
    """The share of the action v²/θ that each face pays: Sρ/ρ̂ beside a full cell, 1 elsewhere.

    ρ̂ is the density of the full cell up to its cap, or Sρ, the mean of both cells, where that is more.
    `lower` and `upper` are (ρ_k, most) in the cells at both sides of the faces, any shape, the share is
    nondimensional. A cell that the front of a full region cuts is filled to s ≤ 1 of the cap, and the face
    to the full cell is covered whole. Without the share it carries a whole flow through θ = (1 + s)/2 and
    pays 1/θ for it, ∫₀¹ 2/(1 + s) ds = 1.39 on average for 1: each front drags .39 h of inertia along. With
    it a front pays right as its way in a step falls below h. They are shares of data, so that the action
    stays convex and its duality exact, lie in [½, 1], and differ from 1 beside fronts alone: the order is
    that of faces without. For one slice alone: in the later ones of several the front has left, and faces
    full on both sides would pay too little.
    """
    mean, densest = 0.5 * (lower[0] + upper[0]), np.zeros(())
    for density, most in (lower, upper):
        full = (most > 0.0) & (density >= (1.0 - TOLERANCES.short_of_full) * most)
        densest = np.maximum(densest, np.where(full, np.minimum(density, most), 0.0))
    return np.divide(mean, densest, out=np.ones_like(mean), where=densest > mean)
