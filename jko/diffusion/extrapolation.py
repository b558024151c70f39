"""Two solutions of second order on grids of h and 2h, and from them one of fourth."""

from __future__ import annotations

import numpy as np

from jko.diffusion.density_path import FLOOR, DensityPath
from jko.diffusion.tolerances import TOLERANCES
from jko.measures import Density, Grid


def coarsened(density: Density) -> Density:
    """The values at the centres of cells twice as wide, from a spline of the logarithm.

    Raises ValueError for an odd number of cells, or for fewer than 12.
    """
    grid = density.grid
    if any(n % 2 or n < 2 * (TOLERANCES.degree + 1) for n in grid.cells):
        raise ValueError(
            f"density: order 4 needs an even number of cells, 12 or more, along every axis, got {grid.cells}"
        )
    coarse = Grid.uniform(grid.lower, grid.upper, tuple(n // 2 for n in grid.cells), grid.periodic)
    floor = FLOOR * density.values.max()
    values = np.exp(_resampled(np.log(density.values + floor), grid.axes, coarse.axes)) - floor
    return Density(coarse, np.maximum(values, 0.0)).normalized()


def extrapolated(fine: DensityPath, coarse: DensityPath) -> DensityPath:
    """log p = (4 log p_h − log p_2h)/3 after the first time [Richardson1911]: positive, and of mass 1."""
    densities = [fine.densities[0]]
    for rho, wide in zip(fine.densities[1:], coarse.densities[1:], strict=True):
        floor = FLOOR * rho.values.max()
        upper = _resampled(np.log(wide.values + floor), wide.grid.axes, rho.grid.axes)
        values = np.exp((4.0 * np.log(rho.values + floor) - upper) / 3.0) - floor
        values = np.maximum(values, 0.0)
        densities.append(rho.with_values(values * (rho.values.sum() / values.sum())))
    return DensityPath(fine.times, densities, cell_peclet=fine.cell_peclet, note=fine.note)


def _resampled(values, axes, wanted):
    from scipy.interpolate import make_interp_spline

    for axis, (x, y) in enumerate(zip(axes, wanted, strict=True)):
        values = make_interp_spline(x, values, k=TOLERANCES.degree, axis=axis)(y)
    return values
