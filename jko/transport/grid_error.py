"""What a grid may err by in W₂², from what is known on it: an estimate, no bound."""

from __future__ import annotations

import itertools

import numpy as np

from jko.transport.overlap import fills


def grid_error(overlap, potentials) -> float:
    """Of W₂² between densities known at the cells of an `Overlap`, the sum of two estimates.

    How far the value is from that on cells twice as wide; and how far samples on every second cell along
    each axis move it, to first order, ∫ψ dδμ + ∫φ dδν, at worst over where they begin: kinks and edges of
    supports between the cells. Both have the order 2 of what they estimate, and are some three times as
    large.
    """
    halving = 2.0 * abs(potentials.value - potentials.coarse)
    axes = [h * np.arange(n) for h, n in zip(overlap.spacing, overlap.first.shape, strict=True)]
    places = np.meshgrid(*axes, indexing="ij", sparse=True)
    tilt = sum(s * x for s, x in zip(overlap.shift, places, strict=True))
    return halving + sum(
        _sampling(2.0 * (field + sign * tilt), density)
        for field, density, sign in (
            (potentials.psi, overlap.first, -1.0),
            (potentials.phi, overlap.second, 1.0),
        )
    )


def _sampling(field, density):
    whole, worst = _mean(field, density), 0.0
    ends = [(0, n) for n in density.shape]
    # where mass lies along walls, cells on every second place would move the walls
    choices = [
        (slice(None),) if fills(density, axis, ends) else (slice(0, None, 2), slice(1, None, 2))
        for axis in range(density.ndim)
    ]
    for every in itertools.product(*choices):
        if density[every].any():
            worst = max(worst, abs(_mean(field[every], density[every]) - whole))
    return worst


def _mean(field, density):
    return float(np.vdot(field, density) / density.sum())
