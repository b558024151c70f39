"""The geodesic between two densities on a grid, and its velocity."""

from __future__ import annotations

import numpy as np

from jko.errors import fraction
from jko.loops.grids.torus import continued
from jko.measures import Density
from jko.transport.distances.common_kind import alike, as_densities
from jko.transport.grids.overlap import walls_kept
from jko.transport.grids.tolerances import TOLERANCES
from jko.transport.grids.transport import trusted


def displaced(mu, nu, t):
    """((1 − t) id + tT)_# mu `[*cells]` on the grid that both share, from whichever end is nearer.

    The inverse of x ↦ x − t∇ψ(x) is z ↦ z − t∇φ_t(z), φ_t(z) = min |x − z|²/2t − ψ(x): a change of
    variables, smooth where pieces of cells would leave noise, and divided by what it errs in mass. Of the
    smooth ψ between positive densities on a torus it is found by Newton's method.
    """
    from jko.loops.transport.push import pull_back

    smooth = _smooth(mu, nu, t)
    if smooth is not None:
        values = smooth[0]
        return mu.with_values(values * (mu.values.sum() / values.sum()))
    values, potential, time, rim = _from_nearer_end(mu, nu, t)
    wide = np.pad(values, [(r, r) for r in rim])
    moved, _ = pull_back(wide, potential, time, mu.grid.spacing, periodic=mu.grid.periodic)
    moved = _within(moved, rim)
    return mu.with_values(moved * (mu.values.sum() / moved.sum()))


def geodesic_velocity(mu: Density, nu: Density, t: float):
    """The velocity ∇φ_t `[*cells, d]` at time t in (0, 1) of the geodesic between two densities on one
    grid, that of `interpolate`, in two and three dimensions: T(x) − x at (1 − t)x + tT(x).

    In vacuum it is the velocity of the nearest mass. Raises ValueError for t outside (0, 1) and for
    measures that differ in dimension, mass or grid.
    """
    mu, nu = as_densities(*alike(mu, nu, tori=True), "back-and-forth")
    if mu.dimension == 1:
        raise ValueError("mu, nu: expected 2 or 3 dimensions, got 1; on the line take brenier_map(mu, nu)")
    if fraction("t", t) in (0.0, 1.0):
        raise ValueError(f"t: expected a number between 0 and 1, neither of them, got {t:g}")
    smooth = _smooth(mu, nu, t)
    if smooth is not None:
        return smooth[1] if t <= 0.5 else -smooth[1]
    _, potential, _, rim = _from_nearer_end(mu, nu, t)
    around = tuple(int(turns) for turns in mu.grid.periodic)
    potential, rim = continued(potential, around), tuple(np.add(rim, around))
    slopes = [np.gradient(potential, h, axis=axis) for axis, h in enumerate(mu.grid.spacing)]
    return (1.0 if t <= 0.5 else -1.0) * np.stack([_within(s, rim) for s in slopes], axis=-1)


def _from_nearer_end(mu, nu, t):
    """The density at the nearer end, φ_t on a wider grid, the time from that end, and the rim."""
    from jko.loops.transport.c_transform import c_transform

    rim = tuple(
        0 if kept or turns else TOLERANCES.geodesic_rim
        for kept, turns in zip(walls_kept(mu, nu), mu.grid.periodic, strict=True)
    )
    psi, phi = trusted(mu, nu).extended(rim)
    values, potential, time = (mu.values, psi, t) if t <= 0.5 else (nu.values, phi, 1.0 - t)
    return values, c_transform(potential, mu.grid.spacing, time, periodic=mu.grid.periodic), time, rim


def _smooth(mu, nu, t):
    """(the density at t, −∇ψ where its mass came from), from the nearer end; None where ψ is not smooth.

    z = x − t∇ψ(x) is solved for x at every cell z by Newton's method, and the density is that at x over
    det(I − tD²ψ(x)); all are cubic splines on the torus, which walls mirror.
    """
    first, second, t = (mu, nu, t) if t <= 0.5 else (nu, mu, 1.0 - t)
    transport = trusted(first, second)
    if not transport.inner.smooth:
        return None
    from jko.transport.grids.inverse_map import InverseMap

    return InverseMap(-transport.inner.psi, np.log(first.values), first.grid).at(t)


def _within(field, rim):
    return field[tuple(slice(r, n - r) for r, n in zip(rim, field.shape, strict=True))]
