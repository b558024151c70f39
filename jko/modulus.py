"""λ of displacement convexity: declared at the mass that moves, or else what V and W show on a grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from functionals import Functional, pointwise
from jko.measures import Grid


def declared_modulus(F: Functional, dimension: int, mass: float) -> float | None:
    """λ that F declares, at measures of this mass; None where a part declares none.

    The force of a kernel grows with the mass, and so does what it takes off λ; a potential, internal energies
    and caps keep theirs. What others declare is known of probability measures, and of any mass where it is 0.
    """
    if math.isclose(mass, 1.0, rel_tol=1e-9):
        return F.displacement_modulus(dimension)
    parts, moduli = F.parts, []
    for c, atom in parts.internal + parts.potential + parts.constraint:
        moduli.append((c, atom.displacement_modulus(dimension)))
    for c, atom in parts.interaction:
        moduli.append((c * mass, atom.displacement_modulus(dimension)))
    for c, atom in parts.local + parts.gradient + parts.rest:
        declared = atom.displacement_modulus(dimension)
        moduli.append((c, declared if declared == 0.0 else None))
    return None if any(m is None for _, m in moduli) else float(sum(c * m for c, m in moduli))


def observed_modulus(F: Functional, grid: Grid, mass: float) -> float | None:
    """λ of F from second differences over the cells, declared ones as they are; None where a part has none,
    and in a room, through whose walls geodesics do not lead.

    Σ c·λ(V) + mass·Σ c·min(λ(W), 0), the least eigenvalues of the matrices of second differences of V at the
    cells' centres, and of W at the differences of centres. Internal energies and caps count as 0 where they
    are declared displacement convex. It is what the grid sees, no proof.
    """
    if grid.is_room:
        return None
    d, parts = grid.dimension, F.parts
    total = 0.0
    for c, atom in parts.internal + parts.constraint + parts.local + parts.gradient + parts.rest:
        declared = atom.displacement_modulus(d)
        if declared is None:
            return None
        total += c * declared
    for c, atom in parts.potential:
        declared = atom.displacement_modulus(d)
        total += c * (_least_curvature(atom.values, grid.axes) if declared is None else declared)
    for c, atom in parts.interaction:
        declared = atom.displacement_modulus(d)
        if declared is None and atom.general:
            return None
        total += c * mass * (_of_kernel(atom.W, grid) if declared is None else declared)
    return float(total) if np.isfinite(total) else None


def _of_kernel(W, grid: Grid) -> float:
    """min(λ(W), 0); on the line, whose order no flow changes, of W on z > 0 alone."""
    axes = [h * np.arange(0.5, n) for h, n in zip(grid.spacing, grid.cells, strict=True)]
    if grid.dimension > 1:
        axes = [np.concatenate([-z[::-1], z]) for z in axes]
    return min(_least_curvature(lambda z: pointwise.values(W, z), axes), 0.0)


def _least_curvature(function: Callable, axes: list) -> float:
    """The least eigenvalue of the second differences of a function of points over a product of axes."""
    if min(map(len, axes)) < 3:
        return np.nan
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = np.asarray(function(points.reshape(-1, len(axes)))).reshape(points.shape[:-1])
    if len(axes) == 1:
        return float(np.diff(values, 2).min()) / (axes[0][1] - axes[0][0]) ** 2
    slopes = np.gradient(values, *axes, edge_order=2)
    pairs = itertools.combinations_with_replacement(range(len(axes)), 2)
    second = {(i, j): np.gradient(slopes[i], axes[j], axis=j, edge_order=2) for i, j in pairs}
    if len(axes) == 2:
        mean, half = 0.5 * (second[0, 0] + second[1, 1]), 0.5 * (second[0, 0] - second[1, 1])
        return float((mean - np.hypot(half, second[0, 1])).min())
    matrices = np.stack([second[min(i, j), max(i, j)] for i in range(3) for j in range(3)], axis=-1)
    return float(np.linalg.eigvalsh(matrices.reshape(*matrices.shape[:-1], 3, 3)).min())
