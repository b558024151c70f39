"""W∗μ on a line of cells and in spherical shells, as a table over pairs of cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from functionals import pointwise
from functionals.programs import kept
from jko.measures.line_grid import LineGrid
from jko.measures.radial import radial
from jko.measures.tolerances import TOLERANCES


@kept
def kernel_table(grid: LineGrid, W: Callable) -> np.ndarray:
    """K `[n, n]` with (W∗μ)(r_i) = Σ_j K_ij m_j: W at the difference of the centroids, in shells its mean
    over the sphere of radius r_j.

    Of the quadratic and the Newtonian kernel, log|z| in the plane and |z|^{2−d} beyond, the mean is known:
    W at the larger radius [LiebLoss2001, theorem 9.7]; of other kernels it is Gauss's rule in the cosine of
    the angle, asked whether twice as many angles agree. Raises ValueError for a W that is singular at 0 or
    no function of |z|, and for more than 4096 cells.
    """
    if grid.size > TOLERANCES.table_cells:
        raise ValueError(
            f"measure: interactions are taken on at most {TOLERANCES.table_cells} cells with edges of one's "
            f"own, got {grid.size}: take fewer cells"
        )
    r, table = grid.axes[0], None
    if grid.dimension == 1:
        found = _along(W, (r[:, None] - r).ravel(), 1)
        if grid.radial:
            found = 0.5 * (found + _along(W, (r[:, None] + r).ravel(), 1))
        table = found.reshape(grid.size, grid.size)
    elif radial(W, grid.dimension) is None:
        raise ValueError(
            f"functional: {pointwise.describe(W)} is no function of |z|, as a radial grid needs: write it as "
            "one, or take Grid.uniform"
        )
    else:
        table = _by_shells(W, r, grid.dimension)
    if table is None or not np.all(np.isfinite(table)):
        raise ValueError(
            f"functional: {pointwise.describe(W)} is singular at 0, got {grid!r}: take the Newtonian kernel "
            "(log|z| in the plane, |z|^(2 - d) beyond) in shells, or Grid.uniform"
        )
    return table


def _by_shells(W: Callable, r: np.ndarray, d: int) -> np.ndarray | None:
    larger = np.maximum(r[:, None], r)
    known = _mean_of(getattr(W, "terms", ()), r, larger, d)
    if known is not None:
        return known
    few = np.unique(np.linspace(0, r.size - 1, 64).astype(int))
    with np.errstate(all="ignore"):
        rough, fine = (
            _averaged(W, r[few], d, angles) for angles in (TOLERANCES.angles, 2 * TOLERANCES.angles)
        )
        agree = np.max(np.abs(rough - fine)) <= TOLERANCES.agreed * np.ptp(fine)
    return _averaged(W, r, d, TOLERANCES.angles) if agree else None


def _mean_of(terms: tuple, r: np.ndarray, larger: np.ndarray, d: int) -> np.ndarray | None:
    """The mean of a sum of quadratic and Newtonian terms; None where it has others."""
    total = np.zeros_like(larger)
    for name, strength, *exponent in terms:
        if name == "quadratic" or (name == "power" and exponent == [2.0]):
            total += (0.5 if name == "quadratic" else 1.0) * strength * (r[:, None] ** 2 + r**2)
        elif name == "logarithm" and d == 2:
            total -= strength * np.log(larger)
        elif name == "power" and exponent == [2.0 - d]:
            total += strength * larger ** (2.0 - d)
        else:
            return None
    return total if terms else None


def _averaged(W: Callable, r: np.ndarray, d: int, angles: int) -> np.ndarray:
    """∫W(|r e − s ω|) over the unit sphere, by its area: the cosine has the weight (1 − t²)^{(d−3)/2}."""
    from scipy.special import roots_gegenbauer, roots_legendre

    t, weights = roots_legendre(angles) if d == 3 else roots_gegenbauer(angles, 0.5 * d - 1.0) if d > 2 else (
        np.cos(np.pi * (np.arange(angles) + 0.5) / angles), np.ones(angles)
    )  # fmt: skip
    total = np.zeros((r.size, r.size))
    for cosine, weight in zip(t, weights / weights.sum(), strict=True):
        squared = r[:, None] ** 2 + r**2 - 2.0 * cosine * r[:, None] * r
        total += weight * _along(W, np.sqrt(np.maximum(squared, 0.0)).ravel(), d).reshape(total.shape)
    return total


def _along(W: Callable, z: np.ndarray, d: int) -> np.ndarray:
    return pointwise.values(W, np.pad(z[:, None], [(0, 0), (0, d - 1)]))
